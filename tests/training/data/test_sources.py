import pathlib

import numpy as np
import pytest
import tensorflow as tf

from keras_vit import training
from keras_vit.errors import DataError
from keras_vit.training.data import array_source
from keras_vit.training.data.pipeline import open_data
from keras_vit.training.data.splits import IndexedSplit, SequentialSplit

COUNT = 40
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (COUNT, 9, 12, 3), "uint8")
LABELS = np.arange(COUNT) % 4


def test_arrays_become_splits(rows):
    """A tenth of each label is validation; floats and uint8 are the same."""
    train, val, info = training.load_data(
        (PIXELS, LABELS), image_size=8, batch_size=6, augment="none", verbose=0
    )
    other = training.load_data(
        (PIXELS.astype(float), LABELS), 8, 6, augment="none", verbose=0
    )[2]

    assert {"train": 36, "validation": 4} == info.counts
    assert ("0", "1", "2", "3") == info.class_names
    assert info.source.startswith("own:")
    assert other.source == info.source
    assert [0, 1, 2, 3] == sorted(rows(val)[1])
    assert (36, 8, 8, 3) == rows(train)[0].shape
    changed = training.load_data((PIXELS, LABELS[::-1]), 8, 6, verbose=0)[2]
    assert changed.source != info.source


def test_a_data_set_of_the_user_is_augmented_alike(streamed):
    """The same images as arrays and as tf.data give the same pixels for a seed."""
    data = tf.data.Dataset.from_tensor_slices((PIXELS, LABELS))
    parts = {"train": data, "validation": data.take(4), "class_names": list("abcd")}
    split = array_source.read_own(parts).splits["train"]
    counters = tf.data.Dataset.range(COUNT)
    plain = IndexedSplit(PIXELS, LABELS.astype("int32"))
    pairs = zip(split.counted(counters), plain.counted(counters), strict=True)
    _, _, info = training.load_data(parts, image_size=8, batch_size=6, verbose=0)

    assert all(np.array_equal(a[1], b[1]) and a[2] == b[2] for a, b in pairs)
    assert ("a", "b", "c", "d") == info.class_names
    shuffled = streamed(parts, steps=4)[0]
    assert sorted(LABELS) == sorted(np.concatenate([y for _, y in shuffled]))


def test_labels_may_stand_in_a_column():
    """As `keras.datasets.cifar10.load_data` gives them."""
    column = array_source.read_own((PIXELS, LABELS[:, None]))
    assert array_source.read_own((PIXELS, LABELS)).name == column.name
    assert 1 == column.splits["train"].labels.ndim


def test_arrays_train_and_go_on(plain, tmp_path):
    """`fit` takes them; another array is another run."""
    images = RNG.integers(0, 256, (24, 32, 32, 3), "uint8")
    labels = np.arange(24) % 3
    options = {"output_dir": tmp_path / "run", "batch_size": 8, "verbose": 0}
    result = training.fit("finetune", plain(3), (images, labels), epochs=1, **options)

    assert ("0", "1", "2") == result.info.class_names
    assert result.recipe.data == result.info.source
    with pytest.raises(FileExistsError, match="must not hold an earlier run"):
        training.fit("finetune", plain(3), (images, labels[::-1]), epochs=2, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((PIXELS[0], LABELS), "images of 'train' must be .n, H, W, C.*got shape"),
        ((PIXELS / 255, LABELS), "between 0 and 255, got .*Multiply them by 255"),
        ((PIXELS, LABELS[:5]), "must be 40 whole numbers from 0.*Use argmax"),
        ((PIXELS, LABELS * 0.5), "whole numbers from 0, got float64"),
        ({"test": (PIXELS, LABELS)}, "must have 'train'.*got .'test'"),
        ({"train": 3}, "'train' must be .images, labels.*got int"),
        (
            {"train": (PIXELS, LABELS), "class_names": ["a"]},
            "must be below 1, the number of class_names, got 3",
        ),
        (tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)), "needs 'validation'"),
        (
            tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).batch(2),
            "single .image, label.*Undo .batch",
        ),
        (
            tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).repeat(),
            "known length, got -1.*without repeat",
        ),
    ],
)
def test_wrong_data_are_explained(data, message):
    """The message has what came and what to do."""
    with pytest.raises(DataError, match=message):
        training.load_data(data, verbose=0)


