"""Writing models in other people's formats."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import weights
from keras_vit.errors import CheckpointError, WeightsMismatch
from keras_vit.weights.formats import open_checkpoint

TIMM = [
    {},
    {"pooling": "map"},
    {"pooling": "gap", "norm_pooled": True},
    {"pooling": "gap"},
    {"registers": 3, "position_prefix": False, "layer_scale": 0.1, "qk_norm": True},
    {"distilled": True, "qkv_bias": False},
    {"norm_input": True, "patch_bias": False, "representation_size": 8},
    {"image_size": (32, 48), "activation": "gelu_tanh", "include_top": False},
]
GOOGLE = [
    {"activation": "gelu_tanh"},
    {"representation_size": 8},
    {"pooling": "gap", "position": "sincos2d"},
    {"pooling": "map", "position_prefix": False},
    {"position_prefix": False, "include_top": False},
    {"stem": (), "image_size": 64, "patch_size": 4},
    {"stem": (1, 2), "image_size": 32, "patch_size": 1},
]
HF = [
    {"epsilon": 1e-12},
    {"distilled": True},
    {"include_top": False, "representation_size": 8},
    {"activation": "gelu_tanh"},
]
CASES = [("timm", o) for o in TIMM] + [("google_npz", o) for o in GOOGLE]
CASES += [("hf", o) for o in HF]
ENDINGS = {"timm": "x.safetensors", "google_npz": "x.npz", "hf": "x"}


@pytest.mark.parametrize(("format", "options"), CASES, ids=str)
def test_round_trip_is_the_identity(format, options, tiny, tmp_path):
    """Every weight comes back bit for bit, with wiring, labels and preparation."""
    preparation = keras_vit.Preprocessing(mode="imagenet", crop=0.5)
    labels = None
    if options.get("include_top", True):
        labels = [f"class {k}" for k in range(5)]
    depth = 2 if options in (TIMM[0], GOOGLE[0], HF[0]) else 1
    model = tiny(preprocessing=preparation, labels=labels, depth=depth, **options)

    path = weights.save_checkpoint(model, tmp_path / ENDINGS[format], format)
    loaded = weights.from_checkpoint(path, verbose=0)

    assert tmp_path / ENDINGS[format] == path
    assert loaded.loading_report.clean
    expected = {w.path: ops.convert_to_numpy(w) for w in model.weights}
    got = {w.path: ops.convert_to_numpy(w) for w in loaded.weights}
    assert expected.keys() == got.keys()
    assert all(np.array_equal(value, got[path]) for path, value in expected.items())
    assert model.preprocessing == loaded.preprocessing
    assert model.labels == loaded.labels
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:]))
    images = images.astype("float32")
    assert np.array_equal(*(ops.convert_to_numpy(m(images)) for m in (model, loaded)))


@pytest.mark.parametrize("format", ENDINGS)
def test_writing_a_read_file_gives_the_same_arrays(format, shared, tmp_path):
    """A published file that is read and written has its arrays bit for bit."""
    folder = shared / "fixtures" / "checkpoints"
    names = {"timm": "timm_vit_map.safetensors", "google_npz": "google_vit_token.npz"}
    source = folder / names.get(format, "hf_vit_hub")
    model = weights.from_checkpoint(source, heads=3, verbose=0)

    path = weights.save_checkpoint(model, tmp_path / ENDINGS[format], format)

    expected, got = open_checkpoint(source), open_checkpoint(path)
    prefix = "vit." if format == "hf" else ""
    assert set(expected) == {n if n in expected else prefix + n for n in got}
    for name in got:
        other = name if name in expected else prefix + name
        assert np.array_equal(expected.array(other), got.array(name))


def test_other_readers_see_nothing_unusual(tiny, tmp_path):
    """numpy opens our .npz; its notes stand where nobody else looks."""
    path = weights.save_checkpoint(tiny(), tmp_path / "x.npz")

    with np.load(path) as found:
        assert (1, 17, 16) == found["Transformer/posembed_input/pos_embedding"].shape
        assert 40 == len(found.files)


@pytest.mark.parametrize(
    ("format", "options", "match"),
    [
        ("google_npz", {"layer_scale": 0.1}, "has no name for block_0/scale1/gamma"),
        ("google_npz", {"registers": 1}, "has no name for patch_encoder/registers"),
        ("hf", {"pooling": "gap"}, "has no name for pooling='gap'"),
        ("hf", {"position_prefix": False}, "position_prefix=False"),
        ("timm", {"position": "relative"}, "offsets"),
        ("timm", {"position": "none"}, "position='none'.*Use another of google_npz"),
    ],
)
def test_what_a_format_cannot_say(format, options, match, tiny, tmp_path):
    """A part without a name in the format is an error, and no file is left."""
    with pytest.raises(WeightsMismatch, match=match):
        weights.save_checkpoint(tiny(**options), tmp_path / "x", format)
    assert [] == list(tmp_path.iterdir())


def test_wrong_calls(tiny, tmp_path):
    """Unknown formats, existing files and other models are refused."""
    model = tiny()
    weights.save_checkpoint(model, tmp_path / "x.npz")

    with pytest.raises(ValueError, match="one of 'google_npz', 'timm', 'hf', got 'x'"):
        weights.save_checkpoint(model, tmp_path / "y", "x")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        weights.save_checkpoint(model, tmp_path / "x.npz")
    weights.save_checkpoint(model, tmp_path / "x.npz", overwrite=True)
    with pytest.raises(ValueError, match="must be a Vision Transformer of keras_vit"):
        weights.save_checkpoint(keras.Sequential([keras.Input((2,))]), tmp_path / "z")


def test_tampered_notes(tiny, tmp_path):
    """Notes of ours are checked like everything else in a file."""
    path = weights.save_checkpoint(tiny(), tmp_path / "x", "hf")
    config = json.loads((path / "config.json").read_text())
    for key, value, match in (
        ("activation", [], "note 'activation' must be a str"),
        ("activation", "swish", "activation: must be one of"),
        ("epsilon", "1", "note 'epsilon' must be a float"),
        ("preprocessing", {"mode": "x"}, "preprocessing metadata must be valid"),
        ("preprocessing", {"x": 1}, "preprocessing metadata must be valid"),
    ):
        note = {**config["keras_vit"], key: value}
        (path / "config.json").write_text(json.dumps({**config, "keras_vit": note}))
        with pytest.raises((CheckpointError, ValueError), match=match):
            weights.from_checkpoint(path)
