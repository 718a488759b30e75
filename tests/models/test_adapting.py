"""Another head, another precision, the same weights."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import models


def test_a_new_head_starts_at_zero_on_the_old_features(tiny, images):
    """Features stay bit for bit; the model is noted as it was, but for its labels."""
    model = tiny(labels=list("abcde"), registers=1, layer_scale=0.1)
    adapted = models.adapt(model, classes=3)

    features = [
        ops.convert_to_numpy(models.feature_extractor(m)(images))
        for m in (model, adapted)
    ]
    np.testing.assert_array_equal(*features)
    assert (None, 3) == adapted.output_shape
    np.testing.assert_array_equal(0.0, ops.convert_to_numpy(adapted(images)))
    assert model.preprocessing == adapted.preprocessing
    assert (list("abcde"), None) == (model.labels, adapted.labels)


def test_another_precision_keeps_the_head_wide(tiny, images):
    """Blocks compute in bfloat16, weights and logits stay float32."""
    model = tiny(labels=list("abcde"), distilled=True)
    adapted = models.adapt(model, dtype="mixed_bfloat16")

    got = adapted(images)
    assert "float32" == keras.backend.standardize_dtype(got.dtype)
    assert "float32" == adapted.weights[0].dtype
    assert "bfloat16" == adapted.get_layer("block_0").compute_dtype
    assert "float32" == adapted.get_layer("head_dist").compute_dtype
    expected = ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(expected, ops.convert_to_numpy(got), atol=0.05)
    assert list("abcde") == adapted.labels


def test_without_a_head_there_is_nothing_to_exchange(tiny):
    """The message says how to build one."""
    with pytest.raises(ValueError, match="layer named 'head'.*include_top=True"):
        models.adapt(tiny(include_top=False), classes=3)


def test_an_image_gpt_inside_a_classifier_changes_with_it():
    """The blocks that compute are in the trunk; scores stay float32."""
    gpt = keras_vit.ImageGPT(image_size=4, width=8, depth=1, heads=2, colors=8)
    model = keras_vit.classifier_from(gpt, 3)
    adapted = models.adapt(model, 2, "mixed_bfloat16")

    trunk = adapted.get_layer("pool").trunk
    assert "bfloat16" == trunk.compute_dtype == trunk.blocks[0].compute_dtype
    assert "float32" == trunk.head.compute_dtype == adapted.layers[-1].compute_dtype
    own = model.get_layer("pool").get_weights()
    pairs = zip(own, adapted.get_layer("pool").get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)
