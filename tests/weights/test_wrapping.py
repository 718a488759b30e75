"""What trainers put around weights does not keep them from being read."""

import numpy as np
import pytest
from keras import ops

from keras_vit import weights
from keras_vit.errors import CheckpointError
from keras_vit.models.bit import BigTransfer
from keras_vit.weights import torch_pickle
from keras_vit.weights.safetensors import read_safetensors, write_safetensors
from keras_vit.weights.wrapping import unwrapped


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A model of one block, and the arrays of its timm file."""
    model = tiny(depth=1, classes=3)
    folder = tmp_path_factory.mktemp("whole")
    arrays = read_safetensors(
        weights.save_checkpoint(model, folder / "own.safetensors", "timm")
    )
    return model, {name: arrays.array(name) for name in arrays}


def put(path, arrays, prefix=""):
    """Write arrays under other names, without a note beside them."""
    write_safetensors(path, {prefix + n: v for n, v in arrays.items()}, {})
    return path


def check(model, loaded, images):
    """Both give the same answers."""
    first, second = (ops.convert_to_numpy(m(images)) for m in (model, loaded))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module._orig_mod.", "model._orig_mod.module.", "any.0."]
)
def test_any_prefix_is_taken_off(prefix, whole, images, tmp_path):
    """Names that compilers, trainers and wrappers put in front of each other."""
    model, arrays = whole
    path = put(tmp_path / "x.safetensors", arrays, prefix)

    check(model, weights.from_checkpoint(path, heads=2, verbose=0), images)


def test_a_head_may_stand_outside_the_backbone(whole, tmp_path):
    """As much of the prefix is taken off as each name has."""
    _, arrays = whole
    names = {n if n.startswith("head") else f"backbone.{n}" for n in arrays}
    path = put(
        tmp_path / "x.safetensors", {f"net.{n}": np.zeros(1, "f4") for n in names}
    )

    found, notes = unwrapped(read_safetensors(path))

    assert set(arrays) == set(found) and not notes
    assert "net.backbone.cls_token" == found.origin["cls_token"]


def test_wrappers_within_names_are_taken_out(whole, tmp_path):
    """Sharded, checkpointed and compiled blocks leave a part in the middle."""
    _, arrays = whole
    path = put(
        tmp_path / "x.safetensors",
        {
            f"_fsdp_wrapped_module.{n}".replace(
                "blocks.0", "blocks.0._checkpoint_wrapped_module"
            ): v
            for n, v in arrays.items()
        },
    )

    assert set(arrays) == set(unwrapped(read_safetensors(path))[0])


def test_of_several_copies_the_average_is_taken_and_said(whole, images, tmp_path):
    """A teacher or EMA goes before its student; the other copy is accounted for."""
    model, arrays = whole
    both = {f"student.{n}": -v for n, v in arrays.items()}
    both |= {f"teacher.{n}": v for n, v in arrays.items()}
    loaded = weights.from_checkpoint(
        put(tmp_path / "x.safetensors", both), heads=2, verbose=0
    )

    check(model, loaded, images)
    report = loaded.loading_report
    assert "took 'teacher.', left out 'student.'" in str(report)
    assert len(arrays) == len(report.skipped)


def test_equal_copies_are_left_to_the_caller(whole, images, tmp_path):
    """Nothing is guessed between two encoders; skip decides."""
    model, arrays = whole
    both = {f"online.{n}": v for n, v in arrays.items()}
    both |= {f"momentum.{n}": -v for n, v in arrays.items()}
    path = put(tmp_path / "x.safetensors", both)

    with pytest.raises(CheckpointError, match="must hold one model, got copies .*skip"):
        weights.from_checkpoint(path, heads=2)
    loaded = weights.from_checkpoint(path, heads=2, skip="momentum.*", verbose=0)
    check(model, loaded, images)


def test_counters_are_left_out_and_named(whole, tmp_path):
    """Buffers are no weights: they are accounted for without being asked about."""
    _, arrays = whole
    path = put(tmp_path / "x.safetensors", {**arrays, "n_averaged": np.zeros(1, "f4")})

    loaded = weights.from_checkpoint(path, heads=2, verbose=0)

    assert {"n_averaged": "a counter of averages"} == loaded.loading_report.skipped


def test_skip_comes_before_any_check(whole, monkeypatch, tmp_path):
    """What is left out may be of a kind that could not be read."""
    _, arrays = whole
    path = put(tmp_path / "x.safetensors", {**arrays, "loss.table": np.zeros(2, "f4")})
    found = weights.formats.open_checkpoint(path)
    found.entries["loss.table"] = found["loss.table"]._replace(dtype="C64", read=None)
    monkeypatch.setattr(
        "keras_vit.weights.checkpoint.open_checkpoint", lambda path: found
    )

    with pytest.raises(CheckpointError, match="floats, got 'C64' in 'loss.table'"):
        weights.from_checkpoint(path, heads=2)
    loaded = weights.from_checkpoint(path, heads=2, skip="loss.*", verbose=0)
    assert {"loss.table": "skipped as asked"} == loaded.loading_report.skipped


TENSOR = torch_pickle.Tensor(None, 0, (1,), (1,))


@pytest.mark.parametrize(
    ("tree", "wrap"),
    [
        ({"head.weight": TENSOR}, ""),
        ({"model_state_dict": {"a.b": TENSOR}, "epoch": 3}, "model_state_dict"),
        ({"net": {"a.b": TENSOR}, "step": TENSOR}, "net"),
        ({"state_dict": {"model": {"a.b": TENSOR}}}, "state_dict.model"),
        ({"anything": {"a.b": TENSOR}, "optimizer": {"a.b": TENSOR}}, "anything"),
        ({"model": {"a.b": TENSOR}, "model_ema": {"c.d": TENSOR}}, "model_ema"),
    ],
)
def test_weights_are_found_under_any_key(tree, wrap):
    """Known keys in their order of trust, then whatever else holds names of layers."""
    assert wrap == torch_pickle._weights("x.pth", tree)[1]


def test_standardised_kernels_are_not_summed(tmp_path):
    """Their answers to grey would change: the way out is named."""
    bit = BigTransfer(image_size=32, units=(1,), filters=(32,), classes=2)
    path = weights.save_checkpoint(bit, tmp_path / "bit.npz")

    with pytest.raises(ValueError, match="channels: .*standardised.*np.repeat"):
        weights.from_checkpoint(path, channels=1)


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_other_channels_keep_the_answer_to_grey(channels, whole, tmp_path):
    """One channel sums the colours; more repeat them, scaled: timm's rule, and said."""
    model, arrays = whole
    path = put(tmp_path / "x.safetensors", arrays)

    loaded = weights.from_checkpoint(path, heads=2, channels=channels, verbose=0)

    assert (None, 32, 32, channels) == loaded.input_shape
    grey = np.full((1, 32, 32, 1), 0.3, "float32")
    expected = ops.convert_to_numpy(model(np.repeat(grey, 3, axis=-1)))
    if channels != 4:  # of four, one colour counts twice
        got = ops.convert_to_numpy(loaded(np.repeat(grey, channels, axis=-1)))
        np.testing.assert_allclose(expected, got, atol=1e-5)
    assert f"3 -> {channels} channels" in str(loaded.loading_report)
