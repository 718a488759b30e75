import numpy as np
import pytest
from PIL import Image

from keras_vit.export.images.image_folder import LabelledFolder, read_folder
from keras_vit.preprocess import Preprocessing

NOTE = Preprocessing((32, 32))
NAMES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images in each of two folders named as classes, and a stray text."""
    top = tmp_path_factory.mktemp("photos")
    for kind in ("bee", "cat"):
        (top / kind).mkdir()
        for index in range(2):
            value = 100 + 20 * index
            image = Image.new("RGB", (40, 50), (value, value, value))
            image.save(top / kind / f"{index}.png")
    (top / "notes.txt").write_text("no image")
    return top


def test_images_are_taken_at_equal_distances(folder):
    """First and last of the sorted files are among them, in the model's range."""
    two = read_folder(folder, NOTE, 2)

    assert ((2, 32, 32, 3), "float32") == (two.shape, two.dtype.name)
    np.testing.assert_allclose(two[0], 100 / 127.5 - 1, atol=1e-5)
    np.testing.assert_allclose(two[1], 120 / 127.5 - 1, atol=1e-5)
    assert 4 == len(read_folder(folder, NOTE, 99))


def test_folders_names_are_labels_where_the_model_knows_them(folder):
    """Batches may be read again; unknown names give no labels."""
    found = LabelledFolder(folder, NOTE, names=NAMES)

    for _ in range(2):
        ((images, classes),) = list(found)
        assert (4, 32, 32, 3) == images.shape
        assert [1, 1, 2, 2] == classes.tolist()
    assert (1, 4, True) == (len(found), found.count, found.labelled)
    other = LabelledFolder(folder, NOTE, names=["ant", "dog"])
    assert not other.labelled and next(iter(other))[1] is None
    assert (
        "no folder is named as a label of the model: images count without"
        in (other.notes[-1])
    )
    assert (
        other.notes[-1:] == other.lost
        and "(4 images, in bee, cat). Name" in other.lost[0]
    )
    assert not found.lost
    with pytest.raises(ValueError, match="all of them or none, got 1 of 2.*: cat"):
        LabelledFolder(folder, NOTE, names=["ant", "bee"])


def test_a_label_may_stand_further_up(tmp_path):
    """Splits above and folders below a class change nothing."""
    for place in ("train/bee/1.png", "test/cat/2024/2.png", "test/bee/x.heic"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / place, "PNG")
    found = LabelledFolder(tmp_path, NOTE, names=NAMES)

    assert [2, 1] == next(iter(found))[1].tolist()
    assert ["left out, .heic files are not read: 1, test/bee/x.heic"] == found.notes


def test_names_are_compared_as_training_compares_them(folder, tmp_path):
    """Synonyms, case and underscores do not matter; a few images at equal distances."""
    names = ["ant", "Bee, honey_bee", "CAT"]
    table = tmp_path / "labels.csv"
    table.write_text("bee/0.png,honey bee\nbee/1.png,BEE\ncat/0.png,cat\n")

    assert [1, 2] == next(iter(LabelledFolder(folder, NOTE, names=names, most=2)))[
        1
    ].tolist()
    found = LabelledFolder(folder, NOTE, table, names, classes=3)
    assert [1, 1, 2] == next(iter(found))[1].tolist()


def test_a_table_gives_labels_by_index_or_name(folder, tmp_path):
    """With or without a first line that names the columns."""
    table = tmp_path / "labels.csv"
    table.write_text("file,class\nbee/0.png,2\ncat/1.png,ant\n\n")

    found = LabelledFolder(folder, NOTE, table, NAMES, classes=3)

    assert 2 == found.count
    assert [2, 0] == next(iter(found))[1].tolist()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ValueError, "lines `file name,class`, got none"),
        (
            "bee/0.png,1\nbee/9.png,1\n",
            FileNotFoundError,
            "1 of 2.*: bee/9.png",
        ),
        ("bee/0.png,dog\n", ValueError, "an index or a name.*'dog' for bee/0.png"),
        ("bee/0.png,3\n", ValueError, "from 0 to 2, got 3"),
    ],
)
def test_tables_are_checked_before_images_are_read(
    text, error, message, folder, tmp_path
):
    """Every line, with what is wrong and what to do."""
    table = tmp_path / "labels.csv"
    table.write_text(text)

    with pytest.raises(error, match=message):
        LabelledFolder(folder, NOTE, table, NAMES, classes=3)


def test_wrong_folders(folder, tmp_path):
    """Missing, empty, not images, or a model that does not say how."""
    with pytest.raises(NotADirectoryError, match="must be a folder of images"):
        read_folder(tmp_path / "no", NOTE, 3)
    with pytest.raises(ValueError, match="must hold images, got none with .apng"):
        read_folder(tmp_path, NOTE, 3)
    with pytest.raises(ValueError, match="preprocessing: must be known"):
        read_folder(folder, None, 3)
    with pytest.raises(FileNotFoundError, match="no such table"):
        LabelledFolder(folder, NOTE, tmp_path / "no.csv")
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match="a.png: must be an image"):
        read_folder(tmp_path, NOTE, 3)
