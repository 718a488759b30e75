"""Facts of a `.keras` file of ours, read from its headers without Keras."""

import contextlib
import io
import json
import struct
import zipfile

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
CLASS = ("keras_vit.models.image_model", "ImageModel")
SAME = (
    "Average",
    "Activation",
    "Softmax",
    "LayerNorm",
    "Dropout",
    "Identity",
)  # of one shape
STATES = "seed_generator"  # of dropout: variables, and no weights


def facts(path):
    """Facts as `model_facts.describe` gives them, or None where Keras is needed.

    That is so for models of other classes, for those that state no pixel range
    themselves, and for outputs whose shape does not stand in the file.

    Args:
        path: of the file.
    """
    with contextlib.suppress(OSError, KeyError, ValueError, zipfile.BadZipFile):
        with zipfile.ZipFile(path) as archive:
            whole = json.loads(archive.read(CONFIG))
            config = whole["config"]
            output = _output(config)
            known = (whole["module"], whole["class_name"]) == CLASS
            if not known or config["preprocessing"] is None or output is None:
                return None
            entry = archive.getinfo(WEIGHTS)
            if entry.compress_type != zipfile.ZIP_STORED:
                return None
        with open(path, "rb") as file:
            count = _count(ArchiveMember(file, entry))
        return {
            "name": config["name"],
            "input": config["layers"][0]["config"]["batch_shape"][1:],
            "output": output,
            "parameters": count,
            "size": count * 4,
            "layers": len(config["layers"]),
            "preprocessing": config["preprocessing"],
            "labels": config["labels"],
        }
    return None


class ArchiveMember(io.RawIOBase):
    """One stored entry of an archive as a seekable file.

    Args:
        file: the archive, opened to read bytes. entry: `zipfile.ZipInfo`.
    """

    def __init__(self, file, entry):
        file.seek(entry.header_offset + 26)
        names = struct.unpack("<HH", file.read(4))  # lengths of name and extra field
        self._start = entry.header_offset + 30 + sum(names)
        self._file, self._size, self._at = file, entry.file_size, 0

    def readable(self):
        """Return True, as a file opened for reading does."""
        return True

    def seekable(self):
        """Return True, as a file on disk does."""
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        """Move the position, as every file does."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer):
        """Read into a buffer, as every file does."""
        count = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._start + self._at)
        got = self._file.readinto(memoryview(buffer)[:count])
        self._at += got
        return got


def _output(config):
    """Shape of the only output without its batch, or None."""
    (name, *_) = config["output_layers"]
    if not isinstance(name, str):
        (name, *_), *others = config["output_layers"]
        if others:
            return None
    (layer,) = (row for row in config["layers"] if row["name"] == name)
    read = layer["inbound_nodes"][0]["args"][0]
    read = read[0] if layer["class_name"] == "Average" else read
    shape = read["config"]["shape"]
    if layer["class_name"] == "Dense":
        shape = [*shape[:-1], layer["config"]["units"]]
    elif layer["class_name"] not in SAME:
        return None
    return shape[1:]


def _count(file):
    """Number of weights of all layers."""
    import h5py

    counts = []

    def look(name, item):
        if isinstance(item, h5py.Dataset) and STATES not in name.split("/"):
            counts.append(item.size)

    with h5py.File(file, "r") as content:
        content["layers"].visititems(look)
    return sum(counts)
