"""Repositories of the Hugging Face hub, from a server on this machine."""

import functools
import http.server
import json
import threading

import pytest
from keras import ops

import keras_vit
from keras_vit.errors import CheckpointError
from keras_vit.weights import hub
from keras_vit.weights.safetensors import read_safetensors, write_safetensors


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The folder that hf://owner/name is served from; the cache is empty."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            """Silence."""

    handler = functools.partial(Quiet, directory=tmp_path / "served")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "served" / "owner" / "name" / "resolve" / "main"
    folder.mkdir(parents=True)
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """A model, and the folder in Hugging Face's format made of it."""
    model = tiny(classes=3, labels=["cat", "dog", "hen"])
    folder = tmp_path_factory.mktemp("hf") / "saved"
    keras_vit.save_checkpoint(model, folder, format="hf")
    return model, folder


def served(saved, repository):
    """Copy the saved folder into the server's; its model."""
    for file in saved[1].iterdir():
        (repository / file.name).write_bytes(file.read_bytes())
    return saved[0]


def same(one, other):
    """Whether two models have the same weights."""
    pairs = zip(one.weights, other.weights, strict=True)
    return all(bool(ops.all(a.value == b.value)) for a, b in pairs)


def test_a_repository_is_loaded_and_kept(saved, repository):
    """One call downloads and builds; the next one needs no server."""
    model = served(saved, repository)
    loaded = keras_vit.from_checkpoint("hf://owner/name", verbose=0)

    assert same(model, loaded)
    assert model.labels == loaded.labels
    for file in repository.iterdir():
        file.unlink()
    assert same(model, keras_vit.from_checkpoint("hf://owner/name", verbose=0))


def test_shards(saved, repository):
    """An index is followed, to plain names only."""
    model = served(saved, repository)
    whole = read_safetensors(repository / "model.safetensors")
    table = {n: f"part-{k % 2}.safetensors" for k, n in enumerate(whole)}
    for part in set(table.values()):
        arrays = {n: whole.array(n) for n in whole if table[n] == part}
        write_safetensors(repository / part, arrays, {})
    (repository / "model.safetensors").unlink()
    index = repository / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))

    assert same(model, keras_vit.from_checkpoint("hf://owner/name", verbose=0))
    index.write_text(json.dumps({"weight_map": {"a": "../../x.safetensors"}}))
    for file in hub.fetch_repository("hf://owner/name").glob("*.json"):
        file.unlink()
    with pytest.raises(CheckpointError, match="same folder, got '../../x.safe"):
        keras_vit.from_checkpoint("hf://owner/name", verbose=0)


def test_a_repository_without_weights(saved, repository):
    """The error says what was looked for, and where."""
    served(saved, repository)
    (repository / "model.safetensors").unlink()

    with pytest.raises(CheckpointError, match="model.safetensors, .*127.0.0.1.*owner"):
        keras_vit.from_checkpoint("hf://owner/name", verbose=0)
    with pytest.raises(CheckpointError, match="config.json: could not be downloaded"):
        keras_vit.from_checkpoint("hf://owner/nobody", verbose=0)


def test_without_a_network_nothing_is_taken_for_missing(repository, monkeypatch):
    """A server that cannot be reached is not one that has no file."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(CheckpointError, match="could not be downloaded") as caught:
        keras_vit.from_checkpoint("hf://owner/name", verbose=0)
    assert not isinstance(caught.value, hub.NotOnServer)


@pytest.mark.parametrize("address", ["hf://name", "hf://a/../b", "hf://a/..", "hf://"])
def test_an_address_of_another_form(address):
    """The form is named, with an example."""
    with pytest.raises(ValueError, match="hf://OWNER/NAME.*hf://google/"):
        keras_vit.from_checkpoint(address)
