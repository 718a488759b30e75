"""Every format that `predict` reads is trained on, in the same place each time."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_vit import training
from keras_vit.errors import DataError

KINDS = {"webp": "WEBP", "tif": "TIFF", "bmp": "BMP", "jfif": "JPEG", "JPG": "JPEG"}


@pytest.fixture
def mixed(tmp_path):
    """Two classes of ten images in five formats, some turned."""
    turned = Image.Exif()
    turned[0x0112] = 6
    rng = np.random.default_rng(0)
    for number in range(20):
        end = list(KINDS)[number // 2 % 5]
        path = tmp_path / "ab"[number % 2] / f"{number:02}.{end}"
        path.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 256, (9, 12, 3), "uint8"))
        options = {"exif": turned} if number % 3 == 0 and end != "bmp" else {}
        picture.save(path, KINDS[end], **options)
    return tmp_path


def test_a_stream_of_all_formats_can_be_restarted(mixed, streamed):
    """Step 2 is the same when the stream begins there."""
    options = {"batch_size": 4, "augment": "light", "seed": 3}
    whole = streamed(f"folder:{mixed}", 0, 3, **options)[0]
    late = streamed(f"folder:{mixed}", 2, 1, **options)[0]

    np.testing.assert_array_equal(whole[2][0], late[0][0])
    np.testing.assert_array_equal(whole[2][1], late[0][1])


def test_all_formats_are_counted_and_what_is_left_out_is_told(mixed, capsys):
    """On the screen, in the notes, and as paths."""
    (mixed / "a" / "new.heic").write_text("no image")
    (mixed / "stray.png").write_text("no image")
    info = training.load_data(f"folder:{mixed}", 8, 4)[2]
    said = capsys.readouterr().out

    assert 20 == sum(info.counts.values())
    assert {str(mixed / "a" / "new.heic"), str(mixed / "stray.png")} == set(
        info.skipped
    )
    for note in info.notes:
        assert note in said
    assert any(".heic files are not read" in note for note in info.notes)
    assert "a fifth is test" in info.notes[0] and "\r" not in said


def test_labels_counted_from_one_are_refused():
    """Where nobody names the classes there would be one too many."""
    arrays = np.zeros((9, 8, 8, 3), "uint8"), np.arange(9) % 3 + 1
    with pytest.raises(DataError, match="from 0, got none below 1.*labels - 1"):
        training.load_data(arrays, 8)


def test_prepared_records_hold_all_formats(mixed, rows, tmp_path_factory):
    """Also where folders below a class hold files of one name."""
    for name in ("x", "y"):
        (mixed / "a" / name / "b").mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(mixed / "a" / name / "b" / "1.png")
    out = tmp_path_factory.mktemp("out") / "set"
    answer = training.prepare(mixed, out, verbose=0)
    found = [
        rows(training.load_split(source, "train", 8, 4, verbose=0)[0])[0]
        for source in (f"tfds:{out}", f"folder:{mixed}")
    ]

    assert 22 == sum(answer["counts"].values()) and json.dumps(answer["notes"])
    one, other = (sorted(image.tobytes() for image in images) for images in found)
    assert one == other
