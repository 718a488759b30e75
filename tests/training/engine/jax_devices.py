"""Train on JAX's backend in all ways; `test_jax.py` reads what this prints.

    KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=2 \\
        python tests/training/engine/jax_devices.py FOLDER [--resume]
"""

import argparse
import json
import pathlib

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_vit import training

MODEL = {
    "patch_size": 16,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "mlp_dim": 32,
    "qkv_bias": False,
    "dropout": 0.1,
    "drop_path": 0.1,
}


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of the second epoch."""

    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            raise KeyboardInterrupt


def images():
    """Digits: 256 to learn from; 45 to validate on, which two devices cannot share."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels * 15.9).astype("uint8").reshape(-1, 8, 8, 1)
    cut = {"train": slice(256), "validation": slice(256, 301)}
    return {name: (pixels[part], labels[part]) for name, part in cut.items()}


def train(folder, strategy, **options):
    """Two epochs of four steps."""
    return training.fit(
        "digits",
        model=MODEL,
        data=images(),
        epochs=2,
        batch_size=64,
        clipnorm=0.05,
        ema=0.9,
        augment="inception_crop(0.9)",  # bytes on their way to the devices
        steps_per_execution=1,
        strategy=strategy,
        output_dir=folder,
        verbose=0,
        **options,
    )


def largest(one, other):
    """Largest difference of two lists of arrays."""
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def compare(folder):
    """Strategy -> what came out, beside one device."""
    found, first = {}, None
    x, y = images()["validation"]
    for name in ("one", "data_parallel", "model_parallel"):
        result = train(folder / name, name)
        kernel = result.model.get_layer("block_0").mlp.fc1.kernel.value
        shards = [list(shard.data.shape) for shard in kernel.addressable_shards]
        best = keras.saving.load_model(folder / name / "best.keras")
        last = keras.saving.load_model(folder / name / "last.keras")
        held = training.load_data(images(), image_size=32, batch_size=20)[1]
        report = training.evaluate.report(result.model, held, verbose=0)
        weights = [best.get_weights(), last.get_weights()]
        first = first or weights
        found[name] = {
            "shards": shards,
            "best": largest(weights[0], first[0]),
            "last": largest(weights[1], first[1]),
            "result": largest(weights[0], result.model.get_weights()),
            "moved": largest(weights[1], weights[0]),
            "top1": [
                report.top["top1"],
                result.history["val_top1"][result.best_epoch - 1],
            ],
            "val_loss": result.history["val_loss"],
        }
    return found


def resume(folder):
    """Strategy -> largest difference of a run that was stopped and went on."""
    found = {}
    for name in ("one", "data_parallel", "model_parallel"):
        whole = train(folder / f"{name}-whole", name)
        try:
            train(folder / name, name, callbacks=[Interrupt()])
        except KeyboardInterrupt:
            states = len(list((folder / name / "states").glob("*.npz")))
        again = train(folder / name, name)
        weights = [run.model.get_weights() for run in (whole, again)]
        same = whole.history == again.history
        found[name] = {"states": states, "weights": largest(*weights), "same": same}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    print(json.dumps((resume if given.resume else compare)(given.folder)))
