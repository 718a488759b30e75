"""A staging folder, so that several files appear together or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from keras_vit import files

HIDDEN = ".export."


@contextlib.contextmanager
def staging(directory, names, room, overwrite=False):
    """Make a hidden folder whose content moves into `directory` on success.

    Args:
        directory: made when missing. names: of all files that may come into it; the
            first may not be missing.
        room: bytes that they take while they are made.
        overwrite: whether files of these names may be replaced.

    Yields:
        `pathlib.Path` of the hidden folder.

    Raises:
        FileExistsError, OSError: as `keras_vit.files`, before anything is written.
    """
    directory = pathlib.Path(directory).expanduser().absolute()
    fresh = not directory.exists()
    for name in names:
        files.check_target(directory / name, overwrite)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=HIDDEN, dir=directory))
    try:
        files.check_space(directory / names[0], room)
        yield folder
        for staged in sorted(folder.iterdir()):
            with files.replacing(directory / staged.name, overwrite) as temporary:
                os.rename(staged, temporary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if fresh and not any(directory.iterdir()):
            directory.rmdir()


def display_path(path):
    """Path for messages: of a file in a staging folder, the name alone.

    >>> str(display_path(pathlib.Path("out/.export.x1/m.tflite")))
    'm.tflite'
    """
    path = pathlib.Path(path)
    waits = path.parent.name.startswith(".")  # of `files.replacing` and `auto`, too
    return pathlib.Path(path.name) if waits else path
