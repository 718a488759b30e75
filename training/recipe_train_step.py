"""`RecipeTrainStep`: distillation, SAM or progressive resizing."""

import os

import keras

from keras_vit import weights
from keras_vit.private_keras import compiled_loss
from keras_vit.training.engine import JaxTrainStep, TrainStep
from keras_vit.training.methods.distillation import Distillation, Lesson
from keras_vit.training.methods.progressive_resizing import Growth
from keras_vit.training.methods.sam import Sharpness
from keras_vit.training.recipes.checks import record
from keras_vit.weights import places


def named(teacher):
    """What a recipe remembers of a teacher: its name or that of the model."""
    if teacher is None:
        return {}
    kept = isinstance(teacher, keras.Model)
    return {"teacher": teacher.name if kept else os.fspath(teacher)}


def check_teacher(teacher):
    """Make sure that it is one, and that a file is there, before anything slow.

    Raises:
        TypeError: for what is neither a model nor the name of one.
        FileNotFoundError: for a .keras file that is not there.
    """
    if not isinstance(teacher, keras.Model | str | os.PathLike | None):
        raise TypeError(
            "teacher: must be a Keras model, a .keras file or a checkpoint, got "
            f"{teacher!r}. Pass teacher='teacher.keras', for example."
        )
    teacher = None if isinstance(teacher, keras.Model) else teacher
    if teacher is not None:
        try:
            places.find(teacher)
        except FileNotFoundError as err:
            raise FileNotFoundError(f"teacher: {err}") from err


def make_trainee(model, feeds, teacher, strategy):
    """The model in training, with the step that its recipe asks for.

    Args:
        model: built. feeds: `Feeds` of the run. teacher: `keras.Model`, a name as in
            `Recipe`, or None for the recipe's. strategy: of the run.

    Returns:
        `TrainStep`, or `JaxTrainStep`.
    """
    recipe, mode = feeds.recipe, feeds.info.preprocessing.range
    if keras.config.backend() == "jax":
        return JaxTrainStep(model, mode)
    pieces = {"mode": mode, "micro_batch": recipe.micro_batch, "xla": recipe.xla}
    teacher = _load(recipe.teacher if teacher is None else teacher, strategy)
    if teacher is None and recipe.sharpness is None and not recipe.progressive:
        return TrainStep(model, **pieces)
    steps = recipe.own_epochs * feeds.steps
    return RecipeTrainStep.by_recipe(model, recipe, teacher, steps, **pieces)


def _load(teacher, strategy):
    """The model behind a name; on several devices, a copy on each of them."""
    if isinstance(teacher, str | os.PathLike):
        return weights.load(os.fspath(teacher))
    if teacher is None or strategy.num_replicas_in_sync == 1:
        return teacher
    copied = type(teacher).from_config(teacher.get_config())
    copied.set_weights(teacher.get_weights())
    return copied


class RecipeTrainStep(TrainStep):
    """A `TrainStep` with distillation, SAM or progressive resizing.

    Args:
        inner: see `TrainStep`.
        lesson: `Lesson`, or None for labels alone.
        sharpness: `Sharpness`, or None for the plain gradient.
        growth: `Growth`, or None for images of one size.
        **pieces: see `TrainStep`.
    """

    def __init__(self, inner, lesson=None, sharpness=None, growth=None, **pieces):
        super().__init__(inner, **pieces)
        self.lesson, self.sharpness, self.growth = lesson, sharpness, growth

    @classmethod
    def by_recipe(cls, model, recipe, teacher, steps, **pieces):
        """The step with the distillation, SAM or progressive resizing of a recipe.

        Args:
            model: built. recipe: `Recipe`. teacher: `keras.Model` or None.
            steps: of the run. **pieces: see `TrainStep`.
        """
        sharpness = record("sharpness", Sharpness, recipe.sharpness)
        pairs = recipe.progressive
        growth = Growth(model, pairs, steps) if pairs else None
        how = record("distillation", Distillation, recipe.distillation or {})
        lesson = None if teacher is None else Lesson(model, teacher, how)
        return cls(model, lesson, sharpness, growth, **pieces)

    def forward_with_loss(self, x, y, sample_weight):
        """Loss and predictions of one micro-batch, with the distillation loss."""

        def own(images, labels, answers, weights):
            return compiled_loss(self, images, labels, answers, weights, training=True)

        if self.growth is not None:
            optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
            answers = self.growth(x, optimizer.iterations)
            return own(x, y, answers, sample_weight), answers
        if self.lesson is None:
            return super().forward_with_loss(x, y, sample_weight)
        return self.lesson.loss(own, x, y, sample_weight)

    def gradients(self, x, y, sample_weight):
        """Gradients as `TrainStep.gradients`, with SAM at perturbed weights."""
        if self.sharpness is None:
            return super().gradients(x, y, sample_weight)
        plain = super().gradients
        return self.sharpness.gradients(self, plain, x, y, sample_weight)
