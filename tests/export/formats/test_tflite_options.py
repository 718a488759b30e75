"""TFLite conversions take seconds each: two of them here, the sweep marked slow."""

import numpy as np
import pytest

from keras_vit import export, feature_extractor
from keras_vit.export.runtime import tflite_file
from keras_vit.export.runtime.runtimes import open_file

RARE = {
    "position": "relative",
    "qk_norm": True,
    "registers": 2,
    "layer_scale": 0.1,
    "pooling": "map",
    "activation": "gelu_tanh",
    "norm_input": True,
}
SWEEP = {
    "wide": {"image_size": (16, 48), "patch_size": (8, 4), "channels": 1},
    "gap": {"pooling": "gap", "norm_pooled": True, "representation_size": 12},
    "tokens": {"include_top": False, "pooling": None, "position": "sincos2d"},
    "learned2d": {"position": "learned2d", "position_prefix": False},
    "distilled": {"distilled": True, "classifier_activation": "softmax"},
    "hybrid": {"stem": (1, 1), "patch_size": 1, "image_size": (40, 32)},
    "half": {"dtype": "mixed_float16", "position": "none", "pooling": "gap"},
}


def test_rare_options_together(tiny, tmp_path):
    """Everything unusual at once is static, builtin, and right."""
    result = export.to_tflite(tiny(**RARE), tmp_path / "m.tflite", verbose=0)

    assert result.largest_difference < 1e-5
    facts = tflite_file.audit(result.path)
    assert 4 == facts.highest_rank[0] and "NEG" not in facts.operators


def test_open_batch_on_request(tiny, images, tmp_path):
    """A file with an open batch takes one image or four."""
    model = tiny()

    result = export.to_tflite(
        model, tmp_path / "m.tflite", dynamic_batch=True, verbose=0
    )

    assert (None, 32, 32, 3) == result.inputs[0].shape
    run = open_file(result)
    for count in (4, 1, 3):
        expected = model.predict(images[:count], verbose=0)
        np.testing.assert_allclose(run(images[:count])[0], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", [None, "dynamic_int8"])
@pytest.mark.parametrize("name", SWEEP)
def test_every_option(name, quantization, tiny, tmp_path):
    """Each architecture, in float32 and in 8 bits."""
    result = export.to_tflite(
        tiny(**SWEEP[name]), tmp_path / "m.tflite", quantization, verbose=0
    )

    assert tflite_file.audit(result.path).highest_rank[0] <= 4
    if quantization is None:
        assert result.largest_difference < 1e-5


@pytest.mark.slow
def test_feature_maps(tiny, tmp_path):
    """Several outputs, as grids, in their order."""
    model = feature_extractor(tiny(), blocks=[1, 0], layout="grid")

    result = export.to_tflite(model, tmp_path / "m.tflite", verbose=0)

    assert [(1, 4, 4, 16)] * 2 == [tensor.shape for tensor in result.outputs]
    assert ["features_0", "features_1"] == [tensor.name for tensor in result.outputs]
