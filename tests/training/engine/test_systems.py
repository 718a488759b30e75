"""Every system goes through the engine: stopped and gone on with, in half precision."""

import keras
import numpy as np
import pytest

from keras_vit import models, training

SMALL = {"patch_size": 8, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
PIXELS = {"kind": "ImageGPT", "width": 16, "depth": 1, "heads": 2, "colors": 8}


def bit(dtype=None):
    """A small ResNet."""
    keras.utils.set_random_seed(0)
    return models.BigTransfer(
        image_size=32, units=(1,), filters=(32,), classes=10, dtype=dtype
    )


SYSTEMS = {
    "mae": {"kind": "MaskedAutoencoder", **SMALL, **DECODER},
    "patches": {"kind": "MaskedPatchPrediction", **SMALL},
    "igpt": PIXELS,
    "bert": {**PIXELS, "objective": "bert"},
    "bit": bit,
    "hybrid": {**SMALL, "patch_size": 1, "stem": (1,)},
}

# The convolutions of a hybrid's stem take minutes in float16 on a processor.
HALVES = [(name, "mixed_bfloat16") for name in SYSTEMS]
HALVES += [(name, "mixed_float16") for name in SYSTEMS if name != "hybrid"]


class Stop(keras.callbacks.Callback):
    """Ctrl-C in the second epoch."""

    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        """Count."""
        self.steps += 1
        if self.steps == 6:
            raise KeyboardInterrupt


def train(name, path, callbacks=(), precision=None):
    """Two epochs of four steps."""
    model, given = SYSTEMS[name], {"precision": precision}
    if callable(model):
        model, given = model(precision), {}
    return training.fit(
        "digits",
        model,
        epochs=2,
        batch_size=256,
        image_size=8 if name in ("igpt", "bert") else 32,
        augment="none",
        ema=None,
        steps_per_execution=1,
        save_minutes=0,
        output_dir=path,
        callbacks=list(callbacks),
        verbose=0,
        **given,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_stopped_run_ends_as_a_whole_one(name, tmp_path):
    """The same bits in every weight, and the same numbers of every epoch."""
    whole = train(name, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(name, tmp_path / "parts", [Stop()])
    again = train(name, tmp_path / "parts")

    pairs = zip(whole.model.get_weights(), again.model.get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)
    assert whole.history == again.history


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), HALVES)
def test_half_precision_learns(name, precision, tmp_path):
    """The loss is a number and falls; what is kept opens with its precision."""
    result = train(name, tmp_path / "run", precision=precision)

    first, last = result.history["loss"]
    assert np.isfinite(last) and last < first
    best = keras.saving.load_model(tmp_path / "run" / "best.keras")
    policies = {layer.dtype_policy.name for layer in best._flatten_layers()}
    assert precision in policies
