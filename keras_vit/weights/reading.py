"""Architecture of a weight file, from names, shapes and config; needs no Keras."""

from typing import NamedTuple

from keras_vit.errors import CheckpointError
from keras_vit.weights import (
    big_vision,
    bit,
    google,
    hf,
    keras_hub,
    later,
    timm,
    unsupported,
)
from keras_vit.weights.arrays import ArrayFile, listed
from keras_vit.weights.checkpoint_facts import Facts, Family
from keras_vit.weights.wrapping import matcher, unwrapped

# Asked in this order: the first that knows the names reads the file.
FAMILIES = (
    google.FAMILY,
    *bit.FAMILIES,
    *later.FAMILIES,
    big_vision.FAMILY,
    keras_hub.FAMILY,
    hf.FAMILY,
    timm.FAMILY,
)
OPEN = (None, None)  # images of any size
OWN_NOTES = {"activation": str, "epsilon": float, "pooling": str, "labels": list}


class Opened(NamedTuple):
    """An open file with its family and facts."""

    arrays: ArrayFile
    family: Family
    facts: Facts


def family_of(arrays):
    """Find the family that names belong to.

    Raises:
        CheckpointError: when nobody knows them.
    """
    found = None if "keras_vit" in arrays.notes else unsupported.family(arrays)
    if found is not None:
        unsupported.refuse(arrays.where, found)
    for family in FAMILIES:
        if family.recognises(arrays):
            return family
    raise CheckpointError(
        f"{arrays.where}: must hold a Vision Transformer with the names of vit_jax, "
        f"big_vision, timm, transformers or keras-hub, or a Big Transfer ResNet, got "
        f"{listed(arrays)}. "
        "Is it the right file?"
    )


def read_facts(arrays, request, skip=()):
    """Find the family, and read the architecture from names and shapes.

    Args:
        arrays: `ArrayFile`. request: `Request`.
        skip: shell patterns of names that are left out; nothing about them is checked.

    Raises:
        CheckpointError: when the file is incomplete, or does not tell something
            that `request` does not say either.
        TypeError: for a family that is another class than `VisionTransformer`.
        ValueError: for an open image size where the model needs a fixed one.
    """
    arrays, said = unwrapped(arrays, skip)
    family = family_of(arrays)
    if family.later:
        raise TypeError(
            f"{arrays.where}: must be a Vision Transformer, got {family.later}."
        )
    if request.image_size == OPEN and family not in bit.FAMILIES:
        raise ValueError(
            f"image_size: a Vision Transformer needs a fixed size, got {OPEN}. Use "
            "(224, 224), for example."
        )
    arrays = family.normalise(arrays)
    facts = family.read(arrays, _with_own_note(arrays, request))
    _check_kinds(arrays, matcher(skip))
    facts = _own_facts(arrays, facts)
    said = [arrays.notes.get("said"), *said, *facts.notes]
    return Opened(arrays, family, facts._replace(notes=tuple(filter(None, said))))


def _with_own_note(arrays, request):
    """Add the image size that our own files store for computed positions."""
    note = arrays.notes.get("keras_vit")
    size = note.get("image_size") if isinstance(note, dict) else None
    if isinstance(size, list) and [type(n) for n in size] == [int, int]:
        return request._replace(usual_size=tuple(size))
    return request


def _own_facts(arrays, facts):
    """Facts in the metadata of `save_checkpoint`.

    Raises:
        CheckpointError: when the note was tampered with.
    """
    metadata = arrays.notes.get("keras_vit")
    if not isinstance(metadata, dict):
        return facts
    values = {key: metadata[key] for key in OWN_NOTES if metadata.get(key) is not None}
    for key, value in values.items():
        if not isinstance(value, OWN_NOTES[key]):
            raise CheckpointError(
                f"{arrays.where}: note {key!r} must be a {OWN_NOTES[key].__name__}, "
                f"got {str(value)[:60]!r}. Save the file again with save_checkpoint."
            )
    if not facts.options["include_top"]:
        values["pooling"] = metadata.get("pooling")
    return facts._replace(options={**facts.options, **values}, notes=())


def _check_kinds(arrays, skipped):
    """Refuse weights that are not floats."""
    for name, entry in arrays.items():
        if skipped(name) or skipped(arrays.origin[name]):
            continue
        if not entry.dtype.startswith(("float", "bfloat")):
            first = arrays.origin[name]
            raise CheckpointError(
                f"{arrays.where}: weights must be floats, got {entry.dtype!r} in "
                f"{first!r}. If the answers do not need it: skip={first!r}."
            )
