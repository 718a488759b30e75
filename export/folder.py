"""Image files of a folder, prepared for a model: to calibrate with, and to judge by."""

import pathlib

import numpy as np

from keras_vit.classes import matches
from keras_vit.preprocess import preprocess_image_file

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
BATCH = 32


def image_files(folder):
    """The image files in a folder and the folders in it, sorted.

    Args:
        folder: path.

    Returns:
        list of `pathlib.Path`.

    Raises:
        NotADirectoryError: when there is no such folder.
        ValueError: when it holds no image.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{folder}: must be a folder of images. Check the path."
        )
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(
            f"{folder}: must hold images, got none with {', '.join(sorted(SUFFIXES))}. "
            "Check the path."
        )
    return found


def read_folder(folder, preprocessing, count):
    """Some images of a folder, at equal distances so that all classes are there.

    Args:
        folder: path. preprocessing: `keras_vit.Preprocessing` of the model.
        count: how many at most.

    Returns:
        (N, H, W, 3) float32.

    Raises:
        OSError, ValueError: as `image_files`, and for a file that is no image.
    """
    found = _spread(image_files(folder), count)
    return np.stack([prepared(path, preprocessing) for path in found])


def _spread(items, most):
    """At most so many items, the first and the last among them; None for all."""
    count = len(items) if most is None else min(most, len(items))
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[place] for place in places]


def prepared(path, preprocessing):
    """One file as a model takes it, (H, W, 3) float32.

    Raises:
        OSError, ValueError: for a file that is no image, or a model that does not say
            how it wants them.
    """
    if preprocessing is None:
        raise ValueError(
            "model.preprocessing: must be known to read image files, got None. Set it: "
            "model.preprocessing = keras_vit.Preprocessing(...)."
        )
    return preprocess_image_file(path, preprocessing)


class LabelledFolder:
    """Batches of a folder's images, read while they are asked for, as often as wanted.

    Args:
        folder: path. preprocessing: of the model.
        labels: CSV file of lines `file name,class`, the class as an index or a name;
            None for the names of the folders inside, if the model knows them.
        names: class names of the model, or None; see `keras_vit.classes` for what
            counts as one. classes: how many it has, or None.
        most: how many images at most, taken at equal distances; None for all.

    Attributes:
        count: how many images. labelled: whether their classes are known.

    Raises:
        OSError, ValueError: for a folder or a table that cannot be used; images are
            decoded later.
    """

    def __init__(
        self,
        folder,
        preprocessing,
        labels=None,
        names=None,
        classes=None,
        most=None,
    ):
        folder = pathlib.Path(folder).expanduser()
        files = image_files(folder)
        if labels is not None:
            self._pairs = _from_table(labels, folder, names or ())
        else:
            found = matches([path.parent.name for path in files], names or ())
            known = all(len(numbers) == 1 for numbers in found)
            self._pairs = [
                (path, numbers[0] if known else None)
                for path, numbers in zip(files, found, strict=True)
            ]
        self._pairs = _spread(self._pairs, most)
        self._preprocessing = preprocessing
        largest = max(c if c is not None else -1 for _, c in self._pairs)
        if classes is not None and largest >= classes:
            raise ValueError(
                f"{labels}: classes must be from 0 to {classes - 1}, got {largest}. "
                "Correct the table."
            )
        self.count = len(self._pairs)
        self.labelled = self._pairs[0][1] is not None

    def __len__(self):
        return -(-self.count // BATCH)

    def __iter__(self):
        for start in range(0, self.count, BATCH):
            pairs = self._pairs[start : start + BATCH]
            images = np.stack([prepared(p, self._preprocessing) for p, _ in pairs])
            classes = np.array([c for _, c in pairs]) if self.labelled else None
            yield images, classes


def _from_table(path, folder, names):
    """[(path, class)] of a CSV file, every line checked."""
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table of labels. Check the path.")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.rpartition(",") for line in lines if line.strip()]
    if rows and not (folder / rows[0][0].strip()).is_file():
        rows = rows[1:]  # names of the columns
    if not rows:
        raise ValueError(f"{path}: must hold lines `file name,class`, got none.")
    found = matches([kind for *_, kind in rows], names)
    return [
        _row(path, folder, name, kind.strip(), numbers)
        for (name, _, kind), numbers in zip(rows, found, strict=True)
    ]


def _row(table, folder, name, kind, numbers):
    file = folder / name.strip()
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: no such image, named in {table}. Correct the table."
        )
    if len(numbers) == 1:
        return file, numbers[0]
    if not kind.isdecimal():
        raise ValueError(
            f"{table}: every class must be an index or a name of the model, got "
            f"{kind!r} for {name}. Correct the table."
        )
    return file, int(kind)
