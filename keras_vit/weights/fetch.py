"""Downloads with resume, a lock and a checksum.

Files lie under the Keras home, in `keras_vit/`. The SHA-256 of a file is written
beside it when it first arrives and compared at every later use: published
checkpoints come without hashes, so the first download is what is trusted.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request

from keras_vit import files
from keras_vit.errors import CheckpointError
from keras_vit.progress import Bar

CHUNK = 2**20  # bytes
TIMEOUT = 30  # seconds without a byte
LOCK_POLL = 0.1  # seconds


class NotOnServer(CheckpointError):
    """The server answers that the file is missing or private."""


def cache_folder():
    """Where downloads lie: `$KERAS_HOME/keras_vit`, or `~/.keras/keras_vit`."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    return pathlib.Path(home).expanduser() / "keras_vit"


def fetch(row, verbose=1):
    """Path of a published checkpoint, downloaded if missing.

    Args:
        row: `checkpoint_row.Checkpoint`.
        verbose: 0 silent, 1 shows progress.

    Returns:
        `pathlib.Path`: the file, or the folder when there are several.

    Raises:
        CheckpointError: when it cannot be downloaded, or is not what it was.
    """
    for url in row.files:
        parts = urllib.parse.urlsplit(url)
        place = [urllib.parse.unquote(part) for part in parts.path.split("/") if part]
        path = cache_folder().joinpath(parts.netloc.replace(":", "_"), *place)
        download(url, path, starts=row.hash_start, verbose=verbose)
    return path.parent if len(row.files) > 1 else path


def download(url, path, starts=None, verbose=1):
    """Download a file if missing; check its hash if not.

    An interrupted download goes on where it stopped, if the server can.

    Args:
        url: of the file. path: where it will lie.
        starts: first digits of its SHA-256, where they are published.
        verbose: 0 silent, 1 shows progress.

    Returns:
        `pathlib.Path`.

    Raises:
        CheckpointError: naming the file, the URL, and where to put it by hand;
            `NotOnServer` when the server has no such file.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            if not path.is_file():
                _download(url, path, starts, verbose)
                return path
            _check(url, path)
            return path
    except (OSError, urllib.error.URLError) as err:
        reason = getattr(err, "reason", None) or err
        refused = getattr(err, "code", None) in (401, 403, 404)
        raise (NotOnServer if refused else CheckpointError)(
            f"{path.name}: could not be downloaded from {url} ({reason}). "
            f"Fetch it in another way and put it at {path}."
        ) from err


@contextlib.contextmanager
def locked(path):
    """Lock so that one process runs at a time; the lock ends with the process.

    Args:
        path: of the lock file, which stays.
    """
    with open(path, "a+b") as file:
        while not _try_lock(file):
            time.sleep(LOCK_POLL)
        yield


def _try_lock(file):
    """Lock an open file: whether it worked."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(path):
    return path.with_name(f"{path.name}.sha256.json")


def _check(url, path):
    """Compare a file's hash with its record; record it if it is new."""
    record, digest = _record(path), sha256(path)
    if not record.is_file():  # somebody put the file there by hand
        _note(url, path, digest)
        return
    try:
        expected = json.loads(record.read_text())["sha256"]
    except (ValueError, KeyError, TypeError) as err:
        raise CheckpointError(
            f"{record}: must be the note of a download, got damage ({err!r}). "
            "Delete it to trust the file as it is."
        ) from err
    if digest != expected:
        raise CheckpointError(
            f"{path}: must have SHA-256 {expected}, got {digest}. The file has changed "
            "since it was downloaded; delete it and its note to fetch it again."
        )


def _note(url, path, digest):
    with files.replacing(_record(path), overwrite=True) as target:
        note = {"url": url, "sha256": digest, "bytes": path.stat().st_size}
        target.write_text(json.dumps(note, indent=2) + "\n")


def _download(url, path, starts, verbose):
    """Download to a .part file, then rename."""
    part = path.with_name(f"{path.name}.part")
    tag = path.with_name(f"{path.name}.part.etag")
    begin = part.stat().st_size if part.is_file() and tag.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "keras_vit"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
        request.add_header("If-Range", tag.read_text())
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as err:
        err.close()
        if err.code != 416:  # nothing is left to send
            raise
        part.unlink()
        return _download(url, path, starts, verbose)
    with response:
        begin = begin if response.status == 206 else 0
        _note_tag(tag, response)
        _receive(response, part, begin, verbose)
    digest = sha256(part)
    if starts is not None and not digest.startswith(starts):
        part.unlink()
        raise CheckpointError(
            f"{path.name}: must have a SHA-256 that begins with {starts}, got "
            f"{digest}. Download it again from {url}."
        )
    os.replace(part, path)
    tag.unlink(missing_ok=True)
    _note(url, path, digest)


def _note_tag(tag, response):
    """Record the version that is downloaded, so that parts fit together."""
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    if version:
        tag.write_text(version)
    else:
        tag.unlink(missing_ok=True)


def _receive(response, part, begin, verbose):
    """Append the response; its length must be what the server states."""
    length = response.headers.get("Content-Length")
    total = None if length is None else begin + int(length)
    if total is not None:
        files.check_space(part, total - begin)
    bar = Bar(total, "byte", verbose, begin)
    received = begin
    with open(part, "ab" if begin else "wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            received += len(chunk)
            bar.update(received)
    if total is not None and received != total:
        raise OSError(f"the connection ended after {received} of {total} bytes")
