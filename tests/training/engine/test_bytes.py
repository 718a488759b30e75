"""Images go to the device as bytes, and are seen in the range of the model."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.summary.summary_iterator import summary_iterator

from keras_vit import Preprocessing, training
from keras_vit.training.data.batching import Feed
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.sources import open_source
from keras_vit.training.engine import TrainStep

LIGHT = "inception_crop(0.3)|flip|randaug(2,10)"


def first(folder, augment, in_bytes, mode="google", mix=None):
    """The first training images."""
    train = open_source(f"folder:{folder}", ("train",), "refuse", 0).split("train")
    note, mix = Preprocessing((8, 8), mode=mode), mix or Mix(0.0)
    feed = Feed(note, 8, augment, 0, 2, mix, in_bytes=in_bytes)
    return next(iter(feed.stream(train)))[0]


@pytest.mark.parametrize("mode", ["google", "imagenet", "none"])
def test_bytes_become_what_floats_are(tmp_path, write_folder, tiny, mode):
    """To rounding, in every range."""
    write_folder(tmp_path)
    found, floats = (first(tmp_path, LIGHT, b, mode) for b in (True, False))

    assert (tf.uint8, tf.float32) == (found.dtype, floats.dtype)
    np.testing.assert_allclose(
        TrainStep(tiny(), mode).preprocess_inputs(found), floats, atol=1e-6
    )
    assert np.ptp(found) > 100


@pytest.mark.parametrize(
    ("augment", "mix"),
    [
        ("inception_crop(0.3)", Mix(0.2)),
        ("inception_crop(0.3)|erase", None),
        ("shift(1)", None),
        ("none", None),
    ],
)
def test_what_is_between_levels_stays_as_it_is(tmp_path, write_folder, augment, mix):
    """Mixed, erased, moved and merely resized images."""
    write_folder(tmp_path)

    assert tf.float32 == first(tmp_path, augment, True, mix=mix).dtype


def test_a_run_of_bytes_is_a_run_of_floats(tmp_path, write_folder, tiny, monkeypatch):
    """The same weights to rounding, the same picture in TensorBoard."""
    write_folder(tmp_path / "photos")
    stream, seen = Feed.stream, []

    def watched(feed, *where):
        seen.append(stream(dataclasses.replace(feed, in_bytes=not seen), *where))
        return seen[-1]

    monkeypatch.setattr(Feed, "stream", watched)
    options = {"augment": LIGHT, "batch_size": 8, "epochs": 2, "verbose": 0}
    found = []
    for name in ("bytes", "floats"):
        data = {"data": f"folder:{tmp_path / 'photos'}", "output_dir": tmp_path / name}
        model = tiny(classes=2, depth=1)
        result = training.fit("finetune", model, **data, **options)
        found.append([result.model.get_weights(), drawn(tmp_path / name)])

    (weights, picture), (others, other) = found
    assert [tf.uint8, tf.float32] == [s.element_spec[0].dtype for s in seen]
    assert picture == other != []
    for one, two in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def drawn(folder):
    """The pictures in the event files of a run, as PNG."""
    paths = (folder / "tensorboard" / "train").glob("events*")
    events = [event for path in paths for event in summary_iterator(str(path))]
    values = [value for event in events for value in event.summary.value]
    return [
        picture
        for value in values
        if value.tag == "images"
        for picture in value.tensor.string_val
    ]
