"""Every private name of Keras that this package uses, one function each.

Private names have no public counterpart in the version below, or we would use that.
A new version of Keras may change them without a word, so that each function says why
it is needed, and what breaks without. `tests/top/test_private_keras.py` fails by
name when one is gone; `tests/house/test_private_names.py` refuses them elsewhere.
Private names of TensorFlow stand in `training/engine/private_tensorflow.py`.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
from keras.src.backend.common import global_state
from keras.src.losses import loss as losses
from keras.src.utils import io_utils

CHECKED = "3.15.1"  # the version of Keras that all of this was checked with

# Messages


def print_msg(text: str, line_break: bool = True) -> None:
    """Print where Keras prints: nowhere, or into its log, if the user asked for that.

    Without: our messages ignore `keras.config.disable_interactive_logging`.
    """
    io_utils.print_msg(text, line_break)


# Layers and their weights


def flatten_layers(layer: keras.Layer) -> list[keras.Layer]:
    """A layer and all layers inside of it, however deep; `layers` gives one level.

    Without: nothing finds the blocks and dense layers of a nested model: LoRA, remat,
    quantization and the check of dtypes.
    """
    return list(layer._flatten_layers())


def layers_inside(layer: keras.Layer) -> list[keras.Layer]:
    """Layers that are attributes of a layer; only models have a public `layers`.

    Without: `freeze` cannot freeze part of a block.
    """
    return list(layer._layers)


def own_weights(layer: keras.Layer) -> tuple[list[Any], list[Any]]:
    """(trainable, other) variables of a layer itself, without those of layers inside.

    Without: `freeze` cannot freeze single weights; `merge_lora` cannot pair weights by
    name.
    """
    return list(layer._trainable_variables), list(layer._non_trainable_variables)


def share_storage(target: keras.Variable, source: keras.Variable) -> None:
    """Let two variables be one in memory; `assign` copies.

    Without: a SavedModel with two image sizes holds the weights twice.
    """
    target._value = source._value


# The graph of a functional model


class Origin(NamedTuple):
    """The call that made a symbolic tensor."""

    operation: Any  # layer, model or operation of keras.ops
    inputs: list[Any]  # symbolic tensors that the call was given
    output: int  # place of the tensor among the outputs of the call


def origin_of(tensor: keras.KerasTensor) -> Origin:
    """What made a symbolic tensor, and from what.

    Without: nobody knows whether a model gives logits, or where its features are.
    """
    operation, node, index = tensor._keras_history
    return Origin(operation, operation._inbound_nodes[node].input_tensors, index)


def calls_of(operation: Any) -> list[Any]:
    """Keras' records (`Node`) of all calls of an operation.

    Without: what stands between an image and the model is not seen, nor the number
    that scores are divided by.
    """
    return operation._inbound_nodes


def readers_of(operation: Any) -> list[Any]:
    """Operations that were called with what an operation gave.

    Without: quantization does not find the dense layers behind a norm, nor the head.
    """
    return [node.operation for node in operation._outbound_nodes]


def functional_of(model: keras.Model) -> keras.Model:
    """The functional model inside a Sequential; any other model as it is.

    Without: a Sequential has no names of outputs and no graph.
    """
    return getattr(model, "_functional", model)


def calls_in_order(model: keras.Model) -> list[Any]:
    """Keras' records of the calls inside a model, in order of execution.

    Without: the ONNX exporter cannot write a graph operation by operation.
    """
    by_depth = functional_of(model)._nodes_by_depth
    nodes = [
        node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]
    ]
    return [node for node in nodes if not node.is_input]


def outermost(layer: keras.Layer) -> keras.Layer:
    """The layer or model whose call is running, and has called this one.

    On JAX, a model that trains is called without a context, and is not seen. To ask
    the layer for its context would make one, which nobody ends: whatever is called
    later would run as in training.

    Without: no warning when a model around ours is trained on logits as probabilities.
    """
    context = global_state.get_global_attribute("current_call_ctx")
    return layer if context is None else context.entry_layer


# Saving


def writes_old_h5() -> bool:
    """Whether Keras is writing a whole model into `.h5` at this moment.

    Without: such a file is written, and fails when it is loaded.
    """
    return bool(global_state.get_global_attribute("use_legacy_config"))


def begun_h5() -> str | None:
    """Path of the `.h5` that Keras has opened, and emptied, to write a whole model.

    Its path is known in the function that called us through Keras alone. A file that
    the user opened is left to the user, and gives None.

    Without: a refused `model.save("model.h5")` leaves an empty file behind.
    """
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "save_model_to_hdf5":
        frame = frame.f_back
    known = {} if frame is None else frame.f_locals
    return known["filepath"] if known.get("opened_new_file") else None


# Optimisers


def variable_index(optimizer: keras.optimizers.Optimizer, variable: Any) -> int:
    """Place of a variable among those of `build`, where its memories stand.

    Without: no update rule of our own finds its memories.
    """
    return optimizer._get_variable_index(variable)


def schedule_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """The schedule of the learning rate; `learning_rate` is its value now.

    Without: `dry_run` shows no rates, and GSAM does not know the peak.
    """
    return optimizer._learning_rate


def averages_of(optimizer: keras.optimizers.Optimizer) -> list[tuple[Any, Any]]:
    """(weight, its moving average) of an optimiser with `use_ema`.

    Without: validation and saved models have the plain weights.
    """
    averages = optimizer._model_variables_moving_average
    return list(zip(optimizer._trainable_variables, averages, strict=True))


def leave_gradients(optimizer: keras.optimizers.Optimizer) -> None:
    """Tell an optimiser that gradients are summed over the devices already.

    Without: under `tf.distribute` they are summed twice.
    """
    optimizer._all_reduce_sum_gradients = list


# Training


def compiled_loss(model: keras.Model, *arguments: Any, **options: Any) -> Any:
    """`compute_loss`, also of a model whose own one does not know `training`.

    Without: models with a `compute_loss` in the manner of Keras 3.0 fail.
    """
    return model._compute_loss(*arguments, **options)


def count_loss(model: keras.Model, loss: Any, count: Any) -> None:
    """Add a loss, mean over `count` images, to the mean of the epoch.

    Without: a `train_step` of our own shows no loss.
    """
    model._loss_tracker.update_state(loss, sample_weight=count)


def share_loss(target: keras.Model, source: keras.Model) -> None:
    """Let a model that is never compiled have the loss of another one.

    Without: the user's own `compute_loss`, called inside a train step, has no loss.
    """
    target._compile_loss = source._compile_loss


def build_from_spec(model: keras.Model, batch: Any) -> None:
    """Build optimiser, losses and metrics of a compiled model without data.

    Args:
        model: compiled. batch: (x, y, ...) of anything with shape and dtype.

    Without: a run cannot be resumed before its first step, as nothing is there to
    restore.
    """
    model._symbolic_build(data_batch=batch)


@contextlib.contextmanager
def losses_undivided() -> Iterator[None]:
    """In the block, losses are not divided by the number of devices.

    Keras divides what `keras.losses` return, but not what a model adds in a
    `compute_loss` of its own. Puts other functions into a module of Keras, and back.

    Without: gradients on several devices are too small, by some models only.
    """
    names = ("scale_loss_for_distribution", "unscale_loss_for_distribution")
    before = {name: getattr(losses, name) for name in names}
    for name in names:
        setattr(losses, name, lambda value: value)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(losses, name, function)


@contextlib.contextmanager
def train_function_inside(
    model: keras.Model, wrap: Callable[[Callable], Callable]
) -> Iterator[None]:
    """In the block, `model.fit` calls `wrap(f)` in the place of f, its compiled step.

    `train_function` is an attribute without an underscore, which no documentation
    names.

    Without: a run cannot go on in the middle of an epoch.
    """
    model.make_train_function()
    real = model.train_function
    model.train_function = wrap(real)
    try:
        yield
    finally:
        model.train_function = real


class StepOfOurOwn:
    """Mixin: `make_step` says how a step is compiled, on TensorFlow's backend.

    Without: Keras takes the sum of what workers say for a mean, its loop of several
    steps cannot be built for several devices, and it averages images over workers.
    """

    def _make_function(self, step_function: Callable) -> Callable:
        return self.make_step(step_function)

    def make_step(self, step: Callable) -> Callable:
        """A function of an iterator that does `steps_per_execution` steps."""
        raise NotImplementedError

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None):
        pass  # whoever trains has called `build_from_spec`


class KeepsVariables:
    """Mixin: variables stay in the model while JAX's backend trains it.

    Without: Keras takes their values away for the length of a step. One that was
    purged answers with new first values, and one that was handed over fails.
    """

    def _purge_model_variables(self, **kinds: bool) -> None:
        pass
