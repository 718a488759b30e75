"""Public functions that load a model from a path or a name."""

import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit import imagenet
from keras_vit.errors import WeightsMismatch
from keras_vit.layers.patches import pair
from keras_vit.models.image_model import ImageModel
from keras_vit.private_keras import print_msg
from keras_vit.types import Config, FilePath, Size
from keras_vit.weights import catalog, hub, loading, places, reading
from keras_vit.weights.checkpoint_facts import Request
from keras_vit.weights.fetch import fetch
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.preparing import in_channels

# Fields of Architecture that mean something when they are None.
CAN_BE_NONE = ("pooling", "representation_size")


def from_checkpoint(
    path_or_name: FilePath,
    *,
    heads: int | None = None,
    image_size: Size | None = None,
    classes: int | None = None,
    include_top: bool = True,
    patch_size: Size | None = None,
    stored_grid: tuple[int, int] | None = None,
    skip: Sequence[str] = (),
    verbose: int = 1,
    **overrides: Any,
) -> ImageModel:
    """Build the model of a weight file, and load its weights.

    The architecture is read off the names and shapes; files of Big Transfer give
    a `BigTransfer`, all others a `VisionTransformer`. Position embeddings are
    resampled to another image size with the kernel of the code that made the
    file, patch kernels to another patch size by PI-resize.

    Args:
        path_or_name: file or folder (.npz, .safetensors, .pth, Hugging Face,
            timm, keras-hub), a name of `list_checkpoints`, or "hf://OWNER/NAME",
            any repository of the Hugging Face hub with such a model.
        heads: attention heads, for files that fuse query, key and value.
        image_size, patch_size: px, or (H, W); None for that of the file.
        classes: K of a new head; None keeps the file's.
        include_top: whether the model ends in logits, if the file has a head.
        stored_grid: (rows, columns) of stored positions that are no square.
        skip: shell patterns of file names or weight paths to leave out.
        verbose: 0 silent, 1 says what was not simply loaded.
        **overrides: fields of `keras_vit.models.Architecture`, or of
            `BiTArchitecture`, such as dtype, name, activation ("gelu" or
            "gelu_tanh", where the family's own is wrong), preprocessing, pooling,
            dropout, drop_path.

    Returns:
        `ImageModel`; `model.preprocessing`, `model.labels` and
        `model.loading_report` come along.

    Raises:
        CheckpointError: when the file is damaged or unsafe, or does not tell
            something; the message has the keyword.
        WeightsMismatch: when arrays have no counterpart, both sides listed.
        ValueError, FileNotFoundError: for wishes that do not fit, and no file.
        TypeError: for weights of another class, such as an image GPT.
    """
    path, row = locate(path_or_name, verbose)
    wishes = {"image_size": image_size, "patch_size": patch_size, "classes": classes}
    wishes |= overrides
    wishes |= {} if include_top else {"include_top": False}
    wishes = {k: v for k, v in wishes.items() if v is not None or k in CAN_BE_NONE}
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    opened, request, wishes = prepare(path, row, heads, stored_grid, wishes, skip)
    model = loading.load(opened, request, skip, **wishes)
    if verbose and not model.loading_report.clean:
        print_msg(str(model.loading_report))
    return model


def locate(path_or_name, verbose=1):
    """Find a file, or download a published checkpoint.

    Returns:
        (path, row of the catalogue or None).

    Raises:
        ValueError: for what is neither a path nor a name.
        CheckpointError: when it cannot be downloaded.
    """
    if str(path_or_name).startswith(hub.SCHEME):
        return hub.fetch_repository(str(path_or_name), verbose), None
    path = pathlib.Path(path_or_name).expanduser()
    if path.exists():
        return path, catalog.by_file(path.name)
    if path.suffix in places.SUFFIXES or len(path.parts) > 1:
        raise FileNotFoundError(
            f"{path}: must be an existing file or folder of weights, got nothing "
            "there. Check the path, or use a name of keras_vit.list_checkpoints()."
        )
    row = catalog.find(str(path_or_name))
    return fetch(row, verbose), row


