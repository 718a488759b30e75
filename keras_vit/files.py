"""Writing files so that nobody ever finds half of one."""

import contextlib
import os
import pathlib
import shutil
import tempfile


def check_target(path, overwrite=False):
    """Make sure that `path` can be written, before any slow step.

    Missing parent folders are created.

    Args:
        path: file or folder to be written.
        overwrite: whether an existing one may be replaced.

    Returns:
        `pathlib.Path`, absolute.

    Raises:
        FileExistsError: when it exists and overwrite is False.
        PermissionError: when the folder around it cannot be written.
        NotADirectoryError: when a file stands where a folder is needed.
    """
    path = pathlib.Path(path).expanduser().absolute()
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"{path}: must not exist yet. Choose another path, or pass overwrite=True."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except (FileExistsError, NotADirectoryError) as err:
        raise NotADirectoryError(
            f"{path.parent}: must be a folder, but a file stands in the way. "
            "Choose another path."
        ) from err
    except OSError as err:
        raise type(err)(
            err.errno,
            f"cannot write here ({err.strerror}). Choose another path",
            str(path),
        ) from err
    return path


def check_space(path, needed):
    """Refuse early when the disk cannot hold what is about to be written.

    Args:
        path: where; its folder must exist.
        needed: bytes.

    Raises:
        OSError: when less is free.
    """
    free = shutil.disk_usage(pathlib.Path(path).parent).free
    if free < needed:
        raise OSError(
            f"{path}: needs about {needed / 2**20:.0f} MiB on this disk, "
            f"{free / 2**20:.0f} MiB are free. Free some space, or choose another disk."
        )


@contextlib.contextmanager
def replacing(path, overwrite=False):
    """Write to a temporary name beside `path`, then rename; on failure leave nothing.

    Args:
        path: final file or folder.
        overwrite: whether an existing one may be replaced.

    Yields:
        `pathlib.Path` with the same suffix, for the block to write to.

    Raises:
        As `check_target`.
    """
    path = check_target(path, overwrite)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        if path.is_dir() and not path.is_symlink():
            os.rename(path, folder / "replaced")
        os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
