import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_vit
from keras_vit import training
from keras_vit.models import output_activation, resize
from keras_vit.preprocess import Preprocessing, preprocess_input
from keras_vit.training.methods import distillation, progressive_resizing
from keras_vit.training.methods.sam import Sharpness
from keras_vit.training.optim import losses
from keras_vit.training.recipe_train_step import RecipeTrainStep

SIDE, CLASSES = 8, 3


def make_model(seed=0, activation=None):
    """A linear classifier with dropout in front."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(CLASSES, activation=activation),
    ]
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])


def make_learner(model, lesson=None, sharpness=None, rate=0.1):
    """Compiled."""
    learner = RecipeTrainStep(model, lesson, sharpness)
    learner.compile(keras.optimizers.SGD(rate), loss=losses.SoftmaxCrossentropy())
    return learner


@pytest.fixture(scope="module")
def batch():
    """Images and labels."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((6, SIDE, SIDE, 3)).astype("float32")
    return tf.constant(images), tf.constant(rng.integers(0, CLASSES, 6), "int32")


def gradient_at(learner, weights, seeds, batch):
    """The plain gradient at other weights, with the same dropout."""
    for variable, value in zip(learner.trainable_weights, weights, strict=True):
        variable.assign(value)
    for variable, value in seeds:
        variable.assign(value)
    found, _ = learner.gradients(*batch, None)
    return [g.numpy() for g in found]


def norm(arrays):
    """Of all together."""
    return np.sqrt(sum((a**2).sum() for a in arrays))


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_sharpness_follows_the_formulas(alpha, batch):
    """SAM, and GSAM with its decomposition; seeds move as in one pass."""
    rho = 0.3
    model = make_model()
    learner = make_learner(model, sharpness=Sharpness(rho=rho, alpha=alpha))
    seeds = [(v, v.numpy()) for v in model.variables if "seed" in v.path]
    start = [v.numpy() for v in model.trainable_weights]
    found, seen = tf.function(learner.gradients)(*batch, None)
    moved = [(v, v.numpy()) for v, _ in seeds]
    learner.sharpness = None
    first = gradient_at(learner, start, seeds, batch)
    uphill = [w + rho * g / norm(first) for w, g in zip(start, first, strict=True)]
    expected = gradient_at(learner, uphill, seeds, batch)
    along = sum((g * h).sum() for g, h in zip(first, expected, strict=True))
    along = along / norm(expected) ** 2
    expected = [
        h - alpha * (g - along * h) for g, h in zip(first, expected, strict=True)
    ]

    for wanted, got in zip(expected, found, strict=True):
        np.testing.assert_allclose(got.numpy(), wanted, atol=1e-6)
    assert {"loss", "answers"} == set(seen)
    pairs = zip(moved, seeds, strict=True)
    assert [True] == [bool((new != old).any()) for (_, new), (_, old) in pairs]


def test_the_climb_shortens_with_the_learning_rate():
    """From rho to rho_min."""
    schedule = training.optim.schedules.WarmupLinear(0.2, 10)
    optimizer = training.optim.update_rules.AdamW(schedule)
    optimizer.build([])
    climb = Sharpness(rho=0.6, rho_min=0.1, alpha=0.6)
    for step, expected in ((0, 0.6), (5, 0.35), (10, 0.1)):
        optimizer.iterations.assign(step)
        assert expected == pytest.approx(float(climb.length(optimizer)), rel=1e-5)
    assert 0.6 == Sharpness(rho=0.6).length(optimizer)


@pytest.mark.parametrize("kind", distillation.KINDS)
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_student_with_one_head_learns_both_with_it(kind, activation, batch):
    """The teacher may end in logits or in a softmax, and is not trained."""
    student, teacher = make_model(1), make_model(2, activation)
    how = distillation.Distillation(kind, 0.3, 2.0)
    learner = make_learner(student, distillation.Lesson(student, teacher, how))
    loss, answers = learner.forward_with_loss(*batch, None)
    scores = teacher(batch[0])
    scores = scores if activation is None else keras.ops.log(scores)
    if kind == "hard":
        second = losses.hard_distillation(scores, answers)
    else:
        second = losses.soft_distillation(scores, answers, 2.0)
    first = losses.SoftmaxCrossentropy()(batch[1], answers)

    expected = 0.7 * float(first) + 0.3 * float(np.mean(second))
    assert expected == pytest.approx(float(loss), rel=1e-5)
    assert {id(v) for v in learner.variables}.isdisjoint(map(id, teacher.variables))


