"""Trains one small model in many ways and prints its last weights: no test by itself.

`equality.py OUT` runs every case on one device and on two logical CPU devices;
with TF_CONFIG set it runs them as one worker of several. Weights of each case and kind
go to OUT/KIND-CASE.npz. `--steps N` and `--cases A,B` choose less.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

# The bias of keys has no gradient but rounding errors, which Adam turns into steps.
MODEL = {
    "patch_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32,
    "qkv_bias": False,
}  # fmt: skip
ALONE = {"monitor": "val_loss", "optimizer": "sgd", "learning_rate": 0.01}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
PIXELS = {"width": 16, "depth": 1, "heads": 2, "colors": 8}


def plain():
    """Two weights."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(image))

    return keras.Model(image, keras.layers.Dense(10)(x))


def bit():
    """A small ResNet."""
    from keras_vit.models import BigTransfer

    keras.utils.set_random_seed(0)

    return BigTransfer(image_size=32, units=(1,), filters=(32,), classes=10)


VIEWS = "flip|color_jitter(0.4,0.4,0.4,0.1) & flip|blur(0.5)|solarize(0.5)"
CONTRAST = {"pooling": "gap", "projection_dim": 8, "hidden_dim": 16, **MODEL}
# Batch norm takes shifts away: their gradients are rounding errors too, hence SGD.
PAIRS = {
    "augment": VIEWS, "monitor": "val_loss", "optimizer": "sgd", "learning_rate": 1e-3,
}  # fmt: skip
SMALL = {**MODEL, "patch_size": 8}
CASES = {
    "plain": {},
    "simclr": {**PAIRS, "model": {"kind": "SimCLR", **CONTRAST}},
    "moco_v3": {**PAIRS, "model": {"kind": "MoCoV3", **CONTRAST}},
    "mae": {**ALONE, "model": {"kind": "MaskedAutoencoder", **DECODER, **SMALL}},
    "patches": {**ALONE, "model": {"kind": "MaskedPatchPrediction", **SMALL}},
    "bert": {
        **ALONE,
        "image_size": 8,
        "augment": "none",
        "model": {"kind": "ImageGPT", "objective": "bert", **PIXELS},
    },
    "bit": {**ALONE, "model": bit},
    "hybrid": {**ALONE, "model": {**MODEL, "patch_size": 1, "stem": (1,)}},
    "pieces": {"micro_batch": 8},
    "clipping": {"clipnorm": 0.05},
    "ema": {"ema": 0.9},
    "mixup": {"mixup": 0.2},
    "bfloat16": {"precision": "mixed_bfloat16"},
    "bfloat16_pieces": {"precision": "mixed_bfloat16", "micro_batch": 16},
    "all": {"micro_batch": 8, "clipnorm": 0.05, "ema": 0.9},
    "all_plain": {"micro_batch": 8, "clipnorm": 0.05, "ema": 0.9, "model": plain},
    "together": {"steps_per_execution": 13, "xla": True},  # 39 = 3 * 13
}


class Look(keras.callbacks.Callback):
    """Copy weights and averages after so many steps, and stop."""

    def __init__(self, steps):
        super().__init__()
        self.left, self.found = steps, []

    def on_train_batch_end(self, batch, logs=None):
        """One step or several are over."""
        self.left -= self.model.steps_per_execution
        if self.left <= 0 and not self.found:
            optimizer = self.model.optimizer
            averages = getattr(optimizer, "_model_variables_moving_average", [])
            kept = [*self.model.trainable_variables, *averages]
            self.found = [keras.ops.convert_to_numpy(v.value) for v in kept]
            self.model.stop_training = True


def train(strategy, case, steps, folder):
    """Weights and averages of one run after so many steps."""
    from keras_vit import training

    look, options = Look(steps), {"model": MODEL, **CASES[case]}
    if callable(options["model"]):
        options["model"] = options["model"]()
    training.fit(
        "digits",
        epochs=2,
        batch_size=32,
        strategy=strategy,
        output_dir=folder,
        verbose=0,
        callbacks=[look],
        **{"steps_per_execution": 1, "ema": None, **options},
    )
    return look.found


def main(words):
    """Run what is asked for."""
    out, options = words[0], dict(zip(words[1::2], words[2::2], strict=True))
    steps = int(options.get("--steps", 50))
    cases = options.get("--cases", ",".join(CASES)).split(",")
    if "TF_CONFIG" not in os.environ:
        cpu = tf.config.list_physical_devices("CPU")[0]
        half = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [half, half])
        kinds = {"one": "one", "mirrored": "mirrored"}
    else:
        from keras_vit.training import choose_strategy

        kinds = {"workers": choose_strategy("multi_worker")}
    for case in cases:
        for kind, strategy in kinds.items():
            arrays = train(strategy, case, steps, f"{out}/{kind}-{case}")
            np.savez(f"{out}/{kind}-{case}.npz", *arrays)


if __name__ == "__main__":
    main(sys.argv[1:])
