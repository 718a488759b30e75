"""Two views of each image: made by the data, compared by the model."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import training
from keras_vit.training.data.augment import get_preset
from keras_vit.training.data.pipeline import open_data

TINY = {"patch_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
MODEL = {"kind": "MoCoV3", "hidden_dim": 8, "projection_dim": 8, **TINY}
VIEWS = "random_resized_crop(0.5)|color_jitter|grey & blur(1.0)|solarize(1.0)"
DIGITS = {
    "recipe": "digits",
    "epochs": 2,
    "batch_size": 256,
    "image_size": 32,
    "augment": VIEWS,
    "monitor": "val_loss",
    "save_minutes": 0,
    "steps_per_execution": 1,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def feed():
    """Digits in pairs of views: the feed and its source."""
    source, feed, _ = open_data("digits", batch_size=8, augment=VIEWS, verbose=0)
    return feed, source


def test_views_differ_and_are_a_function_of_seed_and_step(feed):
    """A stream that begins in the middle has the same pairs; so has a validation."""
    feed, source = feed
    train, held = source.split("train"), source.split("validation")
    one, two = feed.stream(train).take(2).as_numpy_iterator()
    (again,) = feed.stream(train, 1).take(1).as_numpy_iterator()

    assert (8, 2, 32, 32, 3) == one[0].shape == two[0].shape
    np.testing.assert_array_equal(two[0], again[0])
    assert (np.abs(one[0][:, 0] - one[0][:, 1]).max(axis=(1, 2, 3)) > 0.1).all()
    first, second = (
        np.concatenate([batch[0] for batch in feed.in_order(held)]) for _ in range(2)
    )
    assert (held.size, 2, 32, 32, 3) == first.shape
    np.testing.assert_array_equal(first, second)


def test_steps_of_the_two_views_are_their_own(feed):
    """The second view of the papers' presets is solarized, and less often blurred."""
    first = get_preset("moco_v3")
    (second,) = first.others

    assert 2 == first.views == get_preset("simclr").views
    assert (5, 6) == (len(first.changes) + 1, len(second.changes) + 1)
    assert 1 == get_preset("light").views


def test_a_picture_of_a_batch_shows_both_views(tmp_path):
    """Side by side, above one caption."""
    image = pytest.importorskip("PIL.Image")
    options = {"augment": VIEWS, "image_size": 32, "batch_size": 4}
    training.draw_batch("digits", tmp_path / "pairs.png", "digits", **options)
    with image.open(tmp_path / "pairs.png") as drawn:
        width, height = drawn.size

    assert 1.5 * height < width


@pytest.mark.parametrize(
    "text", ["flip & flip & flip", "flip & erase(0.2)", "elastic & flip"]
)
def test_more_than_two_views_and_warps_are_refused(text):
    """The message says how views are written."""
    with pytest.raises(ValueError, match="views are two.*got .*Write 'random_resized"):
        get_preset(text)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (MODEL, {"augment": "light"}, "MoCoV3 takes 2 views.*got 'light'.*'moco_v3'"),
        (TINY, {"monitor": "val_top1"}, "the model takes 1 view of.*which makes 2"),
        (MODEL, {"micro_batch": 8}, "micro_batch: must be None for MoCoV3.*got 8"),
        (MODEL, {"sharpness": {"rho": 0.05}}, "sharpness: must be None for MoCoV3"),
        (
            {**MODEL, "kind": "SimCLR"},
            {"augment": "auto"},
            "SimCLR takes 2 views of each image, got 'auto', which makes 1",
        ),
        (MODEL, {"mixup": 0.2}, "mixup, cutmix: do not go with two views.*mixup=0"),
    ],
)
def test_what_does_not_go_together_is_refused(model, options, message, tmp_path):
    """Before the model is built, with the value and the way out."""
    with pytest.raises(ValueError, match=message):
        training.fit(model=model, output_dir=tmp_path / "r", **{**DIGITS, **options})


class Stop(keras.callbacks.Callback):
    """Ctrl-C in the second step of the second epoch."""

    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(tmp_path):
    """Averages, their step and statistics are part of the state; files load."""
    whole = training.fit(model=MODEL, output_dir=tmp_path / "whole", **DIGITS)
    with pytest.raises(KeyboardInterrupt):
        training.fit(
            model=MODEL, output_dir=tmp_path / "run", callbacks=[Stop()], **DIGITS
        )
    assert list((tmp_path / "run" / "states").glob("*.npz"))
    training.fit(model=MODEL, output_dir=tmp_path / "run", **DIGITS)
    last = [
        keras.saving.load_model(tmp_path / name / "last.keras")
        for name in ("whole", "run")
    ]

    for one, two in zip(*(model.get_weights() for model in last), strict=True):
        np.testing.assert_array_equal(one, two)
    assert [8.0, 8.0] == last[0].run.numpy().tolist()  # once per step, of so many
    assert whole.history["loss"][1] < whole.history["loss"][0]
    assert (None, 10) == keras_vit.classifier_from(last[0], 10).output_shape
