"""Saved calibration: activation ranges of a model, stored as JSON."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from keras_vit import files
from keras_vit.errors import CheckpointError
from keras_vit.export.quantization.graph.graph import TFLiteGraph
from keras_vit.types import FilePath

FORMAT = 1
LARGEST = 2**27  # bytes of a file: an H/14 needs a twentieth


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Activation ranges of one model, given as `calibration` in place of images.

    Recipes that only need ranges take it: static_int8, full_int8 and int16x8. Make one
    with `calibrate`.

    Args:
        model: fingerprint of the weights, see `fingerprint`.
        images: how many were observed.
        spans: {graph: {tensor: (low, high)}}, arrays (C,) or (1,) float32; a graph is
            named by `signature`.
        narrow, energies: as in `calibration.statistics.Statistics`.
        keep: names of layers to hold in float or in 16 bits, see `keeping`.
    """

    model: str
    images: int
    spans: dict
    narrow: dict
    energies: dict
    keep: tuple = ()

    def keeping(self, layers: Iterable[str]) -> Self:
        """Copy the ranges with some layers kept in float.

        static_int8 leaves them in float, full_int8 lets them work on 16 bits.

        Args:
            layers: list of paths in the model, such as "block_0/mlp/fc1" or "head", as
                `sensitivity` gives them.

        Raises:
            TypeError: for a single name.
        """
        if isinstance(layers, str):
            raise TypeError(
                f"keeping: must be a list of names, got {layers!r}. Pass [{layers!r}]."
            )
        return dataclasses.replace(self, keep=tuple(layers))

    def of(self, graph: TFLiteGraph, wanted: Sequence[int]) -> dict[int, Any]:
        """Ranges of some tensors, as `observer.ranges` gives them.

        Args:
            graph: `TFLiteGraph`, rewritten as it was when images were observed.
            wanted: numbers of tensors.

        Raises:
            ValueError: when they were observed in another graph.
        """
        known = self.spans.get(signature(graph), {})
        missing = [number for number in wanted if number not in known]
        if missing:
            raise ValueError(
                f"calibration: must hold ranges of all {len(wanted)} tensors, got "
                f"{len(wanted) - len(missing)}. They were made by another version of "
                "keras_vit: make them again with quantization.calibrate."
            )
        return {number: known[number] for number in wanted}

    def to_json(self) -> str:
        """Return the content of the file."""
        spans = {
            name: {str(n): [row.tolist() for row in pair] for n, pair in group.items()}
            for name, group in self.spans.items()
        }
        content = {
            "keras_vit_ranges": FORMAT,
            **dataclasses.asdict(dataclasses.replace(self, spans={})),
            "spans": spans,
        }
        return json.dumps(content)

    def save(self, path: FilePath, overwrite: bool = False) -> None:
        """Write a JSON file.

        Args:
            path: of it. overwrite: whether an existing one may be replaced.

        Raises:
            FileExistsError: when it exists and overwrite is False.
        """
        with files.replacing(path, overwrite) as temporary:
            pathlib.Path(temporary).write_text(self.to_json())

    @classmethod
    def load(cls, path: FilePath) -> Self:
        """Read a file that `save` wrote.

        Args:
            path: of it.

        Raises:
            FileNotFoundError: when there is none.
            CheckpointError: for any other file.
        """
        path = pathlib.Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"calibration: no file {path}. Make it with quantization.calibrate."
            )
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError(f"{path.stat().st_size} bytes")
            content = json.loads(path.read_text())
            if content["keras_vit_ranges"] != FORMAT:
                raise ValueError(f"format {content['keras_vit_ranges']!r}")
            return cls(
                str(content["model"]),
                int(content["images"]),
                {
                    name: _numbered(group, _span)
                    for name, group in content["spans"].items()
                },
                _numbered(content["narrow"], _ends),
                _numbered(content["energies"], _energy),
                tuple(map(str, content["keep"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise CheckpointError(
                f"calibration: must be ranges that keras_vit saved, got {path} with "
                f"{type(err).__name__}: {str(err)[:100]}. Make it again with "
                "quantization.calibrate."
            ) from err


def _numbered(group, read):
    return {int(number): read(value) for number, value in group.items()}


def _span(pair):
    low, high = (np.array(row, "float32") for row in pair)
    if low.shape != high.shape or low.ndim != 1 or not np.isfinite([low, high]).all():
        raise ValueError("an invalid quantization range")
    return low, high


def _ends(pair):
    low, high = map(float, pair)
    if not -np.inf < low <= high < np.inf:
        raise ValueError("an invalid quantization range")
    return low, high


def _energy(pair):
    largest, cut = pair
    return float(largest), None if cut is None else float(cut)


def fingerprint(model):
    """SHA-256 of a model's float32 weights, in order.

    Args:
        model: Keras model.
    """
    digest = hashlib.sha256()
    for value in model.get_weights():
        value = np.ascontiguousarray(value, "float32")
        digest.update(str(value.shape).encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def signature(graph):
    """SHA-256 of a graph's structure: operators and tensor numbers.

    Args:
        graph: `TFLiteGraph`.
    """
    wiring = [(op.name, op.inputs, op.outputs) for op in graph.ordered()]
    return hashlib.sha256(json.dumps(wiring).encode()).hexdigest()


def is_ranges(calibration):
    """Whether it is `Ranges`, or the path of a file of them."""
    if isinstance(calibration, (str, os.PathLike)):
        path = pathlib.Path(calibration)
        return path.is_file() or path.suffix == ".json"
    return isinstance(calibration, Ranges)


def count_of(images):
    """Number of images of an array, or behind `Ranges`."""
    return images.images if isinstance(images, Ranges) else len(images)


def check_ranges(calibration, model):
    """Load `Ranges`, and check that they belong to a model.

    Args:
        calibration: `Ranges`, or the path of a saved one. model: Keras model.

    Returns:
        `Ranges`.

    Raises:
        FileNotFoundError, CheckpointError: see `Ranges.load`.
        ValueError: for those of another model.
    """
    if not isinstance(calibration, Ranges):
        calibration = Ranges.load(calibration)
    weights_hash = fingerprint(model)
    if calibration.model != weights_hash:
        raise ValueError(
            "calibration: must be the ranges of this model, got those of weights "
            f"{calibration.model[:12]} for {weights_hash[:12]}. Make them with "
            "quantization.calibrate(model, images)."
        )
    return calibration
