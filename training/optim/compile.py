"""Compile a model for training: optimiser, learning rate schedule, loss, metrics."""

from keras_vit.training.optim import optimizers
from keras_vit.training.optim.schedules import make_schedule


def compile_model(trainee, recipe, feeds):
    """Give a `TrainStep` its optimiser, loss and scores."""
    model = trainee.inner
    schedule = make_schedule(recipe, recipe.own_epochs, feeds.steps)
    optimizer = optimizers.make_optimizer(recipe, schedule, model)
    trainee.compile(
        optimizer,
        loss=feeds.task.loss(model, recipe),
        metrics=feeds.task.metrics(feeds.info),
        steps_per_execution=_divisor(feeds.steps, recipe.steps_per_execution),
    )
    trainee.build_state(feeds.element_spec)


def _divisor(steps, most):
    """Largest divisor up to `most`: Keras would run past the end of an epoch.

    >>> _divisor(39, 19)
    13
    """
    return max(d for d in range(1, most + 1) if steps % d == 0)
