"""A task that the package does not know goes the whole way, from fit to verify."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit import export, training
from keras_vit.cli.artefact_table import summary
from keras_vit.errors import DataError
from keras_vit.export.io.reference import Reference
from keras_vit.export.quantization.auto import AccuracyJudge
from keras_vit.training import tasks
from keras_vit.training.data import policies

PLAIN = "resize_crop(16)|flip"


def model():
    """Images (B, 16, 16, 3) -> scores (B, 8, 8, 2)."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(8, 3, 2, "same", activation="relu"),
            keras.layers.Dense(2),
        ]
    )


OPTIONS = {
    "recipe": "digits",
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 0.05,
    "warmup": 0,
    "augment": PLAIN,
    "monitor": "val_pixel_accuracy",
    "steps_per_execution": 1,
    "verbose": 1,
}


@pytest.fixture(scope="module")
def run(pixel_task, squares, tmp_path_factory):
    """A short run, and what it said."""
    folder = tmp_path_factory.mktemp("pixels") / "run"
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.loop, "tell", said.append)
        result = training.fit(**OPTIONS, model=model(), data=squares, output_dir=folder)
    return result, said


def test_it_trains_and_says_its_task(run):
    """The task is found by the labels; its score picks the best epoch."""
    result, said = run
    scores = result.history["val_pixel_accuracy"]

    assert "task: pixels, numbers (H, W) for each image" in said
    assert max(scores) == scores[result.best_epoch - 1] > 0.8
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert "top1" not in result.history


def test_it_is_evaluated_by_pixel(run, squares):
    """`evaluate` counts what training counted."""
    result, _ = run
    data, _ = training.load_split(squares, "validation", 16, batch_size=3)
    found = training.evaluate.top_k(result.model, data, k=1, verbose=0)
    report = training.evaluate.report(result.model, data, verbose=0)
    pages = f"pixel accuracy {found['top1']:.2%}", f"{found['count']} pixels"

    assert 64 * sum(len(x) for x, _ in data) == found["count"]
    best = max(result.history["val_pixel_accuracy"])
    assert best == pytest.approx(found["top1"], abs=1e-6) == report.top["top1"]
    assert all(words in str(report) for words in pages)


def test_labels_are_renumbered_by_name_but_for_what_is_outside(pixel_task, squares):
    """A model may have the classes in another order."""
    images, labels = squares[0], squares[1].copy()
    labels[:, 0] = pixel_task.outside
    data = {"train": (images, labels), "class_names": ["ground", "square"]}
    plain, other = (
        training.load_split(data, "validation", 16, labels=names)[0]
        for names in (["ground", "square"], ["square", "ground"])
    )
    (_, ours), (_, theirs) = (next(iter(d)) for d in (plain, other))

    known = ours != pixel_task.outside
    np.testing.assert_array_equal(1 - ours[known], theirs[known])
    assert (
        {pixel_task.outside} == {*theirs[~known].numpy()} == {*ours[:, 0].numpy().flat}
    )


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_its_files_are_verified_by_pixel(run, squares, tmp_path, suffix):
    """Agreement and score are of pixels, and are called so."""
    result, _ = run
    path = tmp_path / f"m.{suffix}"
    getattr(export, f"to_{suffix}")(result.model, path, verbose=0)
    data, _ = training.load_split(squares, "validation", 16)
    found = export.verify(result.model, path, data, verbose=0)

    assert found.passed and 100.0 == found.agreement
    assert max(result.history["val_pixel_accuracy"]) == pytest.approx(found.top1 / 100)
    assert "pixel accuracy" in str(found) and "top-1" not in str(found)
    assert 64 * found.images == found.change.images
    assert any("count pixels" in note for note in found.notes)
    with pytest.raises(ValueError, match="labels: must be 4 of"):
        export.verify(result.model, path, np.zeros((4, 16, 16, 3), "f"), [0, 1, 0, 1])


def test_its_report_has_its_words(run, squares, tmp_path):
    """The page, the card and the table call the score what the task calls it."""
    data, _ = training.load_split(squares, "validation", 16)
    made = export.export_all(
        run[0].model, tmp_path / "all", validation=data, formats=["tflite"], verbose=0
    )
    pages = made.html.read_text(), made.card.read_text(), summary(made)

    assert made.passed
    assert [True] * 3 == ["ixel accuracy" in page for page in pages]
    assert [False] * 3 == ["op-1" in page for page in pages]


