"""Names of classes and images, before an image is looked at."""

from collections.abc import Sequence
from typing import Any

from keras_vit.errors import DataError
from keras_vit.training.data import check_folder
from keras_vit.training.data.sources import final_split, open_source


def class_names(source: Any) -> tuple[str, ...]:
    """Names of the classes of a data set, in the order of their numbers.

    Args:
        source: as in `load_data`.

    Returns:
        Tuple of K names.

    Raises:
        As `load_data`.
    """
    kind, _, rest = str(source).partition(":")
    if kind == "folder" and rest:
        return tuple(check_folder.list_splits(rest, whole=True)[0])
    return tuple(open_source(source).class_names)


def image_names(
    source: Any, split: str | None = None, skipped: Sequence[str] = ()
) -> list[str]:
    """List the files behind the images that `load_split` gives; nothing is decoded.

    Args:
        source, split: as in `load_split`. skipped: paths left out, `info.skipped`.

    Returns:
        List of names or paths, one per image.

    Raises:
        DataError: for a source whose images have no names.
    """
    kind, _, rest = str(source).partition(":")
    if kind == "folder":
        _, files = check_folder.list_splits(rest, whole=split == "all")
        rows = files[split or final_split(files)]
        left_out = set(skipped)
        return [str(path) for path, _ in rows if str(path) not in left_out]
    if kind == "tfds":
        opened = open_source(source)
        return _record_names(source, opened.split(split or opened.test_split))
    raise DataError(
        f"{source}: must hold images with file names, got a source without. Use "
        "folder:PATH, or a TFDS set that tells them."
    )


def _record_names(source, records):
    """The file name of every record of a TFDS split."""
    if records.files is None:
        raise DataError(
            f"{source}: must tell the file name of each image, got none. Use "
            "folder:PATH."
        )
    return records.files()