class Subclassed(keras.Model):
    """A model without a graph, around another."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def call(self, images, training=False):
        return self.inside(images, training=training)


def test_a_teacher_may_end_in_any_way(batch):
    """Its probabilities are the same, however they were made."""
    logits = make_model(2)
    shares = keras.ops.softmax(logits(batch[0]))
    image = keras.Input((SIDE, SIDE, 3))
    each = keras.ops.sigmoid
    teachers = {
        "logits": [logits, Subclassed(logits)],
        "softmax": [
            keras.Model(image, keras.layers.Activation("softmax")(logits(image))),
            keras.Model(image, keras.layers.Softmax()(logits(image))),
            keras.Model(image, keras.ops.softmax(logits(image))),
            keras.Sequential([image, make_model(2, "softmax")]),
            Subclassed(make_model(2, "softmax")),
        ],
        "sigmoid": [make_model(2, "sigmoid"), keras.Model(image, each(logits(image)))],
    }
    for kind, models in teachers.items():
        for teacher in models:
            lesson = distillation.Lesson(
                make_model(), teacher, distillation.Distillation("soft")
            )
            got = keras.ops.softmax(lesson.ask(batch[0]))
            assert kind == output_activation.ending(teacher)
            np.testing.assert_allclose(got, shares, atol=1e-5)


def test_a_student_with_a_token_has_a_head_for_each(batch):
    """Labels for the first, the teacher for the second, scores from their mean."""
    student = keras_vit.VisionTransformer(
        image_size=SIDE, patch_size=4, width=8, depth=1, heads=2, mlp_dim=8,
        classes=CLASSES, distilled=True,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    for name in ("head", "head_dist"):
        kernel = student.get_layer(name).kernel
        kernel.assign(rng.standard_normal(kernel.shape))
    lesson = distillation.Lesson(student, make_model(2), distillation.Distillation())
    own, told = (student.get_layer(name).output for name in distillation.TOKEN_HEADS)
    own, told = (x.numpy() for x in keras.Model(student.input, [own, told])(batch[0]))
    best = make_model(2)(batch[0]).numpy().argmax(axis=1)
    cross = losses.SoftmaxCrossentropy()
    expected = 0.5 * float(cross(batch[1], own)) + 0.5 * float(cross(best, told))
    loss, answers = make_learner(student, lesson).forward_with_loss(*batch, None)

    assert expected == pytest.approx(float(loss), rel=1e-5)
    np.testing.assert_allclose(answers, (own + told) / 2, atol=1e-6)


@pytest.mark.parametrize("theirs", ["imagenet", "google", "none"])
@pytest.mark.parametrize("ours", ["imagenet", "google", "none"])
def test_a_teacher_gets_images_as_it_wants_them(ours, theirs):
    """Range by the notes of both models."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3))
    student, teacher = make_model(), make_model()
    student.preprocessing = Preprocessing(image_size=(SIDE, SIDE), mode=ours)
    teacher.preprocessing = Preprocessing(image_size=(SIDE, SIDE), mode=theirs)
    translate = distillation.translation(student, teacher)

    got = translate(tf.constant(preprocess_input(pixels, ours)))
    np.testing.assert_allclose(got, preprocess_input(pixels, theirs), atol=2e-4)


