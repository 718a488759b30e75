"""Data sets by name: "digits", "folder:PATH", "tfds:NAME", "vtab:TASK", "pseudo:FILE".

A source is opened into splits; a split hands out records, still encoded, by
running number. What happens to a record afterwards is for `pipeline`.
"""

import dataclasses
import functools

import numpy as np

from keras_vit import files, image_folder
from keras_vit.choices import check_choice
from keras_vit.errors import DataError
from keras_vit.progress import tell
from keras_vit.training.data import (
    array_source,
    check_folder,
    pseudo_source,
    tfds_source,
    vtab,
)
from keras_vit.training.data.splits import SPLITS, IndexedSplit

ON_BAD_IMAGE = ("refuse", "skip", "stop")
MOST_CHECKED = 20_000  # images of a folder that are decoded before training
SAMPLED = 1_000  # images of a larger one
DIGITS_TEST, DIGITS_VALIDATION = 360, 180  # images


@dataclasses.dataclass(frozen=True)
class Source:
    """An opened data set.

    Args:
        name: as it was asked for.
        class_names: K names, in label order.
        splits: split name -> split; names are those of SPLITS.
        image_size: side in px that fits when nobody asks for another.
        augment: augmentation that fits when nobody asks for another.
        skipped: paths left out, of images that cannot be read or have no class.
        fixed: whether the same name means the same images in the same order.
        notes: sentences on what was decided and left out.
    """

    name: str
    class_names: tuple
    splits: dict
    image_size: int
    augment: str
    skipped: tuple = ()
    fixed: bool = True
    notes: tuple = ()

    def split(self, name):
        """The split of that name.

        Raises:
            ValueError: when there is none.
        """
        if name not in self.splits:
            known = ", ".join(map(repr, self.splits))
            raise ValueError(
                f"{self.name}: has the splits {known}, got split={name!r}. "
                "Ask for one of these."
            )
        return self.splits[name]

    @property
    def test_split(self):
        """Name of the split for the final score."""
        return final_split(self.splits)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of images as a source, listed when it is first needed, and once.

    Args:
        name: "folder:PATH".
    """

    name: str

    @property
    def path(self):
        """PATH."""
        return self.name.partition(":")[2]

    @functools.cached_property
    def scan(self):
        """`keras_vit.image_folder.Scan`: classes and splits."""
        return image_folder.scan(self.path)


def read_once(data, task=None):
    """Data in the form that every step of a run can ask for names, and reads once.

    Args:
        data: source as in `open_source`, or anything else, which is given back.
        task: `Task`; None for that of the labels.

    Returns:
        `ArrayData` of data of the user's own, `Folder` of "folder:PATH".
    """
    if array_source.is_own(data):
        return array_source.read_own(data, task)
    if isinstance(data, str) and data.startswith("folder:") and data != "folder:":
        return Folder(data)
    return data


def final_split(names):
    """Which split gives the final score: "test" where there is one."""
    return "test" if "test" in names else "validation"


def open_source(
    name, splits=SPLITS, on_bad_image="refuse", verbose=1, cache=False, task=None
):
    """Find a data set and look at its files, without reading all of it.

    Args:
        name: "digits", "folder:PATH", "tfds:NAME", "tfds:PATH", "vtab:TASK",
            "pseudo:FILE", data of the user's own (see
            `keras_vit.training.data.array_source`), or what `read_once` made of one.
        splits: the splits that will be read; only these are checked. None is
            the one for the final score.
        on_bad_image: "refuse", "skip" or "stop", see `load_data`.
        verbose: 0 silent, 1 progress.
        cache: whether encoded images are kept in memory.
        task: `Task` that says what labels are, of data of the user's own; None for that
            of the labels.

    Returns:
        `Source`.

    Raises:
        ValueError: for a name of another kind.
        DataError, FileNotFoundError: when the data are missing or damaged.
    """
    check_choice("on_bad_image", on_bad_image, ON_BAD_IMAGE)
    name = read_once(name, task)
    if isinstance(name, array_source.ArrayData):
        names, opened = name.class_names, name.splits
        return Source(name.name, names, opened, 224, "light", fixed=name.fixed)
    if isinstance(name, Folder):
        return _open_folder(name, splits, on_bad_image, verbose, cache)
    kind, _, rest = str(name).partition(":")
    if name == "digits":
        return _open_digits()
    if kind == "tfds" and rest:
        return Source(name, *tfds_source.open_tfds(name, rest, cache), 224, "light")
    if kind == "vtab" and rest:
        names, opened, augment = vtab.open_vtab(name, rest, cache)
        return Source(name, names, opened, 224, augment)
    if kind == "pseudo" and rest:
        arrays = pseudo_source.read(rest)
        names = str(arrays["labelled"]), splits, on_bad_image, verbose, cache
        return pseudo_source.join(name, arrays, open_source(*names), cache)
    raise ValueError(
        "data: must be 'digits', 'folder:PATH', 'tfds:NAME', 'vtab:TASK', "
        f"'pseudo:FILE' or arrays (images, labels), got {name!r}. Put 'folder:' before "
        "the path of your images."
    )


def _open_digits():
    """scikit-learn's 1,797 handwritten digits, always split the same way."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedShuffleSplit

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype("uint8")[..., None]
    labels = digits.target.astype("int32")

    def cut(index, size):
        splitter = StratifiedShuffleSplit(1, test_size=size, random_state=0)
        keep, held = next(splitter.split(index, labels[index]))
        return index[keep], index[held]

    rest, test = cut(np.arange(len(labels)), DIGITS_TEST)
    train, validation = cut(rest, DIGITS_VALIDATION)
    parts = zip(SPLITS, (train, validation, test), strict=True)
    splits = {name: IndexedSplit(images[i], labels[i]) for name, i in parts}
    return Source("digits", tuple("0123456789"), splits, 32, "digits")


