"""The public face of loading: a path or a name in, a model out."""

import pathlib

from keras_vit.weights import facts as reading
from keras_vit.weights import loading
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.report import Description


def from_checkpoint(
    path_or_name,
    *,
    heads=None,
    image_size=None,
    classes=None,
    include_top=True,
    patch_size=None,
    stored_grid=None,
    skip=(),
    dtype=None,
    activation=None,
    preprocessing=None,
    name=None,
    verbose=1,
    **overrides,
):
    """Build the model that a file of published weights belongs to, and load them.

    The architecture is read off the names and shapes. Position embeddings are
    resampled to another image size with the kernel of the code that made the
    file, patch kernels to another patch size by PI-resize.

    Args:
        path_or_name: file or folder (.npz, .safetensors, .pth, Hugging Face,
            timm, keras-hub), or a name of `list_checkpoints`.
        heads: attention heads, for files that fuse query, key and value.
        image_size: px, or (H, W); None for that of the file.
        classes: K of a new head; None keeps the file's.
        include_top: whether the model ends in logits, if the file has a head.
        patch_size: px, or (rows, columns); None for that of the file.
        stored_grid: (rows, columns) of the stored positions, where they are no
            square.
        skip: shell patterns of file names or weight paths to leave out.
        dtype: policy of all layers.
        activation: "gelu" or "gelu_tanh", when the family's own is wrong.
        preprocessing: `keras_vit.Preprocessing` instead of the file's.
        name: of the model.
        verbose: 0 silent, 1 says what was not simply loaded.
        **overrides: other fields of `keras_vit.models.Architecture`, such as
            pooling, dropout, drop_path, classifier_activation.

    Returns:
        `ImageModel`; `model.preprocessing`, `model.labels` and
        `model.loading_report` come along.

    Raises:
        FileNotFoundError: when there is no such file.
        CheckpointError: when it is damaged or unsafe, or does not tell
            something; the message has the keyword.
        WeightsMismatch: when arrays have no counterpart, both sides listed.
        ValueError: for wishes that do not fit the file.
        TypeError: for weights of another class, such as an image GPT.
    """
    request = reading.Request(
        heads,
        loading.as_pair(image_size, "image_size"),
        loading.as_pair(stored_grid, "stored_grid"),
    )
    wishes = {
        "heads": heads,
        "classes": classes,
        "dtype": dtype,
        "activation": activation,
        "name": name,
    }
    wishes = {key: value for key, value in wishes.items() if value is not None}
    if not include_top:
        wishes["include_top"] = False
    opened = loading.read_facts(open_checkpoint(path_or_name), request)
    model = loading.load(
        opened,
        request,
        skip=(skip,) if isinstance(skip, str) else tuple(skip),
        patch_size=patch_size,
        preprocessing=preprocessing,
        **wishes,
        **overrides,
    )
    if verbose and not model.loading_report.clean:
        print(model.loading_report)
    return model


def describe(path, heads=None, image_size=None):
    """Say what a file is, from its header alone.

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
    family = loading.family_of(arrays)
    options, notes, left_out = {}, [], {}
    if family.later:
        notes.append(f"This is {family.later}.")
    else:
        size = loading.as_pair(image_size, "image_size")
        request = reading.Request(heads=heads, image_size=size)
        try:
            opened = loading.read_facts(arrays, request)
            options, left_out = opened.facts.options, opened.arrays.left_out
            notes = list(opened.facts.notes)
        except loading.CheckpointError as err:
            notes.append(str(err))
    return Description(
        path=arrays.where,
        format=arrays.format,
        family=family.name,
        architecture=loading.plain(options),
        arrays=len(arrays),
        values=arrays.values_count,
        left_out=left_out,
        notes=notes,
    )
