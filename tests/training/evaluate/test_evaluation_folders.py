"""Folders that are only evaluated on: parts of them, and parts of the classes."""

import keras
import pytest

import keras_vit
from keras_vit import classes, training
from keras_vit.errors import DataError


def write_classes(root, counts):
    """Class folders with so many grey pictures each."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            keras.utils.save_img(
                root / name / f"{number}.png", keras.ops.ones((9, 9, 3))
            )


def test_a_folder_for_evaluation_alone(tmp_path):
    """Without train there is nothing to train on, but a score can be had."""
    write_classes(tmp_path / "val", {"a": 1, "b": 2})
    source = f"folder:{tmp_path}"
    data, info = training.load_split(source, image_size=8, verbose=0)

    assert [0, 1, 1] == next(iter(data))[1].numpy().tolist()
    assert {"validation": 3} == info.counts
    with pytest.raises(DataError, match="'train', got.*validation.*Add one"):
        training.load_data(source, image_size=8, verbose=0)


def test_all_images_of_a_folder(tmp_path):
    """Classes of one image cannot be split, but every image can be scored."""
    write_classes(tmp_path, {"a": 1, "b": 2})
    source = f"folder:{tmp_path}"
    data, info = training.load_split(source, "all", image_size=8, verbose=0)

    assert [0, 1, 1] == next(iter(data))[1].numpy().tolist()
    assert {"all": 3} == info.counts
    with pytest.raises(DataError, match="3 images or more.*split='all'"):
        training.load_split(source, image_size=8, verbose=0)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("n01440764", "n01484850"), [0, 2]),
        (("tench", "Great White Shark"), [2, 0]),  # sorted: capitals come first
    ],
)
def test_classes_are_found_by_name(tmp_path, folders, expected):
    """Some of the classes of a model, by label or WordNet number, in any order."""
    write_classes(tmp_path, dict.fromkeys(folders, 1))
    labels = ["tench, Tinca tinca", *keras_vit.imagenet.NAMES[1:]]
    data, info = training.load_split(
        f"folder:{tmp_path}", "all", image_size=8, labels=labels, verbose=0
    )

    assert expected == next(iter(data))[1].numpy().tolist()
    assert tuple(labels) == info.class_names


def test_labels_that_occur_twice_are_told_by_place():
    """Two classes of ImageNet are called crane; all thousand in order are clear."""
    names = keras_vit.imagenet.NAMES

    assert list(range(1000)) == classes.numbers("x", names, names)
    with pytest.raises(DataError, match="crane"):
        classes.numbers("x", ["crane"], names)


def test_a_class_without_a_label_is_named(tmp_path):
    """The error has the class, some labels, and both ways out."""
    write_classes(tmp_path, {"cat": 1, "dgo": 1})
    with pytest.raises(DataError, match=r"cat, dog.*got dgo\. Rename.*--by-order"):
        training.load_split(f"folder:{tmp_path}", "all", 8, labels=["cat", "dog"])
