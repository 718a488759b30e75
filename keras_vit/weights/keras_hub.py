"""Presets of keras-hub's ViT: config.json and model.weights.h5.

Layout read off keras-hub 0.32: Keras' own HDF5 layout of layer attributes, the
head in a separate task.weights.h5.
"""

import json
import re

import numpy as np

from keras_vit.errors import CheckpointError
from keras_vit.weights.arrays import ArrayFile, Entry
from keras_vit.weights.checkpoint_facts import Facts, Family, blocks, position
from keras_vit.weights.mapping import Rule, numbered, pair, single

ENCODER = "layers/vi_t_encoder/"
EMBEDDING = "layers/vi_t_patching_and_embedding/"
POSITION = f"{EMBEDDING}position_embedding/vars/0"
BLOCK = r"layers/vi_t_encoder/encoder_layers/vi_t_encoder_block_(\d+)/"
HEADS_IN = (("/vars/0", "/kernel", "heads_in"), ("/vars/1", "/bias", "heads_bias"))
HEADS_OUT = (("/vars/0", "/kernel", "heads_out"), ("/vars/1", "/bias", "same"))
DENSE = (("/vars/0", "/kernel", "same"), ("/vars/1", "/bias", "same"))
NORM = (("/vars/0", "/gamma", "same"), ("/vars/1", "/beta", "same"))


def read_preset(folder):
    """Open a preset folder.

    Args:
        folder: `pathlib.Path` with config.json and model.weights.h5.

    Returns:
        `ArrayFile` with the notes "backbone" and "task".

    Raises:
        CheckpointError: when a file is damaged or the preset is no ViT.
    """
    notes = {"backbone": _config(folder / "config.json")}
    entries = read_h5(folder / "model.weights.h5")
    task = folder / "task.weights.h5"
    if task.is_file() and (folder / "task.json").is_file():
        notes["task"] = _config(folder / "task.json")
        found = {f"task/{n}": e for n, e in read_h5(task).items()}
        entries |= {
            n: e for n, e in found.items() if not n.startswith("task/optimizer")
        }
    return ArrayFile(folder, "keras_hub", entries, notes)


def _config(path):
    try:
        config = json.loads(path.read_text("utf-8"))
        return {**config["config"], "class_name": config["class_name"]}
    except (ValueError, RecursionError, KeyError, TypeError) as err:
        raise CheckpointError(
            f"{path}: must be the configuration of a keras-hub preset, got damage "
            f"({err!r}). Save the preset again."
        ) from err


def read_h5(path):
    """Datasets of a Keras weights file: name -> `Entry`.

    Raises:
        CheckpointError: when it is no HDF5 file, or a dataset claims more than
            the file holds.
    """
    import h5py

    entries, size = {}, path.stat().st_size

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            if item.nbytes > 20 * size or item.external or item.is_virtual:
                raise CheckpointError(
                    f"{path}: datasets must lie in the file, got {name!r} of "
                    f"{item.nbytes} bytes in {size}. Save the weights again."
                )
            entries[name] = Entry(item.shape, str(item.dtype), _dataset(path, name))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except CheckpointError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as err:
        raise CheckpointError(
            f"{path}: must be a complete HDF5 file, got damage ({err}). Save it again."
        ) from err
    return entries


def _dataset(path, name):
    def load():
        import h5py

        try:
            with h5py.File(path, "r") as file:
                return np.asarray(file[name], dtype="float32")
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as err:
            raise CheckpointError(
                f"{path}: {name!r} must be readable, got damage ({err}). Save it again."
            ) from err

    return load


def recognises(arrays):
    """Whether names are those of keras-hub's ViTBackbone."""
    return f"{EMBEDDING}patch_embedding/vars/0" in arrays


def normalise(arrays):
    """Number the first block too; give the positions a leading axis."""
    first = re.compile(r"vi_t_encoder_block/")
    arrays = arrays.renamed(lambda name: first.sub("vi_t_encoder_block_0/", name))
    arrays.shape(POSITION, 2)
    table = arrays[POSITION]
    arrays.entries[POSITION] = table._replace(
        shape=(1, *table.shape), read=lambda: table.read()[None]
    )
    return arrays


