"""What a run would be, before it starts: steps, rates, parameters, memory."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_vit import files
from keras_vit.private_keras import schedule_of
from keras_vit.progress import tell
from keras_vit.training import loop, tasks
from keras_vit.training.build_model import check_given, prepare_model
from keras_vit.training.checkpoint.train_state import TrainState
from keras_vit.training.data import DataInfo
from keras_vit.training.engine import step_memory
from keras_vit.training.engine import strategy as strategies
from keras_vit.training.engine.strategy import Strategy
from keras_vit.training.init_from import initial_model
from keras_vit.training.input_pipeline import open_feeds
from keras_vit.training.logging import plot_schedule
from keras_vit.training.optim.compile import compile_model
from keras_vit.training.recipe_train_step import make_trainee
from keras_vit.training.recipes import Recipe
from keras_vit.types import Config, FilePath


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `dry_run` found out.

    Args:
        recipe: `Recipe`, with everything that follows from the data.
        info: `DataInfo` of the data.
        model: name of the model.
        steps_per_epoch: of the training images.
        learning_rates: (T,) float32, one per update.
        parameters, trainable_parameters: counts.
        memory: bytes on each device: "weights", "optimizer", "step" (activations and
            gradients of the images it works on at once, estimated from the graph),
            "total".
        devices: that share each batch.
        weights: where the first ones come from: published, a file, or RANDOM.
        task: name of the `Task`.
    """

    recipe: Recipe
    info: DataInfo
    model: str
    steps_per_epoch: int
    learning_rates: np.ndarray
    parameters: int
    trainable_parameters: int
    memory: dict
    devices: int
    weights: str
    task: str = tasks.CLASSIFICATION.name

    @property
    def steps(self) -> int:
        """Updates in all."""
        return len(self.learning_rates)

    def summary(self) -> dict[str, Any]:
        """All of it as plain values, for programs."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "task": self.task,
            "data": self.info.source,
            "images": dict(self.info.counts),
            "classes": self.info.classes,
            "image_size": list(self.info.image_size),
            "model": self.model,
            "weights": self.weights,
            "parameters": self.parameters,
            "trainable_parameters": self.trainable_parameters,
            "epochs": self.recipe.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.steps,
            "devices": self.devices,
            "memory_bytes": self.memory,
            "highest_learning_rate": float(self.learning_rates.max()),
        }

    def text(self) -> str:
        """A page for a terminal, with the curve of the learning rate."""
        recipe, info = self.recipe, self.info
        height, width = info.image_size
        images = ", ".join(f"{n:,} {name}" for name, n in info.counts.items())
        ahead = recipe.batch_size // self.devices
        piece = min(recipe.micro_batch or ahead, ahead)
        parts = ", ".join(
            f"{k} {step_memory.size_text(v)}" for k, v in self.memory.items()
        )
        rows = {
            "weights": self.weights,
            "recipe": recipe.name,
            "data": f"{info.source}: {images}, {info.classes} classes",
            "images": f"{height} x {width} px, augmentation {info.augment}",
            "model": f"{self.model}, {self.parameters:,} parameters, "
            f"{self.trainable_parameters:,} of them learn",
            "steps": f"{self.steps:,} = {recipe.epochs} epochs of "
            f"{self.steps_per_epoch:,}, {recipe.batch_size} images each, "
            f"{self.devices} device{'s' * (self.devices > 1)}{self._early()}",
            "memory": f"{parts} per device, {piece} images at once (estimated)",
        }
        if self.task != tasks.CLASSIFICATION.name:
            rows["task"] = self.task
        lines = [f"{name:8} {text}" for name, text in rows.items()]
        return "\n".join([*lines, "", plot_schedule.text(self.learning_rates)])

    def _early(self):
        """When the run would end before its last epoch."""
        patience, monitor = self.recipe.patience, self.recipe.monitor
        if patience is None:
            return ""
        return f"; at most: it ends after {patience} epochs without a better {monitor}"

    def __str__(self):
        return self.text()

    def save_picture(self, path: FilePath, overwrite: bool = False) -> None:
        """Draw the learning rate over steps.

        Args:
            path: of an .svg file. overwrite: whether it may exist.

        Raises:
            FileExistsError: when it does.
        """
        title = f"{self.recipe.name}, {self.model}: {self.recipe.epochs} epochs"
        with files.replacing(path, overwrite=overwrite) as partial:
            partial.write_text(plot_schedule.svg(self.learning_rates, title))


def dry_run(
    recipe: str | Recipe = "finetune",
    model: keras.Model | FilePath | Config | None = None,
    data: Any = None,
    epochs: int | None = None,
    strategy: str | Strategy = "auto",
    verbose: int = 0,
    teacher: keras.Model | str | None = None,
    task: Any = None,
    **overrides: Any,
) -> Plan:
    """Settle everything about a run and start nothing.

    Data are opened, the model is built and its step is traced, so that whatever
    would stop the run at once is found here. Nothing is written.

    Args:
        recipe, model, data, epochs, strategy, verbose, teacher, task, **overrides: as
            in `fit`.

    Returns:
        `Plan`.

    Raises:
        As `fit` before its first step.
    """
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "dry_run: reads memory off TensorFlow's graphs, got the backend "
            f"{keras.config.backend()!r}. Set KERAS_BACKEND=tensorflow for it."
        )
    asked, task = recipe, tasks.find(task)
    given = recipe, model, data, epochs, overrides, teacher, task
    recipe, data = loop.apply_arguments(*given)
    strategy = strategies.choose(strategy)
    strategies.check(recipe, strategy)
    recipe, given, origin = initial_model(recipe, model, data, asked, task)
    check_given(given, recipe, data, strategy.num_replicas_in_sync, task)
    if verbose:
        tell(f"weights: {origin}")
    feeds = open_feeds(data, recipe, given, verbose, TrainState(), task=task)
    recipe = feeds.recipe
    with strategy.scope():
        keras.utils.set_random_seed(recipe.seed)
        spare = given
        if getattr(given, "inputs", None):  # freezing and the like stay in the copy
            spare = type(given).from_config(given.get_config())
        built = prepare_model(spare, recipe, feeds.info, feeds.task)
        trainee = make_trainee(built, feeds, teacher, strategy)
        compile_model(trainee, recipe, feeds)
        plan = _plan(trainee, recipe, feeds, strategy.num_replicas_in_sync, origin)
    return plan


def _plan(trainee, recipe, feeds, devices, origin):
    """Read everything off a model that is ready to be trained."""
    steps = recipe.epochs * feeds.steps
    optimizer = getattr(trainee.optimizer, "inner_optimizer", trainee.optimizer)
    rates = np.broadcast_to(schedule_of(optimizer)(np.arange(steps)), (steps,))
    share = recipe.batch_size // devices
    piece = min(recipe.micro_batch or share, share)
    spec = feeds.element_spec
    model = trainee.inner
    return Plan(
        recipe=recipe,
        info=feeds.info,
        model=model.name,
        steps_per_epoch=feeds.steps,
        learning_rates=np.asarray(rates, "float32"),
        parameters=model.count_params(),
        trainable_parameters=sum(v.numpy().size for v in model.trainable_weights),
        memory=step_memory.estimate(trainee, spec, piece),
        devices=devices,
        weights=origin,
        task=feeds.task.name,
    )
