"""Under QEMU itself: a file answers as it does here. Skips without the laboratory."""

import numpy as np
import pytest

from keras_vit.export.processors import TARGETS, run
from keras_vit.export.processors.session import open_session
from keras_vit.export.processors.targets import EMULATOR
from keras_vit.export.runtime.runtimes import open_file

EMULATED = [name for name, row in TARGETS.items() if row.kind == EMULATOR]


@pytest.mark.slow
@pytest.mark.parametrize("name", EMULATED)
@pytest.mark.parametrize("kind", ["tflite", "int8", "onnx"])
def test_a_file_answers_as_here(name, kind, exported, photos, installed):
    """The same class, and logits within what another order of sums explains."""
    installed(TARGETS[name])
    here = open_file(exported[kind].path)(photos[:4])[0]

    there = run(name, exported[kind].path, photos[:4], verbose=0)[0]

    assert here.argmax(axis=1).tolist() == there.argmax(axis=1).tolist()
    # Inputs that are rounded on the fly may fall to the other side.
    np.testing.assert_allclose(there, here, atol=0.05 if kind == "int8" else 1e-4)


@pytest.mark.slow
def test_the_processor_is_the_one_that_was_asked_for(exported, installed):
    """The older has no dot products, the newer has."""
    runtime, features = open_file(exported["tflite"].path), {}
    for name in ("cortex-a53", "cortex-a76"):
        installed(TARGETS[name])
        with open_session(TARGETS[name], runtime, verbose=0) as there:
            features[name] = there.facts["features"]
            assert "aarch64" == there.facts["machine"]

    assert "dotprod" not in features["cortex-a53"]
    assert "dotprod" in features["cortex-a76"]
