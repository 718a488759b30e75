"""Each private name of Keras and TensorFlow that we use is there, and does its work."""

import ast
import importlib.util
import inspect
import pathlib
import re

import keras
import numpy as np
import pytest
from keras.src.losses import loss as losses

from keras_vit import private_keras
from keras_vit.training.engine import private_tensorflow

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERAS = pathlib.Path(importlib.util.find_spec("keras").origin).parent / "src"
OF_PYTHON = {"_getframe"}

# name -> the object of `things` that has it
ATTRIBUTES = {
    "_flatten_layers": "layer",
    "_layers": "layer",
    "_trainable_variables": "layer",
    "_non_trainable_variables": "layer",
    "_inbound_nodes": "layer",
    "_outbound_nodes": "layer",
    "_get_call_context": "layer",
    "_value": "variable",
    "_keras_history": "tensor",
    "_nodes_by_depth": "functional",
    "_functional": "sequential",
    "_compile_loss": "sequential",
    "_compute_loss": "sequential",
    "_loss_tracker": "sequential",
    "_symbolic_build": "sequential",
    "_get_variable_index": "optimizer",
    "_learning_rate": "optimizer",
    "_model_variables_moving_average": "optimizer",
}
# name -> file of Keras that calls, or reads, what we put there
READ_IN = {
    "_make_function": "backend/tensorflow/trainer.py",
    "_maybe_symbolic_build": "backend/tensorflow/trainer.py",
    "train_function": "backend/tensorflow/trainer.py",
    "_purge_model_variables": "backend/jax/trainer.py",
    "_all_reduce_sum_gradients": "backend/tensorflow/optimizer.py",
    "scale_loss_for_distribution": "losses/loss.py",
    "unscale_loss_for_distribution": "backend/tensorflow/trainer.py",
    "use_legacy_config": "legacy/saving/legacy_h5_format.py",
    "save_model_to_hdf5": "legacy/saving/legacy_h5_format.py",
    "opened_new_file": "legacy/saving/legacy_h5_format.py",
}


@pytest.fixture(scope="module")
def things():
    """A compiled model of one layer, and its parts."""
    optimizer = keras.optimizers.Adam(0.5, use_ema=True)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    (layer,) = model.layers
    return {
        "layer": layer,
        "variable": layer.kernel,
        "tensor": model.outputs[0],
        "functional": keras.Model(model.inputs, model.outputs),
        "sequential": model,
        "optimizer": optimizer,
    }


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute_is_there(name, things):
    """An object of Keras has it."""
    assert hasattr(things[ATTRIBUTES[name]], name)


@pytest.mark.parametrize("name", READ_IN)
def test_name_is_read_by_keras(name):
    """What we override or replace would otherwise be passed over in silence."""
    assert re.search(rf"\b{name}\b", (KERAS / READ_IN[name]).read_text())


def test_every_name_is_tested():
    """A name that is added to the file is added here."""
    tree = ast.parse(inspect.getsource(private_keras))
    found = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    found |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    found = {n for n in found if n.startswith("_")} - OF_PYTHON

    assert set() == found - ATTRIBUTES.keys() - READ_IN.keys()


@pytest.mark.parametrize(
    ("module", "package"),
    [(private_keras, "keras"), (private_tensorflow, "tensorflow")],
)
def test_checked_version_is_the_tested_one(module, package):
    """A new version in constraints.txt comes with a look at the file."""
    assert f"{package}=={module.CHECKED}\n" in (ROOT / "constraints.txt").read_text()


def test_every_function_says_what_breaks_without():
    """Also a mixin."""
    for module in (private_keras, private_tensorflow):
        for name, part in vars(module).items():
            of_this_file = getattr(part, "__module__", None) == module.__name__
            if of_this_file and name != "Origin":
                assert "Without:" in inspect.getdoc(part), name


def test_graph(things):
    """Origin, calls, readers and order of a functional model."""
    model = things["sequential"]
    layer = things["layer"]
    origin = private_keras.origin_of(model.outputs[0])

    assert layer is origin.operation and 0 == origin.output
    assert model.inputs[0] is origin.inputs[0]
    assert 1 <= len(private_keras.calls_of(layer))
    assert layer in private_keras.readers_of(
        private_keras.origin_of(model.inputs[0]).operation
    )
    assert [layer] == [n.operation for n in private_keras.calls_in_order(model)]
    assert things["functional"] is private_keras.functional_of(things["functional"])


def test_weights(things):
    """Layers of all levels, weights of one, and storage that is shared."""
    layer, model = things["layer"], things["sequential"]
    twin = keras.Variable(np.zeros((3, 2), "float32"))
    private_keras.share_storage(twin, layer.kernel)

    assert {model, layer} <= set(private_keras.flatten_layers(model))
    assert layer in private_keras.layers_inside(model)
    assert ([layer.kernel, layer.bias], []) == private_keras.own_weights(layer)
    np.testing.assert_array_equal(twin, layer.kernel)


def test_optimizer(things):
    """Its index, schedule and averages."""
    optimizer, layer = things["optimizer"], things["layer"]

    assert 1 == private_keras.variable_index(optimizer, layer.bias)
    assert 0.5 == float(private_keras.schedule_of(optimizer))
    weights = [weight for weight, _ in private_keras.averages_of(optimizer)]
    assert [layer.kernel, layer.bias] == weights


def test_losses_are_undivided_in_the_block_alone():
    """Keras' own functions are back afterwards."""
    before = losses.scale_loss_for_distribution
    with private_keras.losses_undivided():
        assert 3 == losses.scale_loss_for_distribution(3)
        assert before is not losses.scale_loss_for_distribution

    assert before is losses.scale_loss_for_distribution


def test_train_function_is_wrapped_in_the_block_alone(things):
    """`fit` calls what was put there."""
    model, called = things["sequential"], []

    def wrap(real):
        def step(*arguments):
            called.append(1)
            return real(*arguments)

        return step

    with private_keras.train_function_inside(model, wrap):
        inside = model.train_function
        model.fit(np.zeros((2, 3)), np.zeros((2, 2)), verbose=0)

    assert [1] == called
    assert inside is not model.train_function


def test_determinism_is_known():
    """Off, unless it was asked for."""
    assert private_tensorflow.is_deterministic() in (True, False)
