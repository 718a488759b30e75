import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_vit
from keras_vit import training
from keras_vit.errors import DataError
from keras_vit.training.data import check_folder as folder
from keras_vit.training.data import sources


def write_image(path, seed, shape=(20, 24, 3)):
    """A random picture; the suffix decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, "uint8")
    encode = tf.io.encode_png if path.suffix == ".png" else tf.io.encode_jpeg
    path.write_bytes(encode(pixels).numpy())
    return pixels


def write_classes(root, counts, suffix=".png"):
    """Class folders with so many pictures each."""
    for label, (name, count) in enumerate(counts.items()):
        for number in range(count):
            write_image(root / name / f"{number}{suffix}", 100 * label + number)
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of ten pictures, not split."""
    root = tmp_path_factory.mktemp("photos")
    return write_classes(root, {"cat": 10, "dog": 10})


def test_digits_are_split_once_and_for_all():
    """The three splits hold each of the 1,797 digits once, in fixed places."""
    source = sources.open_source("digits")

    counts = {name: split.size for name, split in source.splits.items()}
    assert {"train": 1257, "validation": 180, "test": 360} == counts
    assert [7, 6, 3, 7, 7] == source.split("test").labels[:5].tolist()
    assert 255 == max(split.records.max() for split in source.splits.values())
    for split in source.splits.values():
        share = np.bincount(split.labels, minlength=10) / split.size
        np.testing.assert_allclose(share, 0.1, atol=0.01)


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "google"},
        {"mode": "imagenet", "resize": "short_side", "crop": 0.9},
        {"mode": "none", "resize": "short_side", "interpolation": "bicubic"},
        {"mode": "none", "rounding": "truncate", "antialias": False},
        {"mode": "none", "rounding": "each_pass", "resize": "short_side"},
    ],
)
def test_evaluation_images_equal_the_preprocessing_of_the_model(photos, how):
    """A split gives the very numbers that `Preprocessing` gives for its images."""
    note = keras_vit.Preprocessing((16, 16), **how)
    images, _ = next(
        iter(training.load_split(f"folder:{photos}", preprocessing=note, verbose=0)[0])
    )
    files = folder.list_splits(photos)[1]["test"]
    pixels = [tf.io.decode_image(path.read_bytes()).numpy() for path, _ in files]

    expected = np.stack([keras.ops.convert_to_numpy(note(p)) for p in pixels])
    # Rounding may fall to either side of a tie.
    tolerance = 1.0 if note.rounding == "each_pass" else 1e-3
    np.testing.assert_allclose(images, expected, atol=tolerance)
    assert images.dtype == tf.float32


def test_digits_can_be_prepared_for_any_model():
    """Pixels of a known size take the same path as files."""
    note = keras_vit.Preprocessing(
        (20, 16), resize="short_side", interpolation="bicubic", rounding="each_pass"
    )
    data, _ = training.load_split("digits", preprocessing=note, verbose=0)
    pixels = sources.open_source("digits").split("test").records[:64]

    expected = keras.ops.convert_to_numpy(note(pixels.repeat(3, -1)))
    np.testing.assert_allclose(next(iter(data))[0], expected, atol=1.01 / 127.5)


def test_each_pass_over_the_training_set_is_another_epoch():
    """Two passes differ in order and augmentation; the same seed repeats them."""
    train = [training.load_data("digits", seed=3, verbose=0)[0] for _ in range(2)]
    labels = [
        [np.concatenate([y for _, y in data.as_numpy_iterator()]) for _ in range(2)]
        for data in train
    ]

    np.testing.assert_array_equal(labels[0][0], labels[1][0])
    np.testing.assert_array_equal(labels[0][1], labels[1][1])
    assert (labels[0][0] != labels[0][1]).any()
    assert len(train[0]) == 1257 // 64
    assert len(labels[0][0]) == 1257 // 64 * 64


def test_a_training_stream_can_start_at_any_step():
    """Batch 30 is the same whether the stream began at 0 or at 30."""
    opened, feed, _ = training.data.pipeline.open_data("digits", seed=1)
    train = opened.split("train")
    late = next(iter(feed.stream(train, start=30)))
    long = next(iter(feed.stream(train).skip(30)))

    np.testing.assert_array_equal(late[0], long[0])
    np.testing.assert_array_equal(late[1], long[1])


def test_an_epoch_of_the_stream_holds_every_image_once():
    """Shuffling is a permutation."""
    opened, _, _ = training.data.pipeline.open_data("digits")
    split = opened.split("validation")
    counters = tf.data.Dataset.range(2 * split.size)
    rows = [
        image.tobytes()
        for _, image, _ in split.counted(counters, 5).as_numpy_iterator()
    ]

    first, second = rows[: split.size], rows[split.size :]
    assert sorted(first) == sorted(second)
    assert first != second


