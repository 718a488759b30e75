"""Write the golden files of this folder: `python tests/golden/make.py`.

Weights and images come from numpy's generator, so that any backend can be held
against the recorded logits. Run it only when a change of numbers is intended.
"""

import datetime
import importlib.util
import json
import pathlib

import keras
import numpy as np
from keras import ops

FOLDER = pathlib.Path(__file__).resolve().parent
OPTIONS = [
    {},
    {"pooling": "map", "activation": "gelu_tanh"},
    {"position": "relative", "registers": 1, "qk_norm": True},
    {"image_size": [32, 48], "position": "learned2d", "layer_scale": 0.5},
    {"pooling": "gap", "position": "sincos2d", "norm_pooled": True},
    {"distilled": True, "position_prefix": False},
]


def load(name, path):
    """Import a file that is not part of a package."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    """Write tiny_logits.npz and weight_paths.txt."""
    make_tiny = load("conftest", FOLDER.parent / "conftest.py").make_tiny
    arrays = {}
    for options in OPTIONS:
        model = make_tiny(**options)
        rng = np.random.default_rng(1)
        images = rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")
        arrays[json.dumps(options)] = ops.convert_to_numpy(model(images))
    header = f"{pathlib.Path(__file__).name}, {datetime.date.today()}, Keras "
    header += f"{keras.__version__} on {keras.backend.backend()}"
    np.savez(FOLDER / "tiny_logits.npz", header=np.array(header), **arrays)
    options = {"registers": 1, "layer_scale": 0.1, "qk_norm": True, "depth": 1}
    options |= {"representation_size": 4, "distilled": True}
    paths = [weight.path for weight in make_tiny(**options).weights]
    (FOLDER / "weight_paths.txt").write_text("\n".join(paths) + "\n")


if __name__ == "__main__":
    main()
