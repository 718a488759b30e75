"""Path of a model: a file, or the best model of a run's folder.

Nothing is opened here and no Keras is needed: what is missing is said at once.
"""

import os
import pathlib

# Endings that are files and never names.
SUFFIXES = (".npz", ".safetensors", ".pth", ".pt", ".bin", ".h5", ".keras")
BEST, RECIPE = "best.keras", "recipe.json"  # of a training run


def find(name):
    """Path of a model; of a run's folder, its best model.

    Args:
        name: path, or the name of a checkpoint or model, which stays as it is.

    Returns:
        Text.

    Raises:
        FileNotFoundError: for a file that is not there, or a run without a model.

    >>> find("ViT-B/16")
    'ViT-B/16'
    """
    name = os.fspath(name)
    path = pathlib.Path(name).expanduser()
    if (path / BEST).is_file():
        return str(path / BEST)
    if (path / RECIPE).is_file():
        raise FileNotFoundError(
            f"{name}: is the folder of a run, and must hold {BEST}, got none: its "
            "first epoch is not over. Let the run go on, or name one of its files."
        )
    if path.suffix in SUFFIXES and not path.exists():
        raise FileNotFoundError(
            f"{name}: must be an existing file of a model, got nothing there. Check "
            "the path, or train one with `keras-vit train --output RUN`."
        )
    return name
