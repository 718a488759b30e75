"""File formats, recognised by the first bytes, and their readers."""

import json
import pathlib

from keras_vit.errors import CheckpointError
from keras_vit.weights import archive
from keras_vit.weights.arrays import ArrayFile, listed
from keras_vit.weights.keras_hub import read_preset
from keras_vit.weights.npz import read_npz
from keras_vit.weights.safetensors import read_safetensors
from keras_vit.weights.torch_pickle import read_torch

INDEX = "model.safetensors.index.json"
TORCH_INDEX = "pytorch_model.bin.index.json"
OPEN_CLIP = "open_clip_config.json"
JSON_LIMIT = 16 * 2**20  # bytes
READABLE = "an .npz, .safetensors or .pth file, or a folder with config.json"


def open_checkpoint(path):
    """Open a file or folder of weights, without reading an array.

    Args:
        path: of a file, or of a Hugging Face, timm or keras-hub folder.

    Returns:
        `ArrayFile`.

    Raises:
        FileNotFoundError: when nothing is there.
        CheckpointError: when it is damaged, unsafe or of an unknown kind.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: must be an existing file or folder of weights. Use {READABLE}, "
            "or a name of keras_vit.list_checkpoints()."
        )
    with open(path, "rb") as file:
        head = file.read(16)
    reader = _reader(path, head)
    arrays = reader(path)
    if arrays.format == "safetensors":
        arrays.notes.update(_configs_beside(path))
    return arrays


def _reader(path, head):
    """The reader of a file that begins with these bytes."""
    if head[:2] == b"PK":
        return _zip_reader(path)
    if head[8:9] == b"{":
        return read_safetensors
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        raise CheckpointError(
            f"{path}: HDF5 weights do not tell their architecture. Build the model and "
            "call model.load_weights(path); keras-hub presets are read as a folder."
        )
    reasons = (
        (not head, "it is empty", "Download it again"),
        (
            head.lstrip()[:1] == b"<",
            "it is a web page",
            "Download it again, in a browser if the site asks for a log-in",
        ),
        (
            head.startswith(b"version https://"),
            "it is a pointer to a file in Git LFS",
            "Fetch the real one with `git lfs pull`",
        ),
        (
            head[:1] == b"\x80",
            "it is a bare pickle, as PyTorch before 1.6 wrote",
            "Save it again with a newer PyTorch, best as .safetensors",
        ),
    )
    got, remedy = next(
        ((got, remedy) for found, got, remedy in reasons if found),
        (f"its first bytes are {head[:8]!r}", "Check that it is the right file"),
    )
    raise CheckpointError(f"{path}: must be {READABLE}, but {got}. {remedy}.")


def _zip_reader(path):
    names = archive.members(path)
    if any(name.split("/")[-1] == "data.pkl" for name in names):
        return read_torch
    if "config.json" in names and "model.weights.h5" in names:
        raise CheckpointError(
            f"{path}: a .keras file is a whole model, not a file of weights. "
            "Use keras.saving.load_model(path) after import keras_vit."
        )
    return read_npz


def _configs_beside(path):
    """Configurations beside a .safetensors file."""
    beside = path.with_name(f"{path.stem}.config.json")
    if not beside.is_file() and path.name.startswith(("model", "pytorch_model")):
        beside = path.with_name("config.json")
    notes = {"config": read_json(beside)} if beside.is_file() else {}
    if isinstance(notes.get("config", {}).get("keras_vit"), dict):
        notes["keras_vit"] = notes["config"]["keras_vit"]
    preprocessor = path.with_name("preprocessor_config.json")
    if preprocessor.is_file():
        notes["preprocessor"] = read_json(preprocessor)
    return notes


def read_json(path):
    """Read a JSON object.

    Raises:
        CheckpointError: for anything else.
    """
    try:
        if path.stat().st_size > JSON_LIMIT:
            raise ValueError(f"more than {JSON_LIMIT} bytes")
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}")
    except (ValueError, RecursionError) as err:
        raise CheckpointError(
            f"{path}: must be a JSON object, got {err}. Fetch the folder again."
        ) from err
    return content


def _open_folder(folder):
    """Open a Hugging Face, timm or keras-hub folder."""
    if (folder / "config.json").is_file():
        if (folder / "model.weights.h5").is_file():
            return read_preset(folder)
        for name in (INDEX, TORCH_INDEX):
            if (folder / name).is_file():
                return _open_shards(folder, name)
        for name in ("model.safetensors", "pytorch_model.bin"):
            if (folder / name).is_file():
                arrays = open_checkpoint(folder / name)
                arrays.notes.update(_configs_beside(folder / name))
                return arrays
    if (folder / OPEN_CLIP).is_file():
        raise CheckpointError(
            f"{folder}: must hold a plain Vision Transformer, got open_clip's folder "
            "(CLIP, SigLIP or their like), which is not read. Run it with open_clip."
        )
    raise CheckpointError(
        f"{folder}: a folder must hold config.json and model.safetensors, its shards, "
        f"or a keras-hub preset, got {listed(p.name for p in folder.iterdir())}. "
        "Fetch the missing files."
    )


def shards(where):
    """File name -> names of its arrays, from a checked index.

    Args:
        where: path of the index.

    Raises:
        CheckpointError: for no index, or files that are not beside it.
    """
    table = read_json(where).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise CheckpointError(
            f"{where}: must have a weight_map of name to file. Fetch the folder again."
        )
    names_of = {}
    for name, shard in sorted(table.items()):
        names_of.setdefault(str(shard), set()).add(name)
    suffix = pathlib.Path(where).name.split(".")[1]
    for shard in names_of:
        if pathlib.PurePath(shard).name != shard or not shard.endswith(f".{suffix}"):
            raise CheckpointError(
                f"{where}: shards must be .{suffix} files in the same folder, got "
                f"{shard[:80]!r}. Do not use this folder."
            )
    return names_of


def _open_shards(folder, index):
    """Open several files by their index."""
    where, entries = folder / index, {}
    table = shards(where)
    for shard, names in table.items():
        if not (folder / shard).is_file():
            raise CheckpointError(
                f"{where}: names {shard!r}, which is not there. Fetch the missing file."
            )
        arrays = open_checkpoint(folder / shard)
        entries |= {name: e for name, e in arrays.items() if name in names}
    missing = set().union(*table.values()) - entries.keys()
    if missing:
        raise CheckpointError(
            f"{where}: every array must be in its shard, got nothing for "
            f"{listed(missing)}. Fetch the folder again."
        )
    notes = _configs_beside(folder / "model.safetensors")
    kind = "safetensors" if index == INDEX else "pth"
    return ArrayFile(folder, kind, entries, notes)