def test_formats_and_colours_become_three_channels(tmp_path):
    """JPEG, PNG, BMP and GIF, grey, palette and alpha, are all read as RGB."""
    image = pytest.importorskip("PIL.Image")
    for label in ("a", "b"):
        for number, (mode, suffix) in enumerate(
            [
                ("RGB", "jpg"),
                ("L", "jpeg"),
                ("RGB", "PNG"),
                ("L", "png"),
                ("RGBA", "png"),
                ("LA", "png"),
                ("P", "png"),
                ("1", "png"),
                ("I;16", "png"),
                ("RGB", "bmp"),
                ("L", "bmp"),
                ("P", "gif"),
                ("L", "gif"),
                ("CMYK", "jpg"),
            ]
        ):
            (tmp_path / label).mkdir(exist_ok=True)
            picture = image.new(mode, (9, 7), 1)
            picture.save(tmp_path / label / f"{number}.{suffix}")
    train, val, info = training.load_data(
        f"folder:{tmp_path}", image_size=8, batch_size=5, verbose=0
    )

    assert 28 == sum(info.counts.values())
    for data in (train, val):
        for images, labels in data:
            assert images.shape[1:] == (8, 8, 3)
            assert labels.dtype == tf.int32


def test_split_folders_are_read_as_tfds_reads_them(tmp_path):
    """Same images and same labels as TFDS' own ImageFolder."""
    tfds = pytest.importorskip("tensorflow_datasets")
    for split in ("train", "validation", "test"):
        write_classes(tmp_path / split, {"b": 2, "a": 3})
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path))
    names, files = folder.list_splits(tmp_path)

    assert builder.info.features["label"].names == list(names)
    for split, rows in files.items():
        theirs = {
            (row["image/filename"].decode(), int(row["label"]))
            for row in tfds.as_numpy(builder.as_dataset(split=split))
        }
        assert theirs == {(str(path), label) for path, label in rows}


def test_missing_validation_is_held_out_of_train(tmp_path):
    """With train and test alone, a tenth of each class of train is validation."""
    write_classes(tmp_path / "train", {"a": 20, "b": 10})
    write_classes(tmp_path / "test", {"a": 2, "b": 2})
    source = sources.open_source(f"folder:{tmp_path}", verbose=0)

    counts = {name: split.size for name, split in source.splits.items()}
    assert {"train": 27, "validation": 3, "test": 4} == counts
    _, _, info = training.load_data(
        f"folder:{tmp_path}", image_size=8, batch_size=9, verbose=0
    )
    assert ("test", counts) == (info.test_split, info.counts)


def test_without_a_name_the_split_of_the_final_score_is_loaded(tmp_path):
    """Test where there is one, else validation; a bad image in it is found."""
    write_classes(tmp_path / "train", {"a": 2, "b": 2})
    write_classes(tmp_path / "val", {"a": 2, "b": 3})
    data, info = training.load_split(f"folder:{tmp_path}", image_size=8, verbose=0)

    assert "validation" == info.test_split
    assert 5 == sum(len(labels) for _, labels in data)
    (tmp_path / "val" / "a" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="1 of 5.*val/a/0.png"):
        training.load_split(f"folder:{tmp_path}", image_size=8, verbose=0)


def test_class_folders_are_split_by_name_alone(photos, tmp_path):
    """Splits are stratified, disjoint, and the same for a copy elsewhere."""
    files = folder.list_splits(photos)[1]
    copy = folder.list_splits(write_classes(tmp_path / "copy", {"cat": 10, "dog": 10}))

    assert {"train": 14, "validation": 2, "test": 4} == {
        split: len(rows) for split, rows in files.items()
    }
    for split, rows in files.items():
        assert [p.relative_to(photos) for p, _ in rows] == [
            p.relative_to(tmp_path / "copy") for p, _ in copy[1][split]
        ]
    everything = [path for rows in files.values() for path, _ in rows]
    assert 20 == len(set(everything)) == len(everything)


def damage(root):
    """Truncate one training image of each class folder; returns the paths."""
    files = folder.list_splits(root)[1]["train"]
    bad = [files[0][0], files[-1][0]]
    for path in bad:
        path.write_bytes(path.read_bytes()[:200])
    return [str(path) for path in bad]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_damaged_image_is_refused_by_name_or_skipped(tmp_path, suffix):
    """It is found before training; skipping counts it."""
    write_classes(tmp_path, {"cat": 10, "dog": 10}, suffix)
    bad = damage(tmp_path)
    with pytest.raises(DataError) as caught:
        training.load_data(f"folder:{tmp_path}", image_size=8, verbose=0)
    train, _, info = training.load_data(
        f"folder:{tmp_path}", image_size=8, batch_size=4, on_bad_image="skip", verbose=0
    )

    assert all(path in str(caught.value) for path in bad)
    assert "2 of 16" in str(caught.value)
    assert "on_bad_image='skip'" in str(caught.value)
    assert set(bad) == set(info.skipped)
    assert 12 == info.counts["train"] == sum(len(y) for _, y in train)


