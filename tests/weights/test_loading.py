"""From a file to a model: sizes, heads, wishes, and mistakes."""

import json

import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import weights
from keras_vit.errors import CheckpointError, WeightsMismatch
from keras_vit.weights.safetensors import read_safetensors, write_safetensors


@pytest.fixture(scope="module")
def google(tiny, tmp_path_factory):
    """A file in Google's layout and the model it was written from."""
    model = tiny(activation="gelu_tanh")
    path = tmp_path_factory.mktemp("google") / "vit.npz"
    return weights.save_checkpoint(model, path), model


@pytest.fixture
def timm(tiny, tmp_path):
    """A state dict without any note beside it, and its model."""
    model = tiny()
    path = weights.save_checkpoint(model, tmp_path / "own.safetensors", "timm")
    arrays = read_safetensors(path)
    plain = {name: arrays.array(name) for name in arrays}
    write_safetensors(tmp_path / "vit.safetensors", plain, {})
    return tmp_path / "vit.safetensors", model


def edited(path, target, change):
    """The arrays of an .npz after a change, in a new file."""
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    change(arrays)
    np.savez(target, **arrays)
    return target


def same(expected, got, images, tolerance=1e-6):
    """Whether two models give the same answers."""
    expected, got = (ops.convert_to_numpy(m(images)) for m in (expected, got))
    assert expected.shape == got.shape
    assert tolerance > np.abs(expected - got).max()


def test_a_path_is_enough(google, images, capsys):
    """A complete file loads in silence and gives the model back."""
    path, model = google

    loaded = weights.from_checkpoint(path)

    same(model, loaded, images)
    assert loaded.loading_report.clean and capsys.readouterr().out == ""
    assert len(model.weights) == len(loaded.loading_report.loaded)


def test_both_module_numberings(google, images, tmp_path):
    """Published files number modules across classes, newer ones per class."""
    path, model = google

    def old_numbers(arrays):
        for name in list(arrays):
            old = name.replace("LayerNorm_1", "LayerNorm_2")
            old = old.replace("MlpBlock_0", "MlpBlock_3")
            old = old.replace("ProductAttention_0", "ProductAttention_1")
            arrays[old] = arrays.pop(name)

    old = edited(path, tmp_path / "old.npz", old_numbers)

    same(model, weights.from_checkpoint(old), images)


@pytest.mark.parametrize("prefix", ["", "params/", "opt/target/", "params/img/"])
def test_stacked_blocks_and_prefixes(prefix, tiny, images, tmp_path):
    """big_vision may stack all blocks in one array, and hide under a prefix."""
    model = tiny(activation="gelu_tanh", position_prefix=False, pooling="map")
    path = weights.save_checkpoint(model, tmp_path / "vit.npz")

    def stack(arrays):
        for name in [n for n in arrays if "encoderblock_0/" in n]:
            both = [arrays.pop(name.replace("_0/", f"_{i}/", 1)) for i in (0, 1)]
            arrays[name.replace("encoderblock_0", "encoderblock")] = np.stack(both)
        for name in list(arrays):
            arrays[prefix + name] = arrays.pop(name)
        arrays["params/t"] = np.zeros(3, "float32")

    stacked = edited(path, tmp_path / "stacked.npz", stack)
    with np.load(stacked) as found:
        assert any("encoderblock/" in name for name in found.files)
    loaded = weights.from_checkpoint(stacked, verbose=0, skip="params/t")

    same(model, loaded, images)


def test_heads_of_a_fused_matrix(timm, images):
    """The error names the keyword; with it, the file loads."""
    path, model = timm

    with pytest.raises(CheckpointError, match="width=16, depth=2.*Pass heads=1, for"):
        weights.from_checkpoint(path)
    same(model, weights.from_checkpoint(path, heads=2, verbose=0), images)
    with pytest.raises(ValueError, match="heads: must divide the width"):
        weights.from_checkpoint(path, heads=5)


def test_heads_of_a_known_size(tmp_path):
    """Where width, depth and MLP are a published size, its heads are taken."""
    model = keras_vit.ViT_Ti16(input_shape=(32, 32, 3), classes=2)
    path = weights.save_checkpoint(model, tmp_path / "own.safetensors", "timm")
    arrays = read_safetensors(path)
    plain = {name: arrays.array(name) for name in arrays}
    write_safetensors(tmp_path / "ti.safetensors", plain, {})

    loaded = weights.from_checkpoint(tmp_path / "ti.safetensors", verbose=0)

    assert 3 == loaded.get_layer("block_0").heads
    assert "3 heads, as in every published Ti." in loaded.loading_report.notes