def read(arrays, request):
    """`Facts` of a preset."""
    backbone = arrays.notes.get("backbone", {})
    task = arrays.notes.get("task", {})
    rows, columns, channels, width = arrays.shape(
        f"{EMBEDDING}patch_embedding/vars/0", 4
    )
    at = f"{ENCODER}encoder_layers/vi_t_encoder_block_0/"
    class_token = f"{EMBEDDING}vars/0" in arrays
    pooling = task.get("pooling", "token" if class_token else "gap")
    epsilon = backbone.get("layer_norm_epsilon", 1e-6)
    # Its mean pooling counts the class token, ours does not.
    known = ("token",) if class_token else ("gap",)
    if pooling not in known or not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise CheckpointError(
            f"{arrays.where}: pooling must be one of {known}, epsilon in 0..1, got "
            f"pooling={pooling!r}, epsilon={epsilon!r}. Use another preset."
        )
    options = {
        "patch_size": (rows, columns),
        "channels": channels,
        "width": width,
        "depth": blocks(arrays, BLOCK),
        "heads": arrays.shape(f"{at}mha/query_dense/vars/0", 3)[1],
        "mlp_dim": arrays.shape(f"{at}mlp/dense_1/vars/0", 2)[1],
        "class_token": class_token,
        "position": "learned",
        "patch_bias": f"{EMBEDDING}patch_embedding/vars/1" in arrays,
        "qkv_bias": f"{at}mha/query_dense/vars/1" in arrays,
        "activation": "gelu",
        "epsilon": epsilon,
        "pooling": pooling,
        **_top(arrays),
    }
    patch = options["patch_size"]
    found, grid = position(
        arrays, POSITION, int(class_token), patch, request, always=True
    )
    return Facts({**options, **found}, grid, "bicubic")


def _top(arrays):
    """Rules of the head, called dense, or dense_1 behind a hidden layer."""
    names = [name for name in arrays if name.startswith("task/layers/dense")]
    options = {"include_top": bool(names)}
    if "task/layers/dense_1/vars/0" in arrays:
        hidden = arrays.shape("task/layers/dense/vars/0", 2)[1]
        classes = arrays.shape("task/layers/dense_1/vars/0", 2)[1]
        return {**options, "representation_size": hidden, "classes": classes}
    if names:
        options["classes"] = arrays.shape("task/layers/dense/vars/0", 2)[1]
    return options


def rules(options):
    """Rules of the names, for one architecture."""
    hidden = options.get("representation_size") is not None
    head = "task/layers/dense_1" if hidden else "task/layers/dense"
    dense = [single(head, "head")]
    dense += [single("task/layers/dense", "pre_logits")] if hidden else []
    at = EMBEDDING
    return [
        Rule((f"{at}vars/0",), ("patch_encoder/class_token",)),
        Rule((POSITION,), ("patch_encoder/position/embedding",)),
        Rule(
            (f"{at}patch_embedding/vars/0",),
            ("patch_encoder/projection/kernel",),
            "patch_hwio",
        ),
        Rule((f"{at}patch_embedding/vars/1",), ("patch_encoder/projection/bias",)),
        *numbered(_block(), i=range(options["depth"])),
        *pair([single(f"{ENCODER}layer_norm", "norm")], NORM),
        *pair(dense, DENSE),
    ]


def _block():
    """Rules of one block, under the names of block {i}."""
    at = f"{ENCODER}encoder_layers/vi_t_encoder_block_{{i}}/"
    ours = "block_{i}/"
    fused = Rule(
        tuple(f"{at}mha/{part}_dense" for part in ("query", "key", "value")),
        (f"{ours}attention/qkv",),
    )
    norms = [single(f"{at}layer_norm_{n}", f"{ours}norm{n}") for n in (1, 2)]
    dense = [single(f"{at}mlp/dense_{n}", f"{ours}mlp/fc{n}") for n in (1, 2)]
    return [
        *pair(norms, NORM),
        *pair([fused], HEADS_IN),
        *pair([single(f"{at}mha/output_dense", f"{ours}attention/proj")], HEADS_OUT),
        *pair(dense, DENSE),
    ]


FAMILY = Family("keras_hub", recognises, normalise, read, rules)
