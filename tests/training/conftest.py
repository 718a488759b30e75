"""Small data sets and their batches, for every test of this room."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vit.training.data.pipeline import open_data


@pytest.fixture(scope="session")
def rows():
    """Images and labels of every batch of a data set, joined."""

    def joined(data):
        images, labels = zip(*data.as_numpy_iterator(), strict=True)
        return np.concatenate(images), np.concatenate(labels)

    return joined


@pytest.fixture(scope="session")
def streamed():
    """Batches of a training stream, the feed, and the opened source."""

    def batches(source, start=0, steps=3, **options):
        options = {"image_size": 8, "batch_size": 10, "augment": "none", **options}
        opened, feed, _ = open_data(source, **options, verbose=0)
        stream = feed.stream(opened.split("train"), start)
        return list(stream.take(steps).as_numpy_iterator()), feed, opened

    return batches


@pytest.fixture(scope="session")
def write_folder():
    """Write two classes of so many JPEGs, and give the folder back."""

    def write(root, count=12):
        pixels = np.random.default_rng(0).integers(0, 256, (40, 9, 12, 3), "uint8")
        for number in range(2 * count):
            path = root / "ab"[number % 2] / f"{number:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tf.io.encode_jpeg(pixels[number]).numpy())
        return root

    return write