def test_a_teacher_gets_images_of_its_size(batch, capsys):
    """Resized, averaging; that its range is guessed is said."""
    teacher = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    translate = distillation.translation(make_model(), teacher)

    assert (6, 4, 4, 3) == translate(batch[0]).shape
    assert "as the student does, which is a guess: the mod" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("student", "classes", "message"),
    [
        (None, 4, "must have the 3 classes of the student, got 4. Fine-tune it"),
        ("softmax", 3, "needs a student that ends in logits.*classifier_activation"),
    ],
)
def test_what_cannot_be_taught_is_explained(student, classes, message):
    """Before the first step."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes)]
    teacher = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])
    with pytest.raises(ValueError, match=message):
        distillation.Lesson(
            make_model(0, student), teacher, distillation.Distillation()
        )


def grown(size, position="learned"):
    """A small ViT for images of a size."""
    return keras_vit.VisionTransformer(
        image_size=size, patch_size=4, width=8, depth=1, heads=2, mlp_dim=8,
        classes=CLASSES, position=position,
    )  # fmt: skip


@pytest.mark.parametrize("position", ["learned", "learned2d"])
def test_the_model_of_smaller_images_has_the_same_weights(position):
    """It is the one with averaged positions, and gradients reach the large table."""
    model, small = grown(16, position), grown(8, position)
    rng = np.random.default_rng(0)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    view = progressive_resizing.Growth(model, ((0, 8), (0.5, 16)), 10)
    for theirs, ours in zip(small.variables, model.variables, strict=True):
        fit = resize.fit_of(ours, theirs, model, small, progressive_resizing.KERNEL)
        theirs.assign(ours.value if fit is None else fit(ours.value, keras.ops))
    images = rng.standard_normal((2, 16, 16, 3)).astype("float32")
    step = tf.Variable(0)
    answer = tf.function(lambda x: view(x, step))

    shrunk = tf.image.resize(images, (8, 8), antialias=True)
    np.testing.assert_allclose(answer(images), small(shrunk), atol=1e-4)
    step.assign(5)
    np.testing.assert_allclose(answer(images), model(images), atol=1e-4)
    step.assign(4)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(answer(images))
    weights = [v.value for v in model.trainable_weights]
    assert all(g is not None for g in tape.gradient(total, weights))


def test_positions_of_a_small_grid_are_averages():
    """Of 16 x 16 px in patches of 4, to 2 x 2: a mean keeps the prefix and the mean."""
    model, small = grown(16), grown(8)
    table = model.get_layer("patch_encoder").table.embedding
    theirs = small.get_layer("patch_encoder").table.embedding
    fit = resize.fit_of(table, theirs, model, small, progressive_resizing.KERNEL)
    ramp = np.arange(17.0, dtype="float32").reshape(1, 17, 1) * np.ones((1, 1, 8), "f")
    got = fit(tf.constant(ramp), keras.ops).numpy()

    assert (1, 5, 8) == got.shape
    assert 0 == got[0, 0, 0]
    assert ramp[0, 1:].mean() == pytest.approx(got[0, 1:].mean())


@pytest.mark.parametrize(
    ("size", "message"),
    [(10, "whole patches, got 10x10 px.*multiples of 4x4"), (32, "at most the size")],
)
def test_sizes_that_cannot_be_are_refused(size, message):
    """Before the first step."""
    with pytest.raises(ValueError, match=message):
        progressive_resizing.Growth(grown(16), ((0, size),), 10)


TWO_DEVICES = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
from keras_vit import training
model = {"patch_size": 8, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 16}
common = dict(
    recipe="digits", epochs=1, steps=6, batch_size=32, steps_per_execution=1,
    learning_rate=1e-3, warmup=0.0, ema=0.9, clipnorm=0.1, layer_decay=0.5,
    rates={"^head/": 2.0}, verbose=0, overwrite=True,
)
teacher = keras.Sequential(
    [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
)
cases = {
    "sharpness": {"sharpness": {"rho": 0.1, "rho_min": 0.05, "alpha": 0.3}},
    "teacher": {
        "teacher": teacher, "distillation": {}, "model": {**model, "distilled": True}
    },
    "growth": {"progressive": ((0, 16), (0.5, 32))},
    "remat": {"remat": True, "loss": "sigmoid"},
}
for name, case in cases.items():
    weights = []
    for how in ({"strategy": "one", "micro_batch": 16}, {"strategy": "mirrored"}):
        options = {**common, "model": model, **case, **how}
        run = training.fit(output_dir=f"{name}", **options)
        weights.append(run.model.get_weights())
    apart = max(np.abs(a - b).max() for a, b in zip(*weights, strict=True))
    print(name, apart)
    if not apart < 1e-5:
        raise SystemExit(f"{name}: {apart}")
"""


@pytest.mark.slow
def test_two_devices_do_the_steps_of_one(tmp_path):
    """With sharpness, a teacher, growing images, rates, averages and clipping."""
    root = pathlib.Path(keras_vit.__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )

    assert 0 == done.returncode, done.stderr[-2000:]
    assert 4 == len(done.stdout.splitlines())
