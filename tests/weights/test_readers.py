"""Readers of files: what they give, and what they refuse."""

import collections
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from keras_vit import weights
from keras_vit.errors import CheckpointError
from keras_vit.weights.formats import open_checkpoint
from keras_vit.weights.safetensors import write_safetensors


def rng():
    """The same numbers in every test."""
    return np.random.default_rng(0)


def write_torch(path, tree, order=b"little"):
    """What torch.save writes, without torch: a pickle beside blocks of numbers."""
    blocks = {}
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch._utils = utils

    def rebuild(*arguments):
        """Stands for torch._utils._rebuild_tensor_v2."""

    class FloatStorage:
        """Stands for torch.FloatStorage."""

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__name__ = "_rebuild_tensor_v2"
    FloatStorage.__module__, FloatStorage.__qualname__ = "torch", "FloatStorage"
    utils._rebuild_tensor_v2, torch.FloatStorage = rebuild, FloatStorage

    class Block:
        def __init__(self, values):
            self.values = values

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, Block):
                return None
            key = str(len(blocks))
            blocks[key] = item.values
            return ("storage", FloatStorage, key, "cpu", item.values.size)

        def reducer_override(self, item):
            if not isinstance(item, np.ndarray):
                return NotImplemented
            strides = tuple(step // item.itemsize for step in item.strides)
            base = item if item.base is None else item.base
            block = Block(np.ascontiguousarray(base).reshape(-1))
            hooks = collections.OrderedDict()
            return rebuild, (block, 0, item.shape, strides, False, hooks)

    program = io.BytesIO()
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        Pickler(program, protocol=2).dump(tree)
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program.getvalue())
        archive.writestr("archive/byteorder", order)
        for key, values in blocks.items():
            archive.writestr(f"archive/data/{key}", values.astype("<f4").tobytes())
    return path


def test_npz_gives_what_numpy_gives(tmp_path):
    """Every float type comes as float32, in either memory order, compressed or not."""
    source = {
        "a": rng().normal(size=(2, 3)).astype("float32"),
        "b": np.asfortranarray(rng().normal(size=(4, 5))),
        "c": rng().normal(size=7).astype("float16"),
        "d": np.float32(3.5),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **source)
        found = open_checkpoint(tmp_path / "x.npz")

        for name, expected in source.items():
            assert np.array_equal(np.float32(expected), found.array(name))
            assert np.float32 == found.array(name).dtype
            assert np.shape(expected) == found[name].shape


def test_bfloat16_in_npz_and_safetensors(tmp_path):
    """bfloat16 arrays, which numpy calls |V2, become float32 exactly."""
    bits = np.array([0x3F80, 0xC000, 0x0001], "<u2")
    expected = (bits.astype("<u4") << 16).view("<f4")
    np.savez(tmp_path / "x.npz", a=bits.view("V2"))
    header = {"a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + bits.tobytes()
    )

    for name in ("x.npz", "x.safetensors"):
        assert np.array_equal(expected, open_checkpoint(tmp_path / name).array("a"))


@pytest.mark.parametrize("wrap", [None, "model", "state_dict"])
def test_torch_file(tmp_path, wrap):
    """Tensors come out of a .pth, transposed views and other objects included."""
    import argparse

    matrix = rng().normal(size=(3, 4)).astype("float32")
    weights_ = collections.OrderedDict(a=matrix, b=matrix.T)
    weights_._metadata = {"version": 1}
    tree = weights_
    if wrap:
        tree = {"epoch": 3, "args": argparse.Namespace(lr=0.1), wrap: weights_}
    found = open_checkpoint(write_torch(tmp_path / "x.pth", tree))

    assert {"a", "b"} == set(found)
    assert np.array_equal(matrix, found.array("a"))
    assert np.array_equal(matrix.T, found.array("b"))
    assert (wrap or "") == found.notes["wrap"]


