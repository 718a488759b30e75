"""Models that learn without labels go through `fit` like all others."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_vit
from keras_vit import training
from keras_vit.training.engine import TrainStep

ON_TENSORFLOW = keras.config.backend() == "tensorflow"
only_tensorflow = pytest.mark.skipif(
    not ON_TENSORFLOW, reason="the step on JAX is Keras' own"
)
TINY = {"patch_size": 8, "width": 32, "depth": 1, "heads": 4, "mlp_dim": 64}
KINDS = {
    "MaskedAutoencoder": {
        **TINY,
        "decoder_width": 16,
        "decoder_depth": 1,
        "decoder_heads": 2,
    },
    "MaskedPatchPrediction": TINY,
    "ImageGPT": {"width": 16, "depth": 1, "heads": 2, "colors": 8},
}


def _train(kind, path, **options):
    sizes = {"ImageGPT": 8}
    return training.fit(
        recipe="digits",
        model={"kind": kind, **KINDS[kind]},
        image_size=sizes.get(kind, 32),
        epochs=2,
        monitor="val_loss",
        output_dir=path,
        verbose=0,
        **{"ema": None, "augment": "none", **options},
    )


# `tests/cli/test_unlabelled.py` pre-trains a masked autoencoder by the command.
@pytest.mark.parametrize(
    "kind",
    [
        "ImageGPT",
        "MaskedPatchPrediction",
        pytest.param("MaskedAutoencoder", marks=pytest.mark.slow),
    ],
)
def test_it_trains_and_what_is_kept_loads(kind, tmp_path):
    """The loss falls, the best model is on disk, a classifier can be made of it."""
    pieces = {"micro_batch": 32} if ON_TENSORFLOW else {}
    result = _train(kind, tmp_path / "run", **pieces)
    assert result.history["val_loss"][-1] < result.history["val_loss"][0]
    assert "top1" not in result.history
    best = keras.saving.load_model(tmp_path / "run" / "best.keras")
    images = np.zeros((2, *best.image_shape), "float32")
    answers = zip(*(_arrays(m(images)) for m in (best, result.model)), strict=True)
    assert all(np.array_equal(a, b) for a, b in answers)
    classifier = keras_vit.classifier_from(best, classes=10)
    assert classifier.output_shape == (None, 10)


def _arrays(answer):
    return [ops.convert_to_numpy(a) for a in keras.tree.flatten(answer)]


def test_a_score_cannot_be_watched(tmp_path):
    """There is no top-1 without labels; the message says what to pass."""
    model = keras_vit.MaskedPatchPrediction(image_size=32, **TINY)
    with pytest.raises(
        ValueError,
        match=r"monitor: .* got 'val_top1'.*'val_loss', or .*classifier_from",
    ):
        training.fit("digits", model, monitor="val_top1", output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_kind_is_named(tmp_path):
    """The message lists what there is."""
    with pytest.raises(ValueError, match=r"kind must be one of .* got 'VAE'"):
        training.fit("digits", {"kind": "VAE"}, output_dir=tmp_path / "run", verbose=0)


@only_tensorflow
def test_the_gradient_of_a_table_that_is_looked_up_is_whole():
    """An image GPT trains without clipping too: no rule has to add IndexedSlices."""
    model = keras_vit.ImageGPT(image_size=4, **KINDS["ImageGPT"])
    trainee = TrainStep(model)
    trainee.compile(keras.optimizers.SGD())
    found, _ = trainee.gradients(tf.zeros((2, 4, 4, 3)), None, None)
    assert all(isinstance(gradient, tf.Tensor) for gradient in found)
    shapes = [tuple(gradient.shape) for gradient in found]
    assert shapes == [tuple(weight.shape) for weight in model.trainable_weights]


@only_tensorflow
@pytest.mark.parametrize("objective", ["autoregressive", "bert"])
def test_gradients_of_an_image_gpt_are_the_same_each_time(objective):
    """No sum of three or more, whose order would be left to chance."""
    model = keras_vit.ImageGPT(image_size=4, objective=objective, **KINDS["ImageGPT"])
    trainee = TrainStep(model)
    trainee.compile(keras.optimizers.SGD())
    step = tf.function(lambda x: trainee.gradients(x, None, None)[0])
    graph = step.get_concrete_function(tf.TensorSpec((2, 4, 4, 3))).graph
    sums = [op for op in graph.get_operations() if op.type == "AddN"]

    assert sums and {2} == {len(op.inputs) for op in sums}
