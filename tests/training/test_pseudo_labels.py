"""Labels of a teacher: what is kept, what a student learns from."""

import json

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import cli, training
from keras_vit.errors import DataError
from keras_vit.training.pseudo_labels import choose

image = pytest.importorskip("PIL.Image")
SIZE = 8


def _write(path, value, rng):
    """An image of one brightness, with a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.normal(value, 8, (SIZE, SIZE, 3)).clip(0, 255).astype("uint8")
    image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Dark and light images in class folders; more of them without, and half a file."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for number in range(24):
        name = ("dark", "light")[number % 2]
        _write(root / "labelled" / name / f"{number}.png", 40 + 170 * (number % 2), rng)
    for number in range(12):  # nine dark ones, two light ones, one between
        value = 40 if number < 9 else 210 if number < 11 else 125
        _write(root / "more" / str(number % 3) / f"{number}.png", value, rng)
    (root / "more" / "bad.png").write_bytes(b"\x89PNG")
    return root


@pytest.fixture(scope="module")
def teacher():
    """Sees the mean brightness; its classes stand the other way round."""
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(images)
    scores = keras.layers.Dense(2, name="head")(x)
    model = keras_vit.models.ImageModel(images, scores)
    model.get_layer("head").set_weights(
        [np.array([[3.0, -3.0]] * 3), np.array([0.0, 0.0])]
    )
    model.preprocessing = keras_vit.Preprocessing((SIZE, SIZE))
    model.labels = ["light", "dark"]
    return model


@pytest.fixture(scope="module")
def file(folders, teacher):
    """A file with pseudo-labels, and what was said about it."""
    path = folders / "pseudo.npz"
    labelled = f"folder:{folders / 'labelled'}"
    said = training.pseudo_label(
        teacher, folders / "more", labelled, path, confidence=0.6, verbose=0
    )
    return path, said


def test_each_class_is_given_as_many_images(file, folders):
    """The surest of the many, copies of the few; what is no image is told."""
    path, said = file
    facts = np.load(path)
    best = facts["scores"].argmax(axis=1)

    assert ["dark", "light"] == facts["classes"].tolist()
    assert {"dark": 6, "light": 2} == said["kept"]
    assert (12, 11, 6, 4) == tuple(
        said[name] for name in ("images", "confident", "per_class", "copies")
    )
    assert [str(folders / "more" / "bad.png")] == said["skipped"]
    assert [6, 6] == np.bincount(best).tolist()
    assert facts["scores"].max(axis=1).min() > 0.6
    np.testing.assert_allclose(facts["scores"].sum(axis=1), 1.0, rtol=1e-6)
    assert 8 == len(set(facts["paths"].tolist()))


def test_choosing_by_hand():
    """At the threshold is out; ties go by place; a class may stay empty."""
    scores = np.array([[0.5, 0.5, 0], [0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0]])
    rows, facts = choose(scores, "abc", 0.5, 2, np.random.default_rng(0))

    assert [1, 2, 3, 3] == rows.tolist()
    kept = {"a": 2, "b": 1, "c": 0}
    assert {"confident": 3, "per_class": 2, "copies": 1, "kept": kept} == facts
    with pytest.raises(DataError, match="got 0.95; the highest is 0.900. Lower it"):
        choose(scores, "abc", 0.95, 2, np.random.default_rng(0))


@pytest.mark.parametrize("cache", [False, True])
def test_training_images_have_probabilities_and_others_labels(file, cache):
    """Labelled images stand beside the others; order is a function of the seed."""
    train, held, info = training.load_data(
        f"pseudo:{file[0]}", SIZE, 4, "flip", cache=cache, verbose=0
    )
    labels = np.concatenate([batch for _, batch in train.as_numpy_iterator()])
    (_, other), *_ = held.as_numpy_iterator()

    count = info.counts["train"]
    assert 12 < count < 12 + 24 and (count // 4 * 4, 2) == labels.shape
    np.testing.assert_allclose(labels.sum(axis=1), 1.0, rtol=1e-6)
    assert ((labels.max(axis=1) > 0.6) & (labels.max(axis=1) < 1.0)).any()
    assert np.int32 == other.dtype and 1 == other.ndim


def test_a_student_learns_from_both_by_command(
    file, folders, teacher, tmp_path, capsys
):
    """Teacher, file and student: three commands, with mixup on soft labels."""
    teacher.save(tmp_path / "teacher.keras")
    words = ["pseudo-label", str(tmp_path / "teacher.keras"), str(folders / "more")]
    words += ["--labelled", f"folder:{folders / 'labelled'}", "--confidence", "0.6"]
    words += ["--output", str(tmp_path / "p.npz")]
    assert 0 == cli.main([*words, "--json"])
    assert 11 == json.loads(capsys.readouterr().out)["confident"]
    assert 2 == cli.main(words)
    assert "must not exist yet" in capsys.readouterr().err
    small = {"patch_size": 4, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
    result = training.fit(
        "noisy_student",
        {**small, "dropout": 0.1, "drop_path": 0.2},
        f"pseudo:{tmp_path / 'p.npz'}",
        tmp_path / "run",
        image_size=SIZE,
        epochs=3,
        batch_size=8,
        learning_rate=1e-2,
        warmup=0.1,
        augment="flip|randaug(2,5)",
        mixup=0.2,
        verbose=0,
    )
    assert ["dark", "light"] == result.model.labels
    assert max(result.history["val_top1"]) > 0.5


def test_files_that_cannot_be_read_are_told(file, folders, tmp_path):
    """No file, another file, images that are gone, other classes."""
    with pytest.raises(FileNotFoundError, match="file of `keras-vit pseudo-label`"):
        training.load_data(f"pseudo:{tmp_path / 'none.npz'}", verbose=0)
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(DataError, match="must be a whole file.*Write it again"):
        training.load_data(f"pseudo:{tmp_path / 'text.npz'}", verbose=0)
    for name, change, message in (
        ("paths", lambda a: np.char.add(a, "x"), "where they were, got 8 that"),
        ("classes", lambda a: a[::-1], "must have the classes of folder:.*got 2"),
        ("scores", lambda a: a[:-1], "a row of scores per path"),
    ):
        arrays = dict(np.load(file[0]))
        np.savez(tmp_path / "p.npz", **{**arrays, name: change(arrays[name])})
        with pytest.raises(DataError, match=message):
            training.load_data(f"pseudo:{tmp_path / 'p.npz'}", verbose=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"confidence": 1.0}, ValueError, "confidence: .* below 1, got 1.0. Use 0.3"),
        ({"per_class": 0}, ValueError, "per_class: .*above 0, got 0. Leave it out"),
        ({"labelled": "digits"}, ValueError, "'folder:PATH', got 'digits'. Write"),
        ({"unlabelled": "nowhere"}, FileNotFoundError, "nowhere: .*Check the path"),
        ({"output": __file__}, FileExistsError, "must not exist yet"),
    ],
)
def test_wrong_input_is_refused(folders, teacher, tmp_path, changes, error, message):
    """Before the teacher is asked, with the value and the way out."""
    given = {
        "unlabelled": folders / "more",
        "labelled": f"folder:{folders / 'labelled'}",
        "output": tmp_path / "p.npz",
        "verbose": 0,
    }
    with pytest.raises(error, match=message):
        training.pseudo_label(teacher, **{**given, **changes})
    assert not (tmp_path / "p.npz").exists()


def test_a_teacher_of_other_classes_is_refused(folders, tiny, tmp_path):
    """The message names the classes that are wanted."""
    with pytest.raises(ValueError, match=r"each of the 2 classes of .*\(None, 5\)"):
        training.pseudo_label(
            tiny(),
            folders / "more",
            f"folder:{folders / 'labelled'}",
            tmp_path / "p.npz",
            verbose=0,
        )
