"""Tables of labels as people write them; nothing in them is lost in silence."""

import pytest
from PIL import Image

from keras_vit.export.images.label_table import read_table

NAMES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four images, one with an accent and a comma in its name."""
    folder = tmp_path_factory.mktemp("tables") / "photos0"
    folder.mkdir()
    for name in ("a.png", "b.png", "c,d.png", "für.JPG"):
        Image.new("RGB", (4, 4)).save(folder / name, "PNG")
    return folder


def read(photos, text, encoding="utf-8", **options):
    """(name, class) of a table with this text, and its notes."""
    table = photos / "labels.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    rows, notes = read_table(table, photos, NAMES, 3, **options)
    return [(path.name, number) for path, number in rows], notes


ROWS = "für.JPG,bee\nb.png,0\n"
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_are_told_by_their_bytes(photos, encoding):
    """UTF-8 and UTF-16 of Excel, with and without a mark."""
    assert [("für.JPG", 1), ("b.png", 0)] == read(photos, ROWS, encoding)[0]


@pytest.mark.parametrize(
    "text",
    [
        "a.png;ant\nb.png;cat\n",
        "a.png\tant\r\nb.png\tcat\r\n",
        '"a.png","ant"\n"b.png","cat"\n',
        "a.png, ant\n\n b.png ,cat",
        "file,class\na.png,ant\nb.png,cat\n",
        "Dateiname,Klasse\na.png,ant\nb.png,cat\n",
        "id,file_name,extra,label\n1,a.png,x,ant\n2,b.png,y,cat\n",
        "label,image\nant,a.png\ncat,b.png\n",
        "image_id,label\na,0\nb,2\n",
        "a.png 0\nb.png  2\n",
        "a.png ant\nb.png cat\n",
        "A.PNG,ant\nb.Png,cat\n",
        "a.png|ant\nb.png|cat\n",
        "a.png,ant,\nb.png,cat,,\n",
        "file,class\na.png,0.0\nb.png,2.\n",
        "photos0/a.png,ant\nphotos0\\b.png,cat\n",
    ],
)
def test_forms_of_a_table(photos, text):
    """Separators, quotes, headings in any language, other columns, missing endings."""
    assert [("a.png", 0), ("b.png", 2)] == read(photos, text)[0]


def test_a_heading_is_told(photos):
    """And a first line whose image is missing is none."""
    assert (
        "the first line is a heading, file, class"
        in read(photos, "file,class\n" + ROWS)[1][0]
    )
    with pytest.raises(FileNotFoundError, match="got 1 of 3.*: gone.png.*skip"):
        read(photos, "gone.png,ant\n" + ROWS)
    with pytest.raises(FileNotFoundError, match="got 1 of 3.*: gone"):
        read(photos, "gone,0\n" + ROWS)


def test_missing_images_are_counted(photos):
    """Refused, or skipped when asked for; never all of them."""
    text = "".join(f"x{k}.png,ant\n" for k in range(5))
    rows, notes = read(photos, text + ROWS, on_missing="skip")

    assert 2 == len(rows)
    assert "images 5 of 7 that are not in" in notes[0]
    assert "x0.png, x1.png, x2.png and 2 more" in notes[0]
    with pytest.raises(FileNotFoundError, match="got 5 of 5"):
        read(photos, text, on_missing="skip")
    with pytest.raises(ValueError, match="on_missing: must be one of .*got 'ignore'"):
        read(photos, ROWS, on_missing="ignore")


def test_commas_without_quotes_are_seen_through(photos):
    """In the name of a file, and in that of a class."""
    assert [("c,d.png", 2)] == read(photos, "c,d.png,cat\n")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a.png,\xe4nt\n", "UTF-8 or UTF-16, got a bad byte at 6.*CSV UTF-8"),
        ("a.png\n", "every line must be .file name,class., got 1 columns"),
        ("id,note,score\n1,x,2\n", "heading which column is the file"),
        ("a.png,1\nb.png,3\n", "from 0 to 2, got 3. They seem to be counted from 1"),
        ("a.png,0\na.png,1\n", "each image one class, got '1' for a.png.*class 0"),
    ],
)
def test_wrong_tables_are_explained(photos, text, message):
    """With what came, and what to do."""
    with pytest.raises(ValueError, match=message):
        read(photos, text)


def test_lines_that_say_the_same_twice_are_counted(photos):
    """Once is enough for the image."""
    rows, notes = read(photos, ROWS + "b.png,ant\n")

    assert 2 == len(rows) and "1 lines name an image again" in notes[0]