def _open_folder(folder, splits, on_bad_image, verbose, cache):
    """Image folders; see `keras_vit.image_folder` for the rules."""
    path, whole = folder.path, splits == ("all",)
    found = image_folder.scan(path, whole=True) if whole else folder.scan
    listed, notes = found.splits, list(found.notes)
    splits = (final_split(listed),) if splits is None else splits
    if "train" in splits and "train" not in listed:
        raise DataError(
            f"{path}: must have a folder 'train', got {sorted(listed)}. Add one."
        )
    wanted = {split: rows for split, rows in listed.items() if split in splits}
    refuse = "skip" if on_bad_image == "skip" else "refuse"
    count, sample = sum(map(len, wanted.values())), None
    if count > MOST_CHECKED:  # the others show themselves in the middle
        sample = SAMPLED
        notes.append(f"images: {sample:,} of {count:,} are checked, a random sample")
    for note in notes:
        if verbose:
            tell(f"{path}: {note}")
    wanted, bad = check_folder.check_images(wanted, refuse, verbose, sample)
    if bad:
        notes.append(f"left out, cannot be decoded: {len(bad)}, {', '.join(bad[:3])}")
        if verbose:
            tell(f"{path}: {notes[-1]}")
    check_folder.check_classes(path, wanted, found.class_names)
    opened = {
        split: _file_split(rows, cache and split in wanted)
        for split, rows in {**listed, **wanted}.items()
    }
    skipped, notes = (*bad, *found.skipped), tuple(notes)
    names = found.class_names
    return Source(folder.name, names, opened, 224, "light", skipped, notes=notes)


def _file_split(rows, cache):
    """Paths, or what is in the files, where that fits into memory."""
    paths = np.array([str(file) for file, _ in rows])
    labels = np.array([label for _, label in rows], "int32")
    if not cache:
        return IndexedSplit(paths, labels)
    needed = sum(file.stat().st_size for file, _ in rows)
    files.check_memory("cache", 2 * needed)
    contents = np.array([file.read_bytes() for file, _ in rows], object)
    return IndexedSplit(contents, labels, paths)