def test_repeated_images_are_augmented_each_in_its_own_way(streamed):
    """Three in a row have one label and one source, but other pixels."""
    arrays = (PIXELS, np.arange(COUNT))
    steps, feed, opened = streamed(
        {"train": arrays, "validation": arrays}, repeats=3, augment="light"
    )
    images, labels = (np.concatenate(part) for part in zip(*steps, strict=True))
    late = streamed(
        {"train": arrays, "validation": arrays}, 2, 1, repeats=3, augment="light"
    )[0]

    assert (labels.reshape(10, 3) == labels[::3, None]).all()
    assert 10 == len(set(labels))
    assert (images[::3] != images[1::3]).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(steps[2][0], late[0][0])
    sequential = SequentialSplit(
        lambda seed: tf.data.Dataset.from_tensor_slices(arrays), COUNT
    )
    counted = sequential.counted(tf.data.Dataset.range(5, 9), first=5, repeats=3)
    assert [1, 2, 2, 2] == [int(label) for _, _, label in counted]
    assert feed.names(opened.split("train"), 0)[0].startswith("image ")


@pytest.fixture
def large(tmp_path, monkeypatch, write_folder):
    """A folder that is too large to be checked before."""
    monkeypatch.setattr(training.data.sources, "MOST_CHECKED", 3)
    monkeypatch.setattr(training.data.sources, "SAMPLED", 1)
    return write_folder(tmp_path / "photos")


def test_a_bad_image_in_the_middle_is_replaced(large, capsys, streamed):
    """The next one takes its place, everything else stays where it was, and it is
    named; parts of workers still make the same batches."""
    options = {"batch_size": 4}
    good, feed, opened = streamed(f"folder:{large}", steps=4, **options)
    name = feed.names(opened.split("train"), 1)[2]
    pathlib.Path(name).write_bytes(b"\xff\xd8\xff no image")
    found, feed, _ = streamed(f"folder:{large}", steps=4, **options)
    parts = [
        streamed(f"folder:{large}", steps=4, workers=(k, 2), **options)[0]
        for k in range(2)
    ]

    assert name in feed.bad
    assert f"cannot decode {name}; the next one takes" in capsys.readouterr().out
    for step in (0, 1, 2, 3):
        same = (good[step][0] == found[step][0]).all(axis=(1, 2, 3))
        assert same.sum() >= 3 and (step or same.all())
    np.testing.assert_array_equal(found[1][0][2], found[1][0][3])
    for step, (images, labels) in enumerate(found):
        joined = [np.concatenate([p[step][k] for p in parts]) for k in (0, 1)]
        np.testing.assert_array_equal(images, joined[0])
        np.testing.assert_array_equal(labels, joined[1])


def test_a_bad_image_stops_who_asked_for_it(large, rows, streamed):
    """With its name."""
    _, feed, opened = streamed(f"folder:{large}", steps=1)
    name = feed.names(opened.split("train"), 0)[2]
    pathlib.Path(name).write_bytes(b"\xff\xd8\xff no image")
    with pytest.raises(tf.errors.OpError, match=f"cannot be decoded: {name}"):
        streamed(f"folder:{large}", steps=2, on_bad_image="stop")
    train, val, info = training.load_data(f"folder:{large}", 8, 4, verbose=0)
    for _ in range(5):  # one pass may leave it out, with the end of its images
        assert 4 == sum(1 for _ in train)  # no batch is lost
    assert name in info.replaced
    skipped, _ = training.load_split(
        f"folder:{large}", "train", 8, 4, on_bad_image="skip", verbose=0
    )
    assert info.counts["train"] - 1 == len(rows(skipped)[1])


def test_a_file_that_is_gone_is_a_bad_image(large, streamed):
    """It is named, and the next one takes its place."""
    _, feed, opened = streamed(f"folder:{large}", steps=1)
    name = feed.names(opened.split("train"), 0)[2]
    pathlib.Path(name).unlink()
    stream = feed.stream(opened.split("train")).take(1)
    found = list(stream.as_numpy_iterator())

    assert name in feed.bad
    np.testing.assert_array_equal(found[0][0][2], found[0][0][3])