BAD_FOLDERS = {
    "no folder": (FileNotFoundError, "no such folder.*Check the path", {}),
    "no classes": (DataError, "one folder per class.*got no folders.*Sort", {"": 3}),
    "one class": (DataError, "two classes or more, got only 'cat'.*Add", {"cat": 4}),
    "empty class": (DataError, "dog: needs 3 images.*got 0.*Add", {"cat": 4, "dog": 0}),
    "split without train": (
        DataError,
        "folder 'train'.*Add",
        {"test/a": 1, "test/b": 1},
    ),
    "empty split": (
        DataError,
        "val: must hold images.*Fill it",
        {"train/a": 2, "train/b": 2, "val/a": 0},
    ),
    "class missing in train": (
        DataError,
        "every class.*got none of 'b'.*Add",
        {"train/a": 2, "train/b": 0, "val/a": 1, "val/b": 1},
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_folder_that_cannot_be_used_is_explained(tmp_path, case):
    """The message has the path, the rule and the way out."""
    error, message, layout = BAD_FOLDERS[case]
    root = tmp_path / "photos"
    if layout:
        root.mkdir()
    for name, count in layout.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            write_image(root / name / f"{number}.png", number)

    with pytest.raises(error, match=f"photos.*{message}"):
        training.load_data(f"folder:{root}", verbose=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "photos/"}, "data: must be.*got 'photos/'.*Put 'folder:'"),
        ({"augment": "lite"}, "augment: .*got 'lite'. Did you mean 'light'"),
        ({"on_bad_image": "ignore"}, "on_bad_image: .*'skip', 'stop', got 'ignore'"),
        ({"batch_size": 0}, "batch_size: .*above 0, got 0"),
        ({"batch_size": 4000}, "batch_size: .*at most 1257.*got 4000"),
    ],
)
def test_wrong_arguments_are_explained(changes, message):
    """The message has the value and the choices."""
    with pytest.raises(ValueError, match=message):
        training.load_data(**{"source": "digits", "verbose": 0, **changes})


def test_an_unknown_split_is_explained(tmp_path):
    """The message lists the splits there are."""
    with pytest.raises(ValueError, match="'validation', 'test', got split='x'"):
        training.load_split("digits", "x")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small TFDS set, prepared on disk; its class is not registered."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class TinyShapes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """Random pictures of two classes."""

        __module__ = "tiny_shapes"  # TFDS would look for files beside this one
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=["disc", "square"]),
                }
            )
            return tfds.core.DatasetInfo(
                builder=self, features=features, supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples(40),
                "test": self._generate_examples(7),
            }

        def _generate_examples(self, count):
            rng = np.random.default_rng(count)
            for number in range(count):
                pixels = rng.integers(0, 256, (12, 10, 3), "uint8")
                yield number, {"image": pixels, "label": number % 2}

    folder = tmp_path_factory.mktemp("tfds")
    TinyShapes(data_dir=str(folder)).download_and_prepare()
    return folder


def test_a_prepared_tfds_set_is_read_from_disk(prepared, monkeypatch):
    """Its splits are used, validation is cut off train, every epoch is shuffled."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(prepared))
    train, val, info = training.load_data(
        "tfds:tiny_shapes", image_size=8, batch_size=6, verbose=0
    )
    test, _ = training.load_split("tfds:tiny_shapes", batch_size=6, image_size=8)

    assert ("disc", "square") == info.class_names
    assert {"train": 36, "validation": 4, "test": 7} == info.counts
    passes = [np.stack([x for x, _ in train.as_numpy_iterator()]) for _ in range(2)]
    assert (6, 6, 8, 8, 3) == passes[0].shape
    assert (passes[0] != passes[1]).any()
    assert 4 == sum(len(y) for _, y in val)
    assert [6, 1] == [len(y) for _, y in test]


def test_an_unknown_tfds_name_is_explained():
    """The nearest name is proposed."""
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DataError, match="'tfds:mnits'. Did you mean 'tfds:mnist'"):
        training.load_data("tfds:mnits", verbose=0)


def test_a_keras_cv_layer_can_be_chosen():
    """It is applied before the range of the model."""
    pytest.importorskip("keras_cv")
    train, _, info = training.load_data(
        "digits", image_size=16, augment="keras_cv:randaugment", verbose=0
    )
    images, _ = next(iter(train))

    assert "keras_cv:randaugment" == info.augment
    assert (64, 16, 16, 3) == images.shape
    assert -1.0 == np.min(images)
    assert np.max(images) <= 1.0


def test_reading_leaves_no_files_behind(photos):
    """Folders of images are only read."""
    before = sorted(os.listdir(photos))
    training.load_data(f"folder:{photos}", image_size=8, batch_size=2, verbose=0)

    assert before == sorted(os.listdir(photos))
