"""One reader of image folders; what it does not take is counted and named."""

import os
import pathlib
import unicodedata

import pytest
from PIL import Image

from keras_vit import image_files, image_folder
from keras_vit.errors import DataError
from keras_vit.image_folder import scan, split_of

RED = Image.new("RGB", (4, 4), "red")


def fill(root, *names):
    """Small images, or other files, at these places below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".jpg", ".png"):
            RED.save(path, "PNG")
        else:
            path.write_bytes(b"no image")
    return root


def classes(*names, count=3, inside=("",)):
    """Places of images in class folders, inside of other folders."""
    files = [f"{name}/{number}.jpg" for name in names for number in range(count)]
    return [f"{folder}/{file}".strip("/") for folder in inside for file in files]


def said(found):
    """All notes as one text."""
    return "; ".join(found.notes)


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "valid", "test"), ("train", "validation", "test")),
        (("Training", "Testing"), ("train", "test")),
        (("TRAIN", "dev"), ("train", "validation")),
        (("training_set", "test_set"), ("train", "test")),
        (("train_images", "val-images"), ("train", "validation")),
        (("Train", "Validation", "Test"), ("train", "validation", "test")),
    ],
)
def test_splits_have_many_names(tmp_path, folders, splits):
    """Each image is in the split that its folder is named after."""
    for folder in folders:
        fill(tmp_path / folder, *classes("a", "b", count=10))
    found = scan(tmp_path)

    assert "split folders" == found.layout and ("a", "b") == found.class_names
    for folder, split in zip(folders, splits, strict=True):
        paths = {path.relative_to(tmp_path).parts[0] for path, _ in found.splits[split]}
        assert {folder} == paths
    assert ("a tenth of train" in said(found)) == ("validation" not in splits)


def test_a_split_of_an_unknown_name_is_refused_or_named(tmp_path):
    """Never taken for a class; beside known splits it is left out with its images."""
    fill(
        tmp_path / "a",
        *classes("x", "y", inside=("seg_one", "seg_two")),
    )
    fill(
        tmp_path / "b",
        *classes("x", "y", inside=("train", "holdout")),
    )
    with pytest.raises(DataError, match="'seg_one', 'seg_two', which hold the same"):
        scan(tmp_path / "a")
    found = scan(tmp_path / "b")

    assert "none of a split: 1 (6 images), holdout" in said(found)
    assert (str(tmp_path / "b" / "holdout"),) == found.skipped


def test_two_folders_of_one_split_are_refused(tmp_path):
    """With both names."""
    fill(
        tmp_path,
        *classes("x", "y", inside=("train", "val", "valid")),
    )
    with pytest.raises(DataError, match="one validation folder, got both 'val'"):
        scan(tmp_path)


def test_splits_without_classes_are_refused(tmp_path):
    """train/ and test/ with images alone are not two classes; one beside classes is
    left out, and a class may be called train among others."""
    fill(tmp_path / "a", *classes("train", "test"))
    fill(tmp_path / "b", *classes("x", "y", inside=("train",)), *classes("test"))
    fill(tmp_path / "c", *classes("car", "train"))
    with pytest.raises(DataError, match="one folder per class, got test/, train/ with"):
        scan(tmp_path / "a")

    assert "splits without class folders: 1 (3 images), test" in said(
        scan(tmp_path / "b")
    )
    assert ("car", "train") == scan(tmp_path / "c").class_names


ENDINGS = ("jpg JPG jpeg jpe jfif png bmp gif webp tif TIFF avif ppm").split()


def test_endings_are_those_that_can_be_read(tmp_path):
    """All formats in any case; others are named, also those that hide their kind."""
    fill(tmp_path / "a", *(f"{k}.{end}" for k, end in enumerate(ENDINGS)))
    fill(tmp_path, *classes("b"), "b/photo.heic", "b/notes.txt", "b/more.txt")
    RED.save(tmp_path / "b" / "download", "PNG")
    found = scan(tmp_path, whole=True)

    assert len(ENDINGS) + 3 == len(found.splits["all"])
    names = {pathlib.Path(path).name for path in found.skipped}
    assert {"photo.heic", "download"} == names
    assert "left out, .heic files are not read: 1, b/photo.heic" in found.notes
    assert "left out, no images: .txt: 2, b/more.txt, b/notes.txt" in found.notes


def test_what_systems_leave_behind_is_no_image(tmp_path):
    """Hidden files, AppleDouble, thumbnails, checkpoints of notebooks."""
    litter = (".hidden.jpg", "._0.jpg", ".ipynb_checkpoints/0.jpg", "__MACOSX/0.jpg")
    litter += ("@eaDir/0.jpg", "Thumbs.db", ".DS_Store", "desktop.ini")
    fill(tmp_path, *classes("a", "b"), *(f"a/{name}" for name in litter), *litter)
    found = scan(tmp_path, whole=True)

    assert 6 == len(found.splits["all"]) and () == found.skipped
    assert f"hidden, or put there by a system: {2 * len(litter)}, " in said(found)
    assert 6 == len(image_files.look_through(tmp_path).all_images())


def test_class_names_may_begin_with_an_underscore(tmp_path):
    """_other is a class like all others."""
    fill(tmp_path, *classes("_other", "nut", "x.jpg"))

    assert ("_other", "nut", "x.jpg") == scan(tmp_path).class_names


def test_links_are_followed_and_loops_are_not(tmp_path):
    """Classes, splits and files may be links; a link upwards, or nowhere, is named."""
    fill(tmp_path / "store", *classes("a", "b"))
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    for name in "ab":
        (data / "train" / name).symlink_to(tmp_path / "store" / name)
    (data / "val").symlink_to(data / "train")
    (tmp_path / "store" / "a" / "up").symlink_to(data)
    (tmp_path / "store" / "a" / "self").symlink_to(tmp_path / "store" / "a")
    (tmp_path / "store" / "b" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "store" / "b" / "one.jpg").symlink_to(
        tmp_path / "store" / "b" / "0.jpg"
    )
    found = scan(data)

    assert {"train": 7, "validation": 7} == {k: len(v) for k, v in found.splits.items()}
    assert "a link into a folder around it" in said(found)
    assert "a link that leads nowhere: 2, train/b/gone.jpg" in said(found)


def test_many_links_to_each_other_come_to_an_end(tmp_path):
    """Eight folders, each with links to all others."""
    names = [f"c{k}" for k in range(8)]
    fill(tmp_path, *classes(*names))
    for one in names:
        for other in names:
            (tmp_path / one / f"to_{other}").symlink_to(tmp_path / other)

    assert names == list(scan(tmp_path).class_names)


def test_folders_below_a_class_belong_to_it(tmp_path):
    """Also those named like images."""
    fill(tmp_path, *classes("a", "b"), "a/2024/may/9.jpg", "a/x.jpg/8.jpg")
    found = scan(tmp_path, whole=True)

    assert 5 == sum(label == 0 for _, label in found.splits["all"])


def test_stray_images_are_named(tmp_path):
    """Beside class folders, in a split and above."""
    fill(tmp_path, *classes("x", "y", inside=("train",)), "train/1.jpg", "2.jpg")
    found = scan(tmp_path)

    assert {"1.jpg", "2.jpg"} == {pathlib.Path(path).name for path in found.skipped}
    assert "images beside the class folders: 2, 2.jpg, train/1.jpg" in said(found)


def test_a_class_that_only_one_split_has_is_named(tmp_path):
    """val without a class of train is noted; train without one of val is refused."""
    fill(tmp_path, *classes("x", "y", "z", inside=("train",)))
    fill(tmp_path, *classes("x", "y", inside=("val",)))

    assert "validation has no images of 1 of the classes: 'z'" in said(scan(tmp_path))


def test_archives_wrap_folders_in_folders(tmp_path):
    """photos/photos/CLASS and train/train/CLASS are looked into, and it is said."""
    fill(
        tmp_path / "a",
        *classes("x", "y", inside=("photos",)),
        "photos/t.txt",
        "r.md",
    )
    fill(
        tmp_path / "b",
        *classes("x", "y", inside=("train/train", "test/test")),
    )
    fill(
        tmp_path / "c", *classes("x", "y", inside=("d/train",)), "d/cover.jpg", "0.jpg"
    )
    fill(tmp_path / "d", *classes("x", "y", inside=("seg_1/seg_1", "seg_2/seg_2")))
    found = scan(tmp_path / "a")
    with pytest.raises(DataError, match="'seg_1', 'seg_2', which hold the same"):
        scan(tmp_path / "d")

    assert "2, 0.jpg, d/cover.jpg" in said(scan(tmp_path / "c"))
    assert ("x", "y") == found.class_names == scan(tmp_path / "b").class_names
    assert "those inside photos/" in said(found) and "r.md" in said(found)
    assert 6 == len(scan(tmp_path / "b").splits["test"])


def test_folders_of_notes_are_no_classes(tmp_path):
    """A folder of other files beside the classes is left out by name; one of images
    that cannot be read, or an empty one, is refused."""
    fill(tmp_path / "a", *classes("x", "y"), "labels/1.xml")
    fill(tmp_path / "b", *classes("x", "y"), "z/1.heic")

    assert ("x", "y") == scan(tmp_path / "a").class_names
    assert "folders without images: 1, labels" in said(scan(tmp_path / "a"))
    with pytest.raises(DataError, match="z: needs 3.*got 0 .left out, .heic files"):
        scan(tmp_path / "b")


def test_names_in_two_spellings_of_unicode_are_one_class(tmp_path):
    """macOS writes an accent as a letter of its own."""
    fill(tmp_path, *classes("Mütze", "y", inside=("train",)))
    fill(
        tmp_path,
        *classes(unicodedata.normalize("NFD", "Mütze"), "y", inside=("val",)),
    )
    found = scan(tmp_path)

    assert ("Mütze", "y") == found.class_names
    assert 3 == sum(label == 0 for _, label in found.splits["validation"])


def test_almost_the_same_names_are_named(tmp_path):
    """Case and spaces; and numbers stand in the order of texts."""
    fill(tmp_path / "c", *classes("Cat", "cat", "dog"))

    fill(tmp_path / "n", *classes("0", "2", "10"))

    assert "almost the same name: 'Cat', 'cat'" in said(scan(tmp_path / "c"))
    assert "order of their names as text: 0, 10, 2" in said(scan(tmp_path / "n"))


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_odd_entries_are_named(tmp_path):
    """A pipe named like an image, and a name that is not UTF-8."""
    fill(tmp_path, *classes("a", "b"))
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    RED.save(os.fsdecode(os.fsencode(tmp_path / "b") + b"/\xff.jpg"), "PNG")
    found = scan(tmp_path)

    assert 6 == sum(map(len, found.splits.values())) and 2 == len(found.skipped)
    assert "neither a file nor a folder: 1, a/pipe.jpg" in said(found)
    assert "a name that is not UTF-8: 1, b/\\xff.jpg" in said(found).replace(
        "udcff", "xff"
    )


def test_how_a_folder_is_split_is_said(tmp_path):
    """Shares with their counts, and the way to all images."""
    fill(tmp_path, *classes("a", "b", count=10))

    assert "a fifth is test and a tenth validation" in said(scan(tmp_path))
    assert "(train 14, validation 2, test 4 images); split='all'" in said(
        scan(tmp_path)
    )
    assert "validation" == split_of("dev") and split_of("test tube") is None
    assert 0.2 == image_folder.TEST_SHARE