def test_other_sizes_are_resized_and_said(google, capsys):
    """Another image, patch or class count adapts exactly the arrays that must."""
    path, _ = google

    loaded = weights.from_checkpoint(path, image_size=(48, 80), classes=7)

    report = loaded.loading_report
    assert (None, 48, 80, 3) == loaded.input_shape and (None, 7) == loaded.output_shape
    assert {"patch_encoder/position/embedding"} == set(report.resized)
    assert {"head/kernel", "head/bias"} == set(report.fresh) == set(report.skipped)
    text = capsys.readouterr().out
    assert "grid (4, 4) -> (6, 10) patches by zoom" in text
    assert "classes: 5 in the file, 7 asked for" in text

    small = weights.from_checkpoint(path, patch_size=4, image_size=16, verbose=0)
    assert {"patch_encoder/projection/kernel"} == set(small.loading_report.resized)


def test_wishes(google, images):
    """Features, another pooling, dropout and a policy are keywords."""
    path, _ = google

    features = weights.from_checkpoint(path, include_top=False, verbose=0)
    pooled = weights.from_checkpoint(path, pooling="gap", dropout=0.1, verbose=0)
    half = weights.from_checkpoint(path, dtype="mixed_bfloat16", name="x", verbose=0)

    tokens = weights.from_checkpoint(
        path, include_top=False, pooling=None, activation=None, name=None, verbose=0
    )

    assert (None, 17, 16) == tokens.output_shape
    assert (None, 16) == features.output_shape and (4, 5) == pooled(images).shape
    assert {"head/kernel", "head/bias"} == set(features.loading_report.skipped)
    assert "x" == half.name and "bfloat16" == half.get_layer("norm").compute_dtype


@pytest.mark.parametrize(
    ("wishes", "kind", "match"),
    [
        ({"width": 32}, ValueError, "read off the file as 16, got 32. Leave it out"),
        ({"registers": 2}, ValueError, "registers: is read off the file as 0"),
        ({"wdith": 32}, TypeError, "no argument 'wdith'. Did you mean 'width'"),
        ({"image_size": 30}, ValueError, "cannot be cut into 8 px patches"),
        ({"skip": "head/*"}, None, None),
    ],
)
def test_wrong_wishes(google, wishes, kind, match):
    """What would be another model is refused; skipping is allowed."""
    if kind is None:
        report = weights.from_checkpoint(google[0], verbose=0, **wishes).loading_report
        assert {"head/kernel": "skipped as asked"}.items() <= report.fresh.items()
        return
    with pytest.raises(kind, match=match):
        weights.from_checkpoint(google[0], **wishes)


def drop(name):
    """A change that loses an array."""
    return lambda arrays: arrays.pop(name)


def put(name, change):
    """A change of one array."""

    def apply(arrays):
        arrays[name] = change(arrays[name])

    return apply


def spoil(values):
    """The same with one NaN."""
    values = values.copy()
    values.flat[0] = np.nan
    return values


BLOCK = "Transformer/encoderblock_1"
OUT = f"{BLOCK}/MultiHeadDotProductAttention_0/out/kernel"


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        (drop(f"{BLOCK}/LayerNorm_0/scale"), WeightsMismatch, "only in the model, 1:"),
        (drop("embedding/kernel"), CheckpointError, "names of vit_jax, big_vision"),
        (
            drop("head/bias"),
            WeightsMismatch,
            r"only in the model, 1:\n  head/bias \(5,\)",
        ),
        (put("embedding/kernel", np.transpose), WeightsMismatch, "shapes must fit"),
        (put(OUT, np.transpose), WeightsMismatch, "Is an array transposed"),
        (put(OUT, spoil), CheckpointError, "got 1 NaN or infinite values in"),
        (put("cls", lambda x: x.astype("int32")), CheckpointError, "must be floats"),
        (
            lambda arrays: arrays.update(other=np.zeros(2, "float32")),
            WeightsMismatch,
            r"only in the file, 1:\n  other \(2,\)",
        ),
    ],
)
def test_damaged_weights(google, tmp_path, change, kind, match):
    """One array missing, transposed, spoilt or too many: one error that says which."""
    path = edited(google[0], tmp_path / "bad.npz", change)

    with pytest.raises(kind, match=match):
        weights.from_checkpoint(path)


def test_truncated_file(google, tmp_path):
    """Half a file is recognised whatever is cut off."""
    raw = google[0].read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "cut.npz").write_bytes(raw[: int(len(raw) * share)])
        with pytest.raises(CheckpointError, match="got damage"):
            weights.from_checkpoint(tmp_path / "cut.npz")


def test_computed_positions_need_an_image_size(tiny, tmp_path, images):
    """A file without positions does not tell its image size; ours notes it."""
    model = tiny(pooling="gap", position="sincos2d", activation="gelu_tanh")
    path = weights.save_checkpoint(model, tmp_path / "sincos.npz")
    same(model, weights.from_checkpoint(path, verbose=0), images)
    edited(path, tmp_path / "plain.npz", lambda arrays: None)

    with pytest.raises(CheckpointError, match="Pass image_size=224, for example"):
        weights.from_checkpoint(tmp_path / "plain.npz")
    loaded = weights.from_checkpoint(tmp_path / "plain.npz", image_size=32, verbose=0)
    same(model, loaded, images)


