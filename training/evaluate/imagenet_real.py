"""ImageNet by the reassessed labels: every right answer counts, not one of them.

Several classes may stand for one validation image, or none: images without a label are
left out of the score.

Beyer et al. 2020, "Are we done with ImageNet?", arXiv:2006.07159.
"""

import json
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.errors import DataError
from keras_vit.training.evaluate.predictions import Outcomes, outcomes
from keras_vit.types import Dataset, FilePath

CLASSES = 1000
NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")


def real_labels(path: FilePath, names: Iterable[FilePath]) -> list[tuple]:
    """Read the reassessed labels of some validation images.

    Args:
        path: `real.json` of google-research/reassessed-imagenet: for each validation
            image, in the order of the file numbers, a list of class numbers.
        names: file names or paths of the images, in the order of the data set, such
            as `ILSVRC2012_val_00000001.JPEG`.

    Returns:
        List of tuples of class numbers, one per image; empty where nobody knows.

    Raises:
        FileNotFoundError: when there is no such file.
        DataError: for a file of another kind, or names without a number.
    """
    rows = _read(pathlib.Path(path))
    found = [NUMBER.search(pathlib.Path(name).name) for name in names]
    numbers = [0 if match is None else int(match[1]) for match in found]
    for name, number in zip(names, numbers, strict=True):
        if not 1 <= number <= len(rows):
            raise DataError(
                f"{name}: must be named after its number in ImageNet, "
                f"ILSVRC2012_val_00000001 to {len(rows):08d}, got another name. "
                "ReaL labels are known for ImageNet's validation images only."
            )
    return [tuple(rows[number - 1]) for number in numbers]


def _read(path):
    """The lists of the file, checked."""
    try:
        rows = json.loads(path.read_text())
    except ValueError as err:
        raise DataError(f"{path}: must be JSON, got damage ({err}).") from err
    right = isinstance(rows, list) and all(
        isinstance(row, list) and all(type(k) is int and 0 <= k < CLASSES for k in row)
        for row in rows
    )
    if not right:
        raise DataError(
            f"{path}: must be a list of lists of class numbers below {CLASSES}, got "
            "something else. Use real.json of google-research/reassessed-imagenet."
        )
    return rows


def real(
    model: keras.Model, dataset: Dataset, labels: Sequence[tuple], verbose: int = 1
) -> dict[str, Any]:
    """Share of images whose best answer is among their reassessed labels.

    Args:
        model, dataset, verbose: as in `outcomes`; the model has the 1,000 classes of
            ImageNet in their usual order.
        labels: of `real_labels`, one tuple per image.

    Returns:
        Dict with "real", share 0..1, "count", images that have a label, and
        "excluded", those that have none.

    Raises:
        ValueError: for labels that are not those of the data set.

    Source:
        arXiv:2006.07159, section 3.
    """
    return real_share(outcomes(model, dataset, verbose), labels)


def real_share(found: Outcomes, labels: Sequence[tuple]) -> dict[str, Any]:
    """`real` of `Outcomes` that are there already."""
    if found.classes != CLASSES or len(labels) != len(found.answered):
        raise ValueError(
            f"real: needs {CLASSES} outputs and one list of labels per image, got "
            f"{found.classes} outputs and {len(labels)} lists for "
            f"{len(found.answered)} images. Evaluate an ImageNet-1k classifier."
        )
    known = [
        (said, row) for said, row in zip(found.answered, labels, strict=True) if row
    ]
    if not known:
        raise ValueError("real: needs an image with a label, got none.")
    hits = np.mean([said in row for said, row in known])
    excluded = len(labels) - len(known)
    return {"real": float(hits), "count": len(known), "excluded": excluded}
