"""Mutated files: every reader answers with one of our errors, or with a model."""

import json
import shutil

import numpy as np
import pytest
from keras import ops

from keras_vit import weights
from keras_vit.errors import CheckpointError

# A reader may refuse a file, or find that it belongs to another class.
ALLOWED = (CheckpointError, ValueError, FileNotFoundError)
ROUNDS = 60


def mutated(raw, rng):
    """Bytes after a few random changes: flips, cuts, copies, insertions."""
    raw = bytearray(raw)
    for _ in range(rng.integers(1, 5)):
        kind, at = rng.integers(5), int(rng.integers(len(raw) or 1))
        if kind == 0 and raw:
            raw[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del raw[at : at + int(rng.integers(1, 64))]
        elif kind == 2:
            raw[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 16)), "uint8"))
        elif kind == 3:
            source = int(rng.integers(len(raw) or 1))
            raw[at : at + 32] = raw[source : source + 32]
        else:
            raw[at : at + 4] = b"\xff\xff\xff\x7f"
    return bytes(raw)


def interesting(raw, rng):
    """Put the changes where the structure is: the first or the last bytes."""
    size = min(len(raw), 3000)
    if rng.integers(2):
        return mutated(raw[:size], rng) + raw[size:]
    return raw[:-size] + mutated(raw[-size:], rng)


def attempt(path):
    """Load and describe a file; nothing but the allowed errors may come out."""
    for use in (weights.describe, lambda p: weights.from_checkpoint(p, verbose=0)):
        try:
            result = use(path)
        except ALLOWED as err:
            assert str(err)
        except TypeError as err:
            assert "must be a Vision Transformer" in str(err)
        else:
            assert str(result)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("format", ["google_npz", "timm", "hf"])