def test_a_large_folder_is_checked_by_a_sample(large, monkeypatch, capsys):
    """It is said how large that is; a bad image in it is refused, or left out."""
    bad = sorted(large.rglob("*.jpg"))[7]
    bad.write_bytes(b"\xff\xd8\xff no image")
    monkeypatch.setattr(training.data.sources, "SAMPLED", 24)
    with pytest.raises(DataError, match=f"1 of 24 that cannot be decoded: {bad}"):
        open_data(f"folder:{large}", image_size=8, verbose=0)
    info = open_data(f"folder:{large}", on_bad_image="skip", image_size=8)[2]

    assert (str(bad),) == info.skipped
    assert "24 of 24 are checked, a random sample" in capsys.readouterr().out


def test_a_stream_ends_when_its_folder_is_gone(large, monkeypatch, streamed):
    """After ten batches, which are more than 50, with names and a way out."""
    monkeypatch.setattr(training.data.bad_images.Patience, "IMAGES", 50)
    _, feed, opened = streamed(f"folder:{large}", steps=1)
    train = opened.split("train")
    batches = iter(feed.stream(train, 3))
    next(batches)
    large.rename(large.with_name("away"))
    said = f"got 100 in a row that are not, near {large}/./.*Bring their folder"
    with pytest.raises(DataError, match=said), training.data.bad_images.plain_errors():
        for _ in range(100):  # some were read before
            next(batches)
    large.with_name("away").rename(large)

    assert 10 == len(next(iter(feed.stream(train, 3)))[0])


def test_images_are_checked_once(tmp_path, write_folder, monkeypatch):
    """What was decoded is not decoded again, unless the file has changed since."""
    folder = write_folder(tmp_path / "photos")
    checked, decodable = [], training.data.check_folder._decodable

    def note(paths, verbose):
        checked.append(paths)
        return decodable(paths, verbose)

    monkeypatch.setattr(training.data.check_folder, "_decodable", note)
    for _ in range(2):
        open_data(f"folder:{folder}", image_size=8, verbose=0)
    assert [24] == [len(paths) for paths in checked]
    bad = folder / "a" / "00.jpg"
    bad.write_bytes(b"\xff\xd8\xff no image")
    for _ in range(2):  # what is bad is looked at again
        with pytest.raises(DataError, match=f"1 of 24 that cannot be decoded: {bad}"):
            open_data(f"folder:{folder}", image_size=8, verbose=0)
    assert [[str(bad)], [str(bad)]] == checked[1:]


def test_cached_files_are_read_once(tmp_path, streamed, write_folder):
    """Batches are the same, also when the files are gone."""
    folder = write_folder(tmp_path / "photos")
    options = {"batch_size": 4, "augment": "light"}
    plain = streamed(f"folder:{folder}", **options)[0]
    opened, feed, _ = open_data(
        f"folder:{folder}", image_size=8, cache=True, verbose=0, **options
    )
    train = opened.split("train")
    for path in folder.rglob("*.jpg"):
        path.unlink()
    cached = list(feed.stream(train).take(3).as_numpy_iterator())

    np.testing.assert_array_equal(plain[2][0], cached[2][0])
    assert feed.names(train, 0)[0].endswith(".jpg")


def test_a_batch_is_drawn_with_its_labels(tmp_path):
    """One tile per image, shares of mixed images below."""
    image = pytest.importorskip("PIL.Image")
    answer = training.draw_batch(
        {"train": (PIXELS, LABELS), "class_names": ["cat", "dog", "hen", "fox"]},
        tmp_path / "batch.png",
        batch_size=9,
        image_size=32,
        mixup=0.3,
        augment="light1",
    )

    assert 9 == len(answer["images"]) == len(answer["labels"])
    assert any("%" in label for label in answer["labels"])
    with image.open(tmp_path / "batch.png") as picture:
        assert (3 * 98, 3 * 110) == picture.size
    assert "light1" == answer["augment"]
    with pytest.raises(FileExistsError, match="batch.png"):
        training.draw_batch((PIXELS, LABELS), tmp_path / "batch.png")
