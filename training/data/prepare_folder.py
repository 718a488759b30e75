"""A folder of images as a prepared TFDS set: few large files instead of many small."""

import contextlib
import io
import pathlib
import re
from typing import Any

from keras_vit import files, image_folder
from keras_vit.progress import tell
from keras_vit.training.data import check_folder
from keras_vit.training.data.tfds_source import quiet_downloads
from keras_vit.types import FilePath

VERSION = "1.0.0"
SHARD_BYTES = 128 * 2**20  # about, per file


def prepare(
    path: FilePath,
    output: FilePath,
    shards: int | None = None,
    on_bad_image: str = "refuse",
    overwrite: bool = False,
    verbose: int = 1,
) -> dict[str, Any]:
    """Write a folder of images as sharded TFRecords, in the format of TFDS.

    The image files are copied as they are, in an order that depends on their names
    alone: the same folder gives the same files. Splits and labels are those of
    "folder:PATH". Read it with "tfds:OUTPUT", or by its name with TFDS_DATA_DIR=OUTPUT.

    Args:
        path: folder in a layout of `keras_vit.image_folder`.
        output: folder that is written; the set lies in NAME/VERSION below it.
        shards: files per split; None is one for each 128 MiB.
        on_bad_image: "refuse" or "skip" files that cannot be decoded.
        overwrite: whether an earlier output may be replaced.
        verbose: 0 silent, 1 progress.

    Returns:
        Dict with name, version, counts per split, classes, skipped files and notes
        on what was decided and left out.

    Raises:
        DataError, FileNotFoundError: for a folder that cannot be used.
        FileExistsError: when the output exists.
        ValueError: for shards below 1.
    """
    if shards is not None and (not isinstance(shards, int) or shards < 1):
        raise ValueError(
            f"shards: must be a whole number above 0, got {shards!r}. Pass shards=16."
        )
    output = files.check_target(output, overwrite)
    found = image_folder.scan(path)
    for note in found.notes if verbose else ():
        tell(f"{path}: {note}")
    names, rows = found.class_names, found.splits
    rows, bad = check_folder.check_images(rows, on_bad_image, verbose)
    check_folder.check_classes(path, rows, names)
    total = sum(file.stat().st_size for kept in rows.values() for file, _ in kept)
    files.check_space(output, 1.1 * total)
    name = _name(path)
    with files.replacing(output, overwrite) as target:
        target.mkdir()
        _write(name, names, rows, target, shards or _shards(rows), verbose)
    counts = {split: len(kept) for split, kept in rows.items()}
    return {
        "name": name,
        "version": VERSION,
        "counts": counts,
        "classes": list(names),
        "skipped": [*bad, *found.skipped],
        "notes": list(found.notes),
    }


def _name(path):
    """A name that TFDS takes, made of the folder's.

    >>> _name("/data/My Photos-2024")
    'my_photos_2024'
    """
    last = pathlib.Path(path).expanduser().absolute().name.lower()
    return re.sub(r"\W+", "_", last).strip("_") or "images"


def _key(file, seen):
    """ "CLASS/IMAGE", or more of the path where another file is called the same.

    >>> seen = set()
    >>> [_key(pathlib.PurePath(p), seen) for p in ("x/b/1.jpg", "y/b/1.jpg")]
    ['b/1.jpg', 'y/b/1.jpg']
    """
    names = ("/".join(file.parts[-count:]) for count in range(2, len(file.parts) + 1))
    key = next((name for name in names if name not in seen), str(file))
    seen.add(key)
    return key


def _shards(rows):
    """Files for the largest split."""
    sizes = [sum(file.stat().st_size for file, _ in kept) for kept in rows.values()]
    return max(1, round(max(sizes) / SHARD_BYTES))


def _write(name, class_names, rows, target, shards, verbose):
    import tensorflow_datasets as tfds

    class Folder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """Images of a folder."""

        __module__ = name  # TFDS would look for notes beside this file

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=list(class_names)),
                "filename": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {s: self._generate_examples(kept) for s, kept in rows.items()}

        def _generate_examples(self, kept):
            seen = set()
            for file, label in kept:
                key = _key(file, seen)
                yield key, {"image": str(file), "label": label, "filename": key}

    Folder.name, Folder.VERSION = name, tfds.core.Version(VERSION)
    config = tfds.download.DownloadConfig(num_shards=shards)
    builder = Folder(data_dir=str(target))
    if verbose:
        with quiet_downloads():
            builder.download_and_prepare(download_config=config)
        return
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # where TFDS announces itself
        builder.download_and_prepare(download_config=config)