def test_mutated_files(format, seed, tiny, tmp_path):
    """Our own writers' files, damaged at random."""
    rng = np.random.default_rng([seed, len(format)])
    path = weights.save_checkpoint(tiny(depth=1), tmp_path / "whole", format)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for _ in range(ROUNDS // 3):
        victim = files[int(rng.integers(len(files)))]
        raw = victim.read_bytes()
        victim.write_bytes(interesting(raw, rng))
        attempt(path)
        victim.write_bytes(raw)


@pytest.mark.parametrize("seed", range(3))
def test_mutated_pickles(seed, tmp_path, shared):
    """A .pth whose program was damaged neither runs nor crashes."""
    from importlib import util

    spec = util.spec_from_file_location("readers", __file__.replace("fuzz", "readers"))
    readers = util.module_from_spec(spec)
    spec.loader.exec_module(readers)
    rng = np.random.default_rng(seed)
    source = shared / "fixtures" / "checkpoints" / "timm_vit_token.safetensors"
    found = weights.formats.open_checkpoint(source)
    tree = {"model": {name: found.array(name) for name in found}}
    path = readers.write_torch(tmp_path / "x.pth", tree)
    raw = path.read_bytes()
    for _ in range(ROUNDS // 2):
        path.write_bytes(interesting(raw, rng))
        attempt(path)


def test_mutated_shapes(tiny, tmp_path):
    """Consistent files whose arrays have been swapped, cut or transposed."""
    rng = np.random.default_rng(0)
    path = weights.save_checkpoint(tiny(depth=1), tmp_path / "whole.npz")
    with np.load(path) as found:
        whole = {name: found[name] for name in found.files}
    names = list(whole)
    for _ in range(ROUNDS):
        arrays = dict(whole)
        for _ in range(rng.integers(1, 4)):
            a, b = (names[int(k)] for k in rng.integers(len(names), size=2))
            kind = rng.integers(6)
            if kind == 0:
                arrays[a], arrays[b] = arrays.get(b), arrays.get(a)
            elif kind == 1:
                arrays.pop(a, None)
            elif kind == 2 and arrays.get(a) is not None:
                arrays[a] = arrays[a].T
            elif kind == 3 and arrays.get(a) is not None:
                arrays[a] = arrays[a][..., :1]
            elif kind == 4:
                arrays[a] = np.zeros((0, 4), "float32")
            else:
                arrays[a.replace("0", "7")] = np.zeros((3,) * int(rng.integers(5)))
        arrays = {n: v for n, v in arrays.items() if v is not None}
        np.savez(tmp_path / "x.npz", **arrays)
        attempt(tmp_path / "x.npz")


def test_mutated_presets(tmp_path, preset):
    """A keras-hub folder with damaged HDF5 or JSON."""
    rng = np.random.default_rng(0)
    for _ in range(ROUNDS // 2):
        folder = tmp_path / "copy"
        shutil.copytree(preset[0], folder)
        files = sorted(folder.iterdir())
        victim = files[int(rng.integers(len(files)))]
        victim.write_bytes(interesting(victim.read_bytes(), rng))
        attempt(folder)
        shutil.rmtree(folder)


@pytest.fixture
def preset(tiny, tmp_path):
    """A folder as keras-hub 0.32 writes it, and the model with its weights."""
    import h5py

    model = tiny(qkv_bias=True)
    folder = tmp_path / "preset"
    folder.mkdir()
    config = {"patch_size": [8, 8], "layer_norm_epsilon": 1e-6}
    backbone = {"class_name": "ViTBackbone", "config": config}
    (folder / "config.json").write_text(json.dumps(backbone))
    task = {"class_name": "ViTImageClassifier", "config": {"pooling": "token"}}
    (folder / "task.json").write_text(json.dumps(task))
    values = {w.path: ops.convert_to_numpy(w) for w in model.weights}
    with h5py.File(folder / "model.weights.h5", "w") as file:
        for name, array in backbone_arrays(values).items():
            file[name] = array
    with h5py.File(folder / "task.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = values["head/kernel"]
        file["layers/dense/vars/1"] = values["head/bias"]
        file["optimizer/vars/0"] = np.int64(3)
    return folder, model


def backbone_arrays(values):
    """Our weights under keras-hub's names."""
    at, block = "layers/vi_t_patching_and_embedding/", "layers/vi_t_encoder/"
    positions = values["patch_encoder/position/embedding"]
    patch = values["patch_encoder/projection/kernel"].reshape(8, 8, 3, 16)
    found = {
        f"{at}vars/0": values["patch_encoder/class_token"],
        f"{at}position_embedding/vars/0": positions[0],
        f"{at}patch_embedding/vars/0": patch,
        f"{at}patch_embedding/vars/1": values["patch_encoder/projection/bias"],
        f"{block}layer_norm/vars/0": values["norm/gamma"],
        f"{block}layer_norm/vars/1": values["norm/beta"],
    }
    for index, name in enumerate(("vi_t_encoder_block", "vi_t_encoder_block_1")):
        inside, ours = f"{block}encoder_layers/{name}/", f"block_{index}/"
        kernels = np.split(values[f"{ours}attention/qkv/kernel"], 3, axis=1)
        biases = np.split(values[f"{ours}attention/qkv/bias"], 3)
        for part, kernel, bias in zip(
            ("query", "key", "value"), kernels, biases, strict=True
        ):
            found[f"{inside}mha/{part}_dense/vars/0"] = kernel.reshape(16, 2, 8)
            found[f"{inside}mha/{part}_dense/vars/1"] = bias.reshape(2, 8)
        proj = values[f"{ours}attention/proj/kernel"].reshape(2, 8, 16)
        found[f"{inside}mha/output_dense/vars/0"] = proj
        found[f"{inside}mha/output_dense/vars/1"] = values[f"{ours}attention/proj/bias"]
        for number in (1, 2):
            norm, dense = f"{ours}norm{number}/", f"{ours}mlp/fc{number}/"
            found[f"{inside}layer_norm_{number}/vars/0"] = values[f"{norm}gamma"]
            found[f"{inside}layer_norm_{number}/vars/1"] = values[f"{norm}beta"]
            found[f"{inside}mlp/dense_{number}/vars/0"] = values[f"{dense}kernel"]
            found[f"{inside}mlp/dense_{number}/vars/1"] = values[f"{dense}bias"]
    return found


def test_keras_hub_preset(preset, images):
    """A preset folder gives the model whose weights it holds."""
    folder, model = preset

    loaded = weights.from_checkpoint(folder, verbose=0)

    assert loaded.loading_report.clean
    expected, got = (ops.convert_to_numpy(m(images)) for m in (model, loaded))
    assert np.array_equal(expected, got)
