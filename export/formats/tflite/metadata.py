"""TFLite metadata: labels and normalisation, as MediaPipe reads them.

Two parts: a small flatbuffer that says what each tensor means, stored in the model
under a fixed name, and the label file in a zip archive behind the model's last byte.
Slots and numbers are those of the public schema, `metadata_schema.fbs` of
https://github.com/google-ai-edge/mediapipe, mediapipe/tasks/metadata.
"""

import zipfile

import keras_vit
from keras_vit.export.io.labels import LABELS, lines
from keras_vit.ranges import keywords, pixel_statistics

# Under this name the model's list of metadata holds the buffer.
NAME = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
# The oldest parser that knows every field used here.
PARSER = "1.0.0"
AXIS_LABELS, VALUE_LABELS = 2, 3  # AssociatedFileType
FEATURE, IMAGE = 1, 2  # ContentProperties
NORMALISATION = 1  # ProcessUnitOptions
RGB, GREY = 1, 2  # ColorSpaceType


def describe(adapter, name, labels):
    """Build the metadata of a file whose first signature has this adapter.

    Args:
        adapter: `keras_vit.export.io.io_adapter.IOAdapter`.
        name: of the model.
        labels: class names, or None.

    Returns:
        bytes of a flatbuffer.
    """
    inputs = [_image(adapter)]
    outputs = [_output(tensor, adapter.classes, labels) for tensor in adapter.outputs]
    graph = {2: inputs, 3: outputs}
    return pack(
        {
            0: name,
            1: f"{adapter.purpose}: takes {adapter.image}, gives "
            f"{', '.join(map(str, adapter.outputs))}; exported with keras_vit "
            f"{keras_vit.__version__}",
            3: [graph],
            7: PARSER,
        }
    )


def _image(adapter):
    """TensorMetadata of the input image."""
    _, height, width, channels = adapter.image.shape
    size = {0: U32(width), 1: U32(height)}
    colour = {0: I8(RGB if channels == 3 else GREY), 1: size}
    table = {
        0: adapter.image.name,
        1: f"{width}x{height} px, {_values(adapter)}",
        3: {0: U8(IMAGE), 1: colour},
    }
    if not (adapter.embedded or adapter.view.stated):
        return table  # readers such as MediaPipe refuse it, rather than guess
    mean, std = normalisation(adapter)
    low = [(0.0 - m) / s for m, s in zip(mean, std, strict=True)]
    high = [(255.0 - m) / s for m, s in zip(mean, std, strict=True)]
    unit = {0: U8(NORMALISATION), 1: {0: mean, 1: std}}
    return {**table, 4: [unit], 5: {0: high, 1: low}}


def _values(adapter):
    if adapter.embedded:
        return "pixels of 0 to 255"
    return (
        keywords(adapter.mode)
        if adapter.view.stated
        else "in a range that the model does not state"
    )


def normalisation(adapter):
    """(mean, std), lists of float: the file takes (pixel - mean) / std.

    (0, 1) where the file takes the pixels as they are.
    """
    if adapter.embedded:
        return [0.0], [1.0]
    rows = pixel_statistics(adapter.mode, adapter.image.shape[-1])
    mean, std = (list(map(float, row)) for row in rows)
    alike = len({*mean}) == len({*std}) == 1
    return (mean[:1], std[:1]) if alike else (mean, std)


def _output(tensor, classes, labels):
    """TensorMetadata of an output; scores and classes carry the labels."""
    scores = tensor.shape[-1] == classes and tensor.name != "features"
    each = f"{tensor.name}, one per class" if scores else tensor.name
    table = {0: tensor.name, 1: each, 3: {0: U8(FEATURE), 1: {}}}
    kind = AXIS_LABELS if scores else VALUE_LABELS
    if labels is not None and (scores or tensor.name == "classes"):
        file = {0: LABELS, 1: "one class name per line", 2: I8(kind)}
        table[6] = [file]
    return table


class U8(int):
    """A number of one byte, unsigned."""

    width = "Uint8"


class I8(int):
    """A number of one byte, signed."""

    width = "Int8"


class U32(int):
    """A number of four bytes, unsigned."""

    width = "Uint32"


def pack(table):
    """Write nested tables as a flatbuffer.

    Args:
        table: {slot: value}; a value is a string, a number of one of the types
            above, a list of float, a table, or a list of tables.

    Returns:
        bytes.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, table), IDENTIFIER)
    return bytes(builder.Output())


def _table(builder, table):
    """Write what the table refers to, then the table; gives its offset."""
    parts = {slot: _part(builder, value) for slot, value in table.items()}
    builder.StartObject(max(table, default=-1) + 1)
    for slot, value in table.items():
        if isinstance(value, int):
            getattr(builder, f"Prepend{value.width}Slot")(slot, int(value), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, parts[slot], 0)
    return builder.EndObject()


def _part(builder, value):
    """Offset of a string, list or table; None for a number."""
    if isinstance(value, int):
        return None
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, dict):
        return _table(builder, value)
    if isinstance(value[0], float):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    offsets = [_table(builder, row) for row in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def append_labels(path, labels):
    """Append the label file to a model, uncompressed, as readers expect it.

    Args:
        path: `.tflite` file. labels: class names.
    """
    # The date is part of the archive; a fixed one makes equal files of equal models.
    entry = zipfile.ZipInfo(LABELS, date_time=(1980, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, lines(labels), zipfile.ZIP_STORED)


def read_labels(path):
    """Read the labels in a `.tflite` file, or None.

    Args:
        path: the file.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if LABELS not in archive.namelist():
            return None
        return archive.read(LABELS).decode().splitlines()