def test_auto_judges_by_pixel(run, squares):
    """Whoever chooses a recipe asks the task too; what is outside is not scored."""
    images, labels = squares
    judge = AccuracyJudge(Reference(run[0].model), (images / 127.5 - 1.0, labels), 0.5)
    judge.predict_with_keras(0)
    whole = judge.top1
    judge = AccuracyJudge(
        Reference(run[0].model), (images / 127.5 - 1.0, 0 * labels - 1), 0.5
    )
    judge.predict_with_keras(0)

    assert 48 == judge.count and whole > 80.0
    assert judge.top1 is None


def moved(streamed, squares, augment):
    """Pixels of 0 to 255 and targets of a few batches, augmented."""
    batches, *_ = streamed(squares, augment=augment, image_size=12, steps=4)
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    return (images[..., 0] + 1.0) * 127.5, labels


@pytest.mark.parametrize(
    "augment",
    [
        "none",
        "inception_crop(0.3)|flip",
        "resize_crop(20)",
        "resmall_crop(20)|flip",
        "affine(0.2,30,0.2,0.2)|elastic(0.1)|shift(3)",
    ],
)
def test_steps_that_change_places_move_targets_too(
    pixel_task, squares, streamed, augment
):
    """Where a pixel is purely bright its target says so; so where it is dark."""
    pixels, labels = moved(streamed, squares, augment)

    assert labels.dtype == "int32" and pixels.shape == labels.shape
    assert {1} == set(labels[pixels > 254.9])
    assert {0} <= set(labels[pixels < 0.1]) <= {0, pixel_task.outside}
    assert 0.2 < np.mean((pixels > 254.9) | (pixels < 0.1))


def test_steps_of_colour_leave_targets(pixel_task, squares, streamed):
    """Only the image changes; erased places keep their labels."""
    plain, labels = moved(streamed, squares, "none")
    grey, same = moved(streamed, squares, "jitter(0.5)|solarize(0.9)|erase(0.9)")

    np.testing.assert_array_equal(labels, same)
    assert not np.array_equal(plain, grey)


@pytest.mark.parametrize(
    ("policy", "numbers"),
    [(policies.randaug, (2, 10)), (policies.timm_randaug, ((128,) * 3, 10.0, 0.5, 3))],
)
def test_policies_move_targets_by_the_places_that_they_draw(squares, policy, numbers):
    """With the same seed; colours are left out of the image here."""
    look = policies.Look(policies.PLACES.colour, policies.IMAGE.smooth, None)
    changed = 0
    for seed, image in enumerate(squares[0][:16]):
        given = tf.constant(image), (seed, 1), *numbers
        seen = policy(*given, look=look).numpy()
        target = policy(*given, look=policies.PLACES).numpy()
        assert {255} >= set(target[seen == 255]) and {0} >= set(target[seen == 0])
        changed += not np.array_equal(target, image)

    assert changed > 4


def test_what_does_not_go_with_it_is_refused(pixel_task, squares, tmp_path):
    """Before any slow step, with the way out."""
    call = {**OPTIONS, "model": model(), "data": squares, "output_dir": tmp_path / "x"}
    for changes, said in (
        ({"monitor": "val_top1"}, "Pass monitor='val_pixel_accuracy'"),
        ({"mixup": 0.2}, "mixup: does not go with the task 'pixels'"),
        ({"augment": "light2"}, "Pass mixup=0 and cutmix=0"),
        ({"task": "voxels"}, "task: must be registered, one of 'classification'"),
    ):
        with pytest.raises(ValueError, match=said):
            training.fit(**{**call, **changes})
    alone = {"task": "self_supervised", "data": (squares[0], np.arange(48) % 2)}
    with pytest.raises(ValueError, match="must be that of the model, 'pixels'"):
        training.fit(**{**call, **alone})
    with pytest.raises(DataError, match="one per pixel"):
        training.fit(**{**call, "data": (squares[0], squares[1][:, :8])})
    with pytest.raises(ValueError, match="names must differ, got 'pixels' again"):
        tasks.register(type(pixel_task)())
    assert not (tmp_path / "x").exists()


def test_a_plan_says_its_task(pixel_task, squares):
    """`dry_run` names it, unless it is classification."""
    plan = training.dry_run(
        **{**OPTIONS, "verbose": 0}, model=model(), data=squares, task="pixels"
    )

    assert "task     pixels" in plan.text()
    assert "pixels" == plan.summary()["task"]
