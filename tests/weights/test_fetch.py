"""Downloads from a server on this machine: whole, interrupted, shared, changed."""

import hashlib
import http.server
import json
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from keras_vit import weights
from keras_vit.errors import CheckpointError
from keras_vit.weights import catalog, fetch
from keras_vit.weights.checkpoint_row import Checkpoint

CONTENT = np.random.default_rng(0).bytes(3 * 2**20 + 17)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content` with ranges; `cut` bytes are sent before it hangs up."""

    content = CONTENT
    cut = None
    ranges = True
    requests = []  # noqa: RUF012
    protocol_version = "HTTP/1.0"

    def do_GET(self):  # noqa: N802
        """One file under every path but /none."""
        cls = type(self)
        asked = self.headers.get("Range")
        tag = hashlib.md5(cls.content).hexdigest()
        cls.requests.append(asked)
        if self.path == "/none":
            self.send_error(404)
            return
        begin = 0
        fits = self.headers.get("If-Range") == tag
        if asked and cls.ranges and fits:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(cls.content):
                self.send_error(416)
                return
        self.send_response(206 if begin else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(cls.content) - begin))
        self.end_headers()
        rest = cls.content[begin:]
        self.wfile.write(rest if cls.cut is None else rest[: cls.cut])

    def log_message(self, *arguments):
        """Silence."""


@pytest.fixture
def server():
    """(address, handler class) of a server on a free port."""

    class Fresh(Server):
        requests = []  # noqa: RUF012

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fresh)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}", Fresh
    found.shutdown()
    found.server_close()
    thread.join()


def test_download_once(server, tmp_path):
    """The second use reads the disk; the hash stands beside the file."""
    address, handler = server

    for _ in range(2):
        path = fetch.download(f"{address}/x", tmp_path / "a" / "x.npz", verbose=0)
        assert CONTENT == path.read_bytes()

    note = json.loads((tmp_path / "a" / "x.npz.sha256.json").read_text())
    assert hashlib.sha256(CONTENT).hexdigest() == note["sha256"]
    assert [None] == handler.requests
    assert not list(tmp_path.rglob("*.part*"))


def test_interrupted_download_goes_on(server, tmp_path):
    """What arrived is kept under another name, and only the rest is asked for."""
    address, handler = server
    handler.cut = 2**20

    with pytest.raises(CheckpointError, match="ended after 1048576 of 3145745 bytes"):
        fetch.download(f"{address}/x", tmp_path / "x.npz", verbose=0)
    assert not (tmp_path / "x.npz").exists()
    handler.cut = None
    path = fetch.download(f"{address}/x", tmp_path / "x.npz", verbose=0)

    assert CONTENT == path.read_bytes()
    assert [None, "bytes=1048576-"] == handler.requests


@pytest.mark.parametrize("change", ["content", "ranges"])
def test_halves_of_two_versions_are_not_joined(change, server, tmp_path):
    """A file that changed, or a server without ranges, begins from the start."""
    address, handler = server
    handler.cut = 2**20
    with pytest.raises(CheckpointError):
        fetch.download(f"{address}/x", tmp_path / "x.npz", verbose=0)
    handler.cut = None
    if change == "content":
        handler.content = CONTENT[::-1]
    else:
        handler.ranges = False

    path = fetch.download(f"{address}/x", tmp_path / "x.npz", verbose=0)

    assert handler.content == path.read_bytes()


def test_complete_part_is_fetched_again(server, tmp_path):
    """A part with nothing left to send does not stand in the way."""
    address, _ = server
    (tmp_path / "x.npz.part").write_bytes(CONTENT)
    tag = hashlib.md5(CONTENT).hexdigest()
    (tmp_path / "x.npz.part.etag").write_text(tag)

    path = fetch.download(f"{address}/x", tmp_path / "x.npz", verbose=0)

    assert CONTENT == path.read_bytes()


def test_changed_file_is_noticed(server, tmp_path):
    """A file that is no longer what was downloaded is refused."""
    address, _ = server
    path = fetch.download(f"{address}/x", tmp_path / "x.npz", verbose=0)
    path.write_bytes(CONTENT[:-1] + b"x")

    with pytest.raises(CheckpointError, match="has changed since it was downloaded"):
        fetch.download(f"{address}/x", path, verbose=0)
    (tmp_path / "x.npz.sha256.json").write_text("{}")
    with pytest.raises(CheckpointError, match="Delete it to trust the file as it is"):
        fetch.download(f"{address}/x", path, verbose=0)


def test_published_digits_are_compared(server, tmp_path):
    """Where a name carries the hash, a wrong file does not stay."""
    address, _ = server
    digest = hashlib.sha256(CONTENT).hexdigest()

    fetch.download(f"{address}/x", tmp_path / "a", starts=digest[:8], verbose=0)
    with pytest.raises(CheckpointError, match="begins with 00000000, got"):
        fetch.download(f"{address}/x", tmp_path / "b", starts="00000000", verbose=0)
    assert not (tmp_path / "b").exists() and not (tmp_path / "b.part").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.npz", "{address}/none"])
def test_without_a_network(url, server, tmp_path):
    """The error names the file, the address, and where to put it by hand."""
    url, path = url.format(address=server[0]), tmp_path / "x.npz"

    with pytest.raises(CheckpointError, match="could not be downloaded") as caught:
        fetch.download(url, path, verbose=0)
    assert url in str(caught.value) and f"put it at {path}" in str(caught.value)


def test_file_put_by_hand_is_taken(tmp_path):
    """No network is needed for a file that lies in its place."""
    (tmp_path / "x.npz").write_bytes(b"by hand")

    path = fetch.download("http://127.0.0.1:9/x.npz", tmp_path / "x.npz", verbose=0)

    assert b"by hand" == path.read_bytes()
    assert (tmp_path / "x.npz.sha256.json").is_file()


def test_two_at_a_time_download_once(server, tmp_path):
    """Two downloads of one file at the same time fetch it once."""
    address, handler = server
    arguments = (f"{address}/x", tmp_path / "x.npz", None, 0)
    threads = [threading.Thread(target=fetch.download, args=arguments) for _ in "ab"]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert CONTENT == (tmp_path / "x.npz").read_bytes()
    assert [None] == handler.requests


@pytest.mark.slow
def test_two_processes_download_once(server, tmp_path):
    """The second waits for the first and uses its file."""
    address, handler = server
    code = "import sys; from keras_vit.weights import fetch; "
    code += "fetch.download(sys.argv[1], sys.argv[2], verbose=0)"
    command = [sys.executable, "-c", code, f"{address}/x", str(tmp_path / "x.npz")]
    root = pathlib.Path(__file__).resolve().parents[2]

    processes = [subprocess.Popen(command, cwd=root) for _ in range(2)]

    assert [0, 0] == [process.wait(timeout=120) for process in processes]
    assert CONTENT == (tmp_path / "x.npz").read_bytes()
    assert [None] == handler.requests


def test_ctrl_c_leaves_no_half_file(server, tmp_path, monkeypatch):
    """An interrupt passes through; the final name never exists by halves."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch.Bar, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch.download(f"{server[0]}/x", tmp_path / "x.npz", verbose=0)
    assert not (tmp_path / "x.npz").exists()


def test_a_name_is_downloaded_and_loaded(server, tiny, tmp_path, monkeypatch):
    """From a row of the catalogue to a model with labels and preparation."""
    address, handler = server
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    saved = weights.save_checkpoint(
        tiny(activation="gelu_tanh", classes=1000), tmp_path / "x.npz"
    )
    handler.content = saved.read_bytes()
    row = Checkpoint(
        "ViT_B16", "toy", 32, 1000, (f"{address}/a%2Bb.npz",), "vit_jax", None, "", ""
    )
    monkeypatch.setattr(catalog, "rows", lambda: {row.name: row})

    model = weights.from_checkpoint("ViT_B16.toy_32", verbose=0)

    (found,) = (tmp_path / "home" / "keras_vit").rglob("*.npz")
    assert "a+b.npz" == found.name and found.parent.name.startswith("127.0.0.1")
    assert "tench" == model.labels[0] and not model.preprocessing.antialias
    assert (32, 32) == model.preprocessing.image_size