class Runs:
    """Would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_never_run(tmp_path):
    """A .pth that calls a function is refused by name, and nothing happens."""
    target = tmp_path / "made"
    write_torch(tmp_path / "x.pth", {"model": Runs(target)})

    with pytest.raises(CheckpointError, match=r"a call of .*mkdir.*Nothing of it"):
        open_checkpoint(tmp_path / "x.pth")
    assert not target.exists()


def test_old_torch_file_names_the_way_out(tmp_path):
    """The bare pickles of PyTorch before 1.6 are not read."""
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": 1}, protocol=2))

    with pytest.raises(CheckpointError, match="Save it again with a newer PyTorch"):
        open_checkpoint(tmp_path / "x.pth")


def torch_with(tmp_path, tensor):
    """A .pth whose one tensor makes this claim: (count, offset, shape, strides)."""
    count, offset, shape, strides = tensor
    lines = b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(("
    lines += b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    lines += b"X\x03\x00\x00\x00cpu" + number(count) + b"tQ" + number(offset)
    for sides in (shape, strides):
        lines += b"(" + b"".join(map(number, sides)) + b"t"
    lines += b"\x89}tRs."
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("a/data.pkl", lines)
        archive.writestr("a/data/0", bytes(16))
    return tmp_path / "x.pth"


def number(value):
    """A whole number as a pickle writes it."""
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + raw


@pytest.mark.parametrize(
    "tensor",
    [
        (4, 2, (4,), (1,)),
        (4, 0, (10**12,), (0,)),
        (4, 0, (2, 2), (4, 1)),
        (4, -1, (2,), (1,)),
        (10**12, 0, (10**12,), (1,)),
        (4, 0, (0, 10**30), (1, 1)),
    ],
)
def test_tensors_outside_their_numbers(tmp_path, tensor):
    """A tensor must lie within its block, and the block within the file."""
    with pytest.raises(CheckpointError, match="x.pth"):
        open_checkpoint(torch_with(tmp_path, tensor))


def test_hand_made_tensor_is_read(tmp_path):
    """The helper above makes a valid file when the claim is true."""
    found = open_checkpoint(torch_with(tmp_path, (4, 0, (2, 2), (2, 1))))

    assert np.array_equal(np.zeros((2, 2)), found.array("a"))


def test_shards(tmp_path):
    """A sharded folder is the sum of its files."""
    write_safetensors(tmp_path / "1.safetensors", {"a": np.ones(2)}, {})
    write_safetensors(tmp_path / "2.safetensors", {"b": np.zeros(3)}, {})
    table = {"a": "1.safetensors", "b": "2.safetensors"}
    write_folder(tmp_path, table)

    found = open_checkpoint(tmp_path)

    assert {"a": (2,), "b": (3,)} == {name: found[name].shape for name in found}


def write_folder(folder, table):
    """A folder whose index says this."""
    (folder / "config.json").write_text("{}")
    index = json.dumps({"weight_map": table})
    (folder / "model.safetensors.index.json").write_text(index)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"a": "../../x.safetensors"}, "in the same folder, got '../../x.safetensors'"),
        ({"a": "/etc/passwd"}, "in the same folder"),
        ({"a": "C:\\x.safetensors"}, "Fetch the missing file"),
        ({"a": "3.safetensors"}, "Fetch the missing file"),
        ({"a": "1.safetensors", "z": "1.safetensors"}, "got nothing for 'z'"),
        ({}, "must have a weight_map"),
        ([], "must have a weight_map"),
    ],
)
def test_bad_index(tmp_path, table, match):
    """An index can neither reach outside its folder nor promise what is not there."""
    write_safetensors(tmp_path / "1.safetensors", {"a": np.ones(2)}, {})
    write_folder(tmp_path, table)

    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(tmp_path)


def safetensors(header, data=b"", length=None):
    """Bytes of a file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, begin, end, dtype="F32"):
    """A claim of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "call model.load_weights"),
        (b"nonsense that is nothing", "first bytes are"),
        (safetensors({}, length=2**42), "claim of 4398046511104 bytes"),
        (safetensors(b"{not json"), "must be JSON"),
        (safetensors(b"{" + b'"a":[' * 50_000), "must be JSON"),
        (safetensors({"a": entry([10**12], 0, 4 * 10**12)}), "within the 0 bytes"),
        (safetensors({"a": entry([4], 0, 8)}, bytes(8)), "as many bytes as its shape"),
        (safetensors({"a": entry([-2], 0, 8)}, bytes(8)), "within the 8 bytes"),
        (safetensors({"a": entry([True], 0, 4)}, bytes(4)), "within the 4 bytes"),
        (safetensors({"a": entry([0, 10**30], 0, 0)}), "sensible shape"),
        (
            safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
            "side by side",
        ),
        (safetensors({"a": entry([1], 0, 4)}, bytes(12)), "must fill 12 bytes"),
        (safetensors({"a": 3}), "dtype, shape and data_offsets"),
        (safetensors(b'{"a": 1, "a": 2}'), "occurs twice"),
    ],
)
def test_bad_files(tmp_path, raw, match):
    """Each kind of damage has one clear error, before anything is allocated."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)

    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(path)


def npz_with(path, **members):
    """An archive of these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(f"{name}.npy", raw)
    return path


def npy(descr="<f4", shape="(2,)", data=bytes(8)):
    """Bytes of an array whose header says what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (npy("'|O'"), "never unpickled"),
        (npy("'<f4'", "(4,)"), "must take"),
        (npy("'<f4'", "(1000000000000,)"), "must take"),
        (npy("'<f4'", f"(0, {10**30})"), "sensible shape"),
        (npy("'<f4'", "(-1,)"), "no plain shape"),
        (npy("[('a', '<f4')]"), "no plain shape"),
        (npy("'<f4'", "((" * 500), "no plain shape"),
        (b"<html>", "not the mark"),
        (b"", "not the mark"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of"),
    ],
)
def test_bad_npy(tmp_path, raw, match):
    """A header must be a plain shape that fits its member."""
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(npz_with(tmp_path / "x.npz", a=raw))


def test_zip_bomb(tmp_path):
    """An archive that unpacks to far more than it weighs is not opened."""
    huge = npy("'<f4'", "(33554432,)", bytes(2**27))
    path = npz_with(tmp_path / "x.npz", a=huge)
    assert 2**20 > path.stat().st_size

    with pytest.raises(CheckpointError, match="at most 20 times its size"):
        open_checkpoint(path)


def test_same_name_twice(tmp_path):
    """Two members of one name are one too many."""
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(tmp_path / "x.npz", "w") as archive,
    ):
        archive.writestr("a.npy", npy())
        archive.writestr("a.npy", npy())

    with pytest.raises(CheckpointError, match="its own name"):
        open_checkpoint(tmp_path / "x.npz")


def test_keras_file_and_missing_file(tmp_path, tiny):
    """Whole models, and files that are not there, are told apart."""
    tiny().save(tmp_path / "x.keras")

    with pytest.raises(CheckpointError, match=r"Use keras.saving.load_model"):
        open_checkpoint(tmp_path / "x.keras")
    with pytest.raises(FileNotFoundError, match="must be an existing file"):
        weights.from_checkpoint(tmp_path / "none.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="a folder must hold config.json"):
        open_checkpoint(tmp_path / "empty")
