"""Atomic file writing, and checks of disk space and memory."""

import contextlib
import os
import pathlib
import shutil
import tempfile


def check_target(path, overwrite=False):
    """Check that `path` can be written, before any slow step.

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
    """Refuse when the disk lacks space for what will be written.

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


def free_memory():
    """Free memory in bytes, or None where the system does not tell."""
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    available = found.get("MemAvailable", "").split()
    return 1024 * int(available[0]) if available else None


def check_memory(what, needed):
    """Refuse when the machine lacks memory for what will be computed.

    Args:
        what: is to be done. needed: bytes, about.

    Raises:
        MemoryError: when less is free.
    """
    free = free_memory()
    if free is not None and free < needed:
        raise MemoryError(
            f"{what}: needs about {needed / 2**30:.1f} GiB of memory, "
            f"{free / 2**30:.1f} GiB are free. Close other programs, or use a larger "
            "machine or a smaller variant."
        )


@contextlib.contextmanager
def replacing(path, overwrite=False, beside=()):
    """Write to a temporary name beside `path`, then rename; on failure leave nothing.

    Args:
        path: final file or folder.
        overwrite: whether an existing one may be replaced.
        beside: names of further files in the same folder that belong to it. What the
            block does not write of them is gone afterwards.

    Yields:
        `pathlib.Path` with the same suffix, for the block to write to.

    Raises:
        As `check_target`.
    """
    path = check_target(path, overwrite)
    others = [check_target(path.with_name(name), overwrite) for name in beside]
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        old = [other for other in others if os.path.lexists(other)]
        if old or any((folder / other.name).exists() for other in others):
            _exchange(folder, [path, *others])
            return
        if path.is_dir() and not path.is_symlink():
            os.rename(path, folder / "replaced")
        os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exchange(folder, places):
    """Replace several files that belong together; the first never appears alone."""
    aside = folder / "replaced"
    aside.mkdir()
    old = [place for place in places if os.path.lexists(place)]
    placed = []
    try:
        for place in old:
            os.rename(place, aside / place.name)
        for place in reversed(places):
            if (folder / place.name).exists():
                os.rename(folder / place.name, place)
                placed.append(place)
    except BaseException:
        for place in placed:
            os.replace(place, folder / place.name)
        for place in old:
            if (aside / place.name).exists():
                os.replace(aside / place.name, place)
        raise
