"""Models above 2 GiB, played with small ones: two files, or a refusal in time."""

import keras
import numpy as np
import onnx
import pytest

from keras_vit import export, files
from keras_vit.export.formats.onnx import serialization
from keras_vit.export.io.io_spec import data_file
from keras_vit.export.runtime.runtimes import open_file


@pytest.fixture
def small_limit(monkeypatch):
    """As if protocol buffers ended at 20 kB."""
    monkeypatch.setattr(serialization, "LIMIT", 20_000)


def names(folder):
    """What lies in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def test_large_onnx_files_come_in_pairs(small_limit, model, photos, tmp_path):
    """Arrays lie beside, at the start of pages; both are counted and named."""
    made = export.to_onnx(model, tmp_path / "m.onnx", verbose=0)

    assert ["m.onnx", "m.onnx.data"] == names(tmp_path)
    assert (tmp_path / "m.onnx.data",) == made.beside
    assert [str(made.beside[0])] == made.to_dict()["beside"]
    assert made.size_bytes == sum(p.stat().st_size for p in tmp_path.iterdir())
    assert made.size_bytes > 4 * model.count_params()
    graph = onnx.load(made.path, load_external_data=False).graph
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in graph.initializer
        if tensor.external_data
    ]
    assert places and all(int(place["offset"]) % 4096 == 0 for place in places)
    assert {"m.onnx.data"} == {place["location"] for place in places}
    expected = model.predict(photos, verbose=0)
    np.testing.assert_allclose(open_file(made)(photos)[0], expected, atol=1e-5)


def test_the_pair_is_replaced_together(model, tmp_path, monkeypatch):
    """A small file takes the data of the large one away; failure keeps both."""
    with monkeypatch.context() as patch:
        patch.setattr(serialization, "LIMIT", 20_000)
        export.to_onnx(model, tmp_path / "m.onnx", verbose=0)
        old = data_file(tmp_path / "m.onnx").read_bytes()
        export.to_onnx(model, tmp_path / "m.onnx", overwrite=True, verbose=0)
        assert old == data_file(tmp_path / "m.onnx").read_bytes()

    export.to_onnx(model, tmp_path / "m.onnx", overwrite=True, verbose=0)

    assert ["m.onnx"] == names(tmp_path)


def test_data_of_another_file_is_not_overwritten(model, tmp_path):
    """A file of that name stops the export before it starts."""
    (tmp_path / "m.onnx.data").write_bytes(b"mine")

    with pytest.raises(FileExistsError, match="m.onnx.data.*overwrite=True"):
        export.to_onnx(model, tmp_path / "m.onnx", verbose=0)
    assert b"mine" == (tmp_path / "m.onnx.data").read_bytes()


def test_recipes_bring_large_models_into_one_file(
    small_limit, model, photos, tmp_path, monkeypatch
):
    """The float32 pair is only an intermediate step."""
    made = export.to_onnx(
        model, tmp_path / "m.onnx", "static_int8", calibration=photos, verbose=0
    )
    monkeypatch.setattr(serialization, "LIMIT", 5_000)
    pair = export.to_onnx(model, tmp_path / "n.onnx", "dynamic_int8", verbose=0)

    assert () == made.beside and made.signal_to_noise_db > 25
    assert 1 == len(pair.beside) and pair.signal_to_noise_db > 25
    assert ["m.onnx", "n.onnx", "n.onnx.data"] == names(tmp_path)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupted_exchange_leaves_what_was(overwrite, tmp_path, monkeypatch):
    """Ctrl-C between two renames: neither a new file alone nor a lost old one."""
    target, beside = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    if overwrite:
        target.write_bytes(b"old")
        beside.write_bytes(b"old data")
    rename, before = files.os.rename, names(tmp_path)

    def fail(source, place):
        if files.pathlib.Path(place) == target:
            raise KeyboardInterrupt
        rename(source, place)

    with pytest.raises(KeyboardInterrupt):
        with files.replacing(target, overwrite, beside=("m.onnx.data",)) as temporary:
            temporary.write_bytes(b"new")
            temporary.with_name("m.onnx.data").write_bytes(b"new data")
            monkeypatch.setattr(files.os, "rename", fail)

    monkeypatch.undo()
    assert before == names(tmp_path)
    if overwrite:
        assert (b"old", b"old data") == (target.read_bytes(), beside.read_bytes())


def test_too_little_memory_is_seen_before_the_slow_step(model, tmp_path, monkeypatch):
    """The error names what is needed, what is free, and the way out."""
    monkeypatch.setattr(files, "free_memory", lambda: 3 * 2**10)
    monkeypatch.setattr(type(model), "count_params", lambda self: 400_000_000)

    for write, name in ((export.to_onnx, "m.onnx"), (export.to_tflite, "m.tflite")):
        with pytest.raises(MemoryError, match=r"about \d.* GiB .*0.0 GiB are.*Close"):
            write(model, tmp_path / name, verbose=0)
    with pytest.raises(MemoryError, match="smaller variant"):
        export.to_savedmodel(model, tmp_path / "saved", verbose=0)
    assert [] == names(tmp_path)


def test_memory_that_nobody_tells_is_not_asked_for(monkeypatch):
    """Systems without /proc/meminfo are trusted; here the figure is plausible."""
    assert files.free_memory() is None or files.free_memory() > 2**20
    monkeypatch.setattr(files, "free_memory", lambda: None)

    files.check_memory("m.onnx", 2**60)


def test_models_above_two_gib_are_refused_by_tflite(model, tmp_path, monkeypatch):
    """The error says so before any work, and names the formats that can."""
    monkeypatch.setattr(type(model), "count_params", lambda self: 700_000_000)

    with pytest.raises(ValueError, match="2 GiB, got .* 2.6 GiB.*to_onnx"):
        export.to_tflite(model, tmp_path / "m.tflite")


def test_models_of_other_packages_above_two_gib_are_refused(tmp_path, monkeypatch):
    """tf2onnx cannot write two files; the layer that needs it is named."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(1, name="theirs")(image)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    monkeypatch.setattr(type(model), "count_params", lambda self: 700_000_000)

    with pytest.raises(ValueError, match="theirs.*2 GiB, got .*to_savedmodel"):
        export.to_onnx(model, tmp_path / "m.onnx")
