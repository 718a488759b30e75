"""A model for images of another size: the same in training and in export."""

import keras
import numpy as np
import pytest

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.io.model_views import ModelViews
from keras_vit.export.io.reference import Reference
from keras_vit.layers.position import POSITIONS
from keras_vit.models.resize import at_size
from keras_vit.training.init_from import read_model

SIZE = 64, 32


def served(model):
    """The model that export makes of one for images of SIZE."""
    return ModelViews(Reference(model)).get(SIZE, None, "scores").view.model


@pytest.mark.parametrize("position", POSITIONS)
def test_training_and_export_give_the_same_model(tiny, tmp_path, position):
    """For every kind of position: the same weights, or the same reason against."""
    model = tiny(classes=2, position=position, registers=1)
    model.save(tmp_path / "m.keras")

    def trained():
        return read_model(str(tmp_path / "m.keras"), None, None, image_size=SIZE)

    if position == "relative":
        reason = "only learned positions may depend on the image size"
        with pytest.raises(UnsupportedLayer, match=reason):
            served(model)
        with pytest.raises(ValueError, match=reason):
            trained()
        return
    one, other = trained(), served(model)
    assert one.input_shape == other.input_shape == (None, *SIZE, 3)
    assert [v.path for v in one.weights] == [v.path for v in other.weights]
    assert all(map(np.array_equal, one.get_weights(), other.get_weights()))
    image = np.random.default_rng(0).uniform(-1, 1, (1, *SIZE, 3)).astype("float32")
    assert np.array_equal(one(image), other(image))


@pytest.mark.parametrize("share", [True, False])
def test_weights_are_shared_or_copied(tiny, share):
    """Shared ones follow the model, where arrays can change; positions never do."""
    model = tiny(classes=2)
    resized = at_size(model, SIZE, share)
    heads = [m.get_layer("head").kernel for m in (model, resized)]
    tables = [m.get_layer("patch_encoder").table.embedding for m in (model, resized)]

    heads[0].assign_add(np.ones(heads[0].shape))
    follows = share and keras.backend.backend() != "jax"  # whose arrays never change
    assert follows == np.array_equal(*map(keras.ops.convert_to_numpy, heads))
    assert tables[0].shape != tables[1].shape
    assert at_size(model, (32, 32)) is model
