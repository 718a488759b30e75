"""Zip archives from untrusted sources, checked before they are unpacked."""

import contextlib
import zipfile
import zlib

from keras_vit.errors import CheckpointError

# Weights hardly compress (1.1 times); a zeroed head compresses 1000 times but is
# a small part of its file. Anything beyond this is not weights.
RATIO = 20
SLACK = 64 * 2**20  # bytes
MEMBERS = 200_000


@contextlib.contextmanager
def reading(where):
    """Convert every error of a damaged archive to a CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as err:
        raise _damaged(where, err) from err
    except (RuntimeError, ValueError, OSError, OverflowError) as err:
        if isinstance(err, FileNotFoundError | PermissionError):
            raise
        raise _damaged(where, err) from err


def _damaged(where, err):
    return CheckpointError(
        f"{where}: must be a complete archive, got damage ({err}). "
        "Download it again; the file may be cut off."
    )


def members(path):
    """List the members of an archive, after checking their sizes.

    Args:
        path: of the file.

    Returns:
        name -> `zipfile.ZipInfo`.

    Raises:
        CheckpointError: when it is damaged, or unpacks to far more than it
            weighs, or has members of one name.
    """
    with reading(path), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    size = path.stat().st_size
    total = sum(info.file_size for info in infos)
    if total > RATIO * size + SLACK or len(infos) > MEMBERS:
        raise CheckpointError(
            f"{path}: must unpack to at most {RATIO} times its size, got {size} bytes "
            f"that claim {total} bytes in {len(infos)} members. "
            "This is no file of weights; do not open it."
        )
    by_name = {info.filename: info for info in infos}
    if len(by_name) != len(infos):
        raise CheckpointError(
            f"{path}: every member must have its own name, got {len(infos)} members "
            f"with {len(by_name)} names. Use a clean copy."
        )
    return by_name


def read(path, info, limit=None):
    """Unpack one member, or its first `limit` bytes.

    Raises:
        CheckpointError: when it is damaged or not as long as it says.
    """
    wanted = info.file_size if limit is None else min(limit, info.file_size)
    with reading(path), zipfile.ZipFile(path) as archive, archive.open(info) as member:
        raw = member.read(wanted)
    if len(raw) != wanted:
        raise CheckpointError(
            f"{path}: {info.filename!r} must be {wanted} bytes, got {len(raw)}. "
            "Download it again; the file may be cut off."
        )
    return raw


def comment(path):
    """The archive's comment, bytes."""
    with reading(path), zipfile.ZipFile(path) as archive:
        return archive.comment