def test_odd_grids(tiny, tmp_path):
    """Positions that are no square need the image size or the grid."""
    model = tiny(image_size=(32, 48), activation="gelu_tanh")
    path = weights.save_checkpoint(model, tmp_path / "x.npz")
    edited(path, tmp_path / "plain.npz", lambda arrays: None)

    with pytest.raises(CheckpointError, match="make no square grid.*stored_grid"):
        weights.from_checkpoint(tmp_path / "plain.npz")
    for known in ({"image_size": (32, 48)}, {"stored_grid": (4, 6)}):
        loaded = weights.from_checkpoint(tmp_path / "plain.npz", verbose=0, **known)
        assert (None, 32, 48, 3) == loaded.input_shape


def test_variant_functions_take_files(google, tmp_path):
    """`ViT_B16(weights=path)` refuses another variant, and names the way out."""
    with pytest.raises(WeightsMismatch, match="must hold ViT-B/16, got .* width=16 in"):
        keras_vit.ViT_B16(weights=google[0])
    model = keras_vit.ViT_Ti16(input_shape=(32, 32, 3), classes=3)
    path = weights.save_checkpoint(model, tmp_path / "ti.npz")

    loaded = keras_vit.ViT_Ti16(weights=path)
    larger = keras_vit.ViT_Ti16(weights=str(path), input_shape=(64, 64, 3), classes=4)

    assert (None, 32, 32, 3) == loaded.input_shape and (None, 3) == loaded.output_shape
    assert (None, 64, 64, 3) == larger.input_shape and (None, 4) == larger.output_shape
    with pytest.raises(ValueError, match="one of ViT_Ti16's checkpoints .'augreg"):
        keras_vit.ViT_Ti16(weights="nonsense")


def test_hub_folder_brings_its_notes(tiny, tmp_path):
    """Labels, epsilon and preprocessing of a Hugging Face folder come along."""
    path = weights.save_checkpoint(tiny(epsilon=1e-12), tmp_path / "hub", "hf")
    config = json.loads((path / "config.json").read_text())
    config.pop("keras_vit")
    config["id2label"] = {str(k): f"name {k}" for k in range(5)}
    (path / "config.json").write_text(json.dumps(config))
    note = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    note |= {"resample": 3, "size": {"shortest_edge": 37}, "crop_size": 32}
    note |= {"do_center_crop": True}
    (path / "preprocessor_config.json").write_text(json.dumps(note))

    model = weights.from_checkpoint(path, verbose=0)

    assert [f"name {k}" for k in range(5)] == model.labels
    assert 1e-12 == model.get_layer("norm").epsilon
    expected = keras_vit.Preprocessing(
        (32, 32), "imagenet", "short_side", 32 / 37, "bicubic", True, "each_pass"
    )
    assert expected == model.preprocessing


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("hidden_act", "swish", "config.json must give 'hidden_act' as one of gelu"),
        ("num_attention_heads", "many", "as a whole number above 0, got 'many'"),
        ("layer_norm_eps", [], "between 0 and 1"),
        ("image_size", -3, "one or two whole numbers"),
    ],
)
def test_bad_configuration(tiny, tmp_path, key, value, match):
    """A configuration is believed only where it makes sense."""
    path = weights.save_checkpoint(tiny(), tmp_path / "hub", "hf")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, key: value}))

    with pytest.raises(CheckpointError, match=match):
        weights.from_checkpoint(path)


def test_describe_reads_headers_alone(google, monkeypatch):
    """A description has architecture and counts, and reads no array."""
    path, model = google
    monkeypatch.setattr(
        "keras_vit.weights.arrays.ArrayFile.array", lambda *_: pytest.fail("read")
    )

    facts = weights.describe(path)

    assert ("google", "npz") == (facts.family, facts.format)
    assert model.count_params() == facts.values
    expected = {"width": 16, "depth": 2, "heads": 2, "classes": 5}
    assert expected.items() <= facts.architecture.items()
    assert facts.to_dict()["arrays"] == facts.arrays and "width" in str(facts)


def test_describe_knows_what_comes_later(shared):
    """Families without a model here are named, and loading says which class it is."""
    folder = shared / "fixtures" / "checkpoints"

    facts = weights.describe(folder / "hf_imagegpt.safetensors")

    assert "image_gpt" == facts.family and "image GPT" in facts.notes[0]
    with pytest.raises(TypeError, match=r"got an image GPT.*ImageGPT\.from_checkpoint"):
        weights.from_checkpoint(folder / "hf_imagegpt.safetensors")
