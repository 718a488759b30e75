"""Every recorded file of the reference implementations loads and agrees."""

import json
import pathlib

import numpy as np
import pytest
from keras import ops

from keras_vit import feature_extractor, weights
from keras_vit.models import ImageModel

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "fixtures"
# Families that are other classes than VisionTransformer.
OTHERS = ("hf_imagegpt",)


def recorded():
    """Every checkpoint that has recorded outputs: files, and the hub folder."""
    for path in sorted((SHARED / "checkpoints").glob("*")):
        name = path.name.split(".")[0]
        if path.is_dir() or (
            path.suffix in (".npz", ".safetensors")
            and path.with_name(f"{name}.expected.npz").exists()
            and ".expected" not in path.name
        ):
            yield path


def configuration(path):
    """What the reference was built with, from google.json or torch.json."""
    for name in ("google.json", "torch.json"):
        table = json.loads((path.parent / name).read_text())
        if path.name.split(".")[0] in table:
            return table[path.name.split(".")[0]]["config"]
    return {}


def keywords(path, images):
    """What these small files cannot tell: heads of a fused matrix, odd grids."""
    config = configuration(path)
    heads = config.get("num_heads") if path.suffix == ".safetensors" else None
    return {"heads": heads, "image_size": images.shape[1:3]}


def distance(expected, got):
    """Largest difference over largest magnitude; shapes must agree."""
    got = ops.convert_to_numpy(got)
    assert expected.shape == got.shape
    return np.abs(expected - got).max() / np.abs(expected).max()


def tokens_of(model, images):
    """The sequence behind the last norm."""
    name = "norm" if "norm" in [layer.name for layer in model.layers] else None
    if name is None:
        return feature_extractor(model)(images)
    return ImageModel(model.input, model.get_layer(name).output)(images)


def vector_of(model, images):
    """What the head reads."""
    return ImageModel(model.input, model.get_layer("head").input)(images)


@pytest.mark.parametrize("path", list(recorded()), ids=lambda path: path.name)
def test_outputs_equal_the_recorded_ones(path, shared):
    """Logits, tokens and pooled features are those of the original code."""
    name = path.name.split(".")[0].replace("_hub", "")
    expected = np.load(shared / "fixtures" / "checkpoints" / f"{name}.expected.npz")
    if name in OTHERS:
        with pytest.raises(TypeError, match="must be a Vision Transformer, got"):
            weights.from_checkpoint(path)
        return
    images = expected["images"]
    tolerance = 2e-5 if "hybrid" in name else 1e-5

    model = weights.from_checkpoint(path, verbose=0, **keywords(path, images))

    report = model.loading_report
    assert not report.fresh and not report.resized
    assert not [n for n, why in report.skipped.items() if "decoder" not in why]
    if "logits" in expected:
        assert tolerance > distance(expected["logits"], model(images))
    if "features" in expected:
        maps = ImageModel(model.input, model.get_layer("relu").output)
        assert tolerance > distance(expected["features"], maps(images))
    if "pre_logits" in expected:
        assert tolerance > distance(expected["pre_logits"], vector_of(model, images))
    for key in {"tokens", "encoded"} & set(expected):
        assert tolerance > distance(expected[key], tokens_of(model, images))
    if "pred" in expected:
        assert images.shape[0] == model(images).shape[0] and report.skipped


def golden():
    """Golden vectors that hold the weights of a Vision Transformer."""
    for path in sorted((SHARED / "golden").glob("*.npz")):
        names = np.load(path).files
        if any("embedding/kernel" in n or "patch_embed.proj" in n for n in names):
            yield path


@pytest.mark.parametrize("path", list(golden()), ids=lambda path: path.name)
def test_outputs_equal_the_golden_ones(path, shared, tmp_path):
    """The same for the golden vectors, whose weights are put into a file first."""
    found = np.load(path)
    file = tmp_path / "weights.npz"
    np.savez(file, **{n[2:]: found[n] for n in found.files if n.startswith("w/")})
    if "in/image" in found:
        images = found["in/image"]
    else:
        images = found["in/image_nchw"].transpose(0, 2, 3, 1)
    tolerance = 2e-5 if "hybrid" in path.name else 1e-5
    torch = "w/patch_embed.proj.weight" in found

    model = weights.from_checkpoint(
        file, heads=4 if torch else None, image_size=images.shape[1:3], verbose=0
    )

    if "out/logits" in found:
        assert tolerance > distance(found["out/logits"], model(images))
    for key in {"out/features", "out/encoded"} & set(found.files):
        assert tolerance > distance(found[key], tokens_of(model, images))
    if "out/pre_logits" in found:
        assert tolerance > distance(found["out/pre_logits"], vector_of(model, images))
    if path.name == "mae.npz":
        assert (2, 17, 32) == model(images).shape
