"""Description of a weight file from its header; needs no Keras."""

import dataclasses
import pathlib

from keras_vit.errors import CheckpointError
from keras_vit.types import FilePath, Size
from keras_vit.weights import catalog, reading, unsupported
from keras_vit.weights.checkpoint_facts import Request
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.report import Description


def describe(
    path: FilePath, heads: int | None = None, image_size: Size | None = None
) -> Description:
    """Describe a file from its header.

    Args:
        path: file or folder.
        heads, image_size: as in `from_checkpoint`, where the file cannot tell.

    Returns:
        `Description`; print it, or take `to_dict()`.

    Raises:
        FileNotFoundError: when there is no such file.
        CheckpointError: when it is damaged, unsafe or of an unknown kind.
    """
    arrays = open_checkpoint(pathlib.Path(path))
    options, notes, left_out = {}, [], {}
    known = None if "keras_vit" in arrays.notes else unsupported.family(arrays)
    if known is not None:
        name, notes = known, ["It is another network than those that are read."]
    else:
        family = reading.family_of(reading.unwrapped(arrays)[0])
        name = family.name
        if family.later:
            notes.append(f"This is {family.later}.")
        else:
            options, left_out, notes = _facts(arrays, path, heads, image_size)
    return Description(
        path=arrays.where,
        format=arrays.format,
        family=name,
        architecture=plain(options),
        arrays=len(arrays),
        values=arrays.values_count,
        left_out=left_out,
        notes=notes,
    )


def _facts(arrays, path, heads, image_size):
    """(options, skipped arrays, notes); facts that are missing become notes."""
    row = catalog.by_file(pathlib.Path(path).name)
    usual = None if row is None else (row.image_size, row.image_size)
    side = (
        image_size
        if image_size is None
        else tuple(image_size if hasattr(image_size, "__len__") else (image_size,) * 2)
    )
    try:
        opened = reading.read_facts(arrays, Request(heads, side, None, usual))
    except CheckpointError as err:
        return {}, {}, [str(err)]
    return opened.facts.options, opened.arrays.left_out, list(opened.facts.notes)


def plain(options):
    """Architecture fields as plain values."""
    return {
        key: dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
        for key, value in options.items()
    }