def prepare(path, row, heads, stored_grid, wishes, skip=()):
    """Open a file, and fill in what the catalogue knows of it.

    Returns:
        (`reading.Opened`, `facts.Request`, wishes).
    """
    wishes = {**dict(row.options if row else ()), **wishes}
    if heads is not None:
        wishes["heads"] = heads
    request = Request(
        heads,
        _pair_or_none(wishes.pop("image_size", None), "image_size"),
        _pair_or_none(stored_grid, "stored_grid"),
        None if row is None else (row.image_size, row.image_size),
    )
    opened = reading.read_facts(open_checkpoint(path), request, skip)
    if row is not None:
        channels = wishes.get("channels", 3)
        note, _ = in_channels(catalog.preparation(row), None, channels)
        wishes.setdefault("preprocessing", note)
    if _is_imagenet(opened, wishes, published=row is not None):
        wishes.setdefault("labels", list(imagenet.NAMES))
    return opened, request, wishes


def _is_imagenet(opened, wishes, published):
    """Whether the head has 1,000 classes without names.

    One that we saved without names has none, unless it is in the catalogue.
    """
    options, own = opened.facts.options, opened.arrays.notes.get("keras_vit")
    count = options.get("classes") if options.get("include_top") else None
    asked = wishes.get("classes") in (None, 1000) and wishes.get("include_top", True)
    unnamed = options.get("labels") is None and (published or not own)
    return count == 1000 and asked and unnamed


def _pair_or_none(size, name):
    return size if size in (None, reading.OPEN) else pair(size, name)


def from_variant(
    weights: FilePath,
    variant: str,
    numbers: Config,
    function: str,
    classes: int | None = None,
    **wishes: Any,
) -> ImageModel:
    """Published weights of one variant, for `create`.

    Args:
        weights: path or name. variant: its name, for messages.
        numbers: fields of the record that the variant fixes.
        function: name of the model's function, such as "ViT_B16".
        classes: K of a new head, or None.
        **wishes: as in `from_checkpoint`.

    Returns:
        `ImageModel`.

    Raises:
        WeightsMismatch: when the file holds another variant.
        ValueError: as `from_checkpoint`.
    """
    path = pathlib.Path(weights).expanduser()
    size = wishes.get("image_size")
    if path.exists() or path.suffix in places.SUFFIXES or len(path.parts) > 1:
        path, row = locate(weights)
    else:
        row = catalog.find_for(function, str(weights), size and size[0])
        path = fetch(row)
    if classes is not None:
        wishes["classes"] = classes
    opened, request, wishes = prepare(path, row, numbers.get("heads"), None, wishes)
    options = {"distilled": False, **opened.facts.options}
    options |= {k: v for k, v in wishes.items() if k == "patch_size"}
    expected = dict(numbers)
    for patched in (options, expected):
        if "patch_size" in patched:
            patched["patch_size"] = pair(patched["patch_size"], "patch_size")
    other = [
        f"{key}={options.get(key)} instead of {value}"
        for key, value in expected.items()
        if options.get(key) != value
    ]
    if other:
        raise WeightsMismatch(
            f"{path}: must hold {variant}, got {', '.join(other)}. "
            "Use keras_vit.from_checkpoint, which reads the variant off the file."
        )
    model = loading.load(opened, request, **wishes)
    if not model.loading_report.clean:
        print_msg(str(model.loading_report))
    return model


def load(name: FilePath) -> keras.Model:
    """Load a model that Keras saved, or any checkpoint.

    Args:
        name: `.keras` file, the folder of a run (its best model), or what
            `from_checkpoint` takes.

    Returns:
        Model, not compiled.

    Raises:
        FileNotFoundError: for a file that does not exist.
        ValueError, WeightsMismatch: as `from_checkpoint`.
    """
    name = places.find(name)
    if not name.endswith(".keras"):
        return from_checkpoint(name, verbose=0)
    return keras.saving.load_model(name, compile=False)
