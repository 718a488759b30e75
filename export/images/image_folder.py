"""Calibration and validation images of a folder, preprocessed for a model."""

import pathlib

import numpy as np

from keras_vit.classes import matches
from keras_vit.export.images.label_table import read_table
from keras_vit.export.runtime.console import say
from keras_vit.image_files import SUFFIXES, look_through, notes_of, shown_name
from keras_vit.models.input_range import UNKNOWN
from keras_vit.preprocess import preprocess_image_file

BATCH = 32
SHOWN = 3  # names in a message


def image_files(folder):
    """List the image files in a folder and the folders in it, sorted.

    Args:
        folder: path.

    Returns:
        list of `pathlib.Path`.

    Raises:
        NotADirectoryError: when there is no such folder.
        ValueError: when it holds no image.
    """
    return _files_and_notes(folder)[0]


def _files_and_notes(folder):
    """List the image files, with notes on skipped files."""
    tree = look_through(folder)
    left_out, files = tree.all_left_out(), tree.all_images()
    notes = notes_of(left_out, tree.path)
    lost = notes_of([item for item in left_out if item.expected], tree.path)
    if not files:
        raise ValueError(
            f"{folder}: must hold images, got none with {', '.join(sorted(SUFFIXES))}"
            f"{''.join('; ' + note for note in notes)}. Check the path."
        )
    return files, notes, lost


def read_folder(folder, preprocessing, count, verbose=0):
    """Read some images of a folder, at equal distances so that all classes occur.

    Args:
        folder: path. preprocessing: `keras_vit.Preprocessing` of the model.
        count: how many at most. verbose: 1 says what is left out.

    Returns:
        (N, H, W, 3) float32.

    Raises:
        OSError, ValueError: as `image_files`, and for a file that is no image.
    """
    found, notes, _ = _files_and_notes(folder)
    for note in notes:
        say(f"{folder}: {note}", verbose)
    return np.stack([prepared(path, preprocessing) for path in _spread(found, count)])


def _spread(items, most):
    """Choose at most so many items, with the first and the last; None for all."""
    count = len(items) if most is None else min(most, len(items))
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[place] for place in places]


def prepared(path, preprocessing):
    """Read and preprocess one image file for a model, (H, W, 3) float32.

    Raises:
        OSError, ValueError: for a file that is no image, or a model that does not say
            how it wants them.
    """
    if preprocessing is None:
        raise ValueError(
            f"model.preprocessing: must be known to read image files, but {UNKNOWN}."
        )
    return preprocess_image_file(path, preprocessing)


class LabelledFolder:
    """Batches of a folder's images with labels, read on every iteration.

    Args:
        folder: path. preprocessing: of the model.
        labels: table of lines `file name,class`, see
            `keras_vit.export.images.label_table.read_table`; None for the names of the
            folders inside, if the model knows them.
        names: class names of the model, or None; see `keras_vit.classes` for what
            counts as one. classes: how many it has, or None.
        most: how many images at most, taken at equal distances; None for all.
        on_missing: "refuse" or "skip" lines of the table whose image is not there.

    Attributes:
        count: how many images. labelled: whether their classes are known.
        notes: list of sentences on what was left out or decided. lost: those of them
            on labels and images that somebody may count on.

    Raises:
        OSError, ValueError: for a folder or a table that cannot be used, and where
            some folders are labels of the model and others are not; images are
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
        on_missing="refuse",
    ):
        folder = pathlib.Path(folder).expanduser()
        files, self.notes, self.lost = _files_and_notes(folder)
        if labels is not None:
            given = (labels, folder, names or (), classes, on_missing)
            self._pairs = self._by_table(files, *given)
        else:
            self._pairs = self._by_folders(folder, files, names)
        self._pairs = _spread(self._pairs, most)
        self._preprocessing = preprocessing
        self.count = len(self._pairs)
        self.labelled = self._pairs[0][1] is not None

    def _by_table(self, files, table, *arguments):
        """Label files by a table: (path, class); skipped files are noted."""
        pairs, notes = read_table(table, *arguments)
        self.notes += notes
        known = {path for path, _ in pairs}
        others = sum(path not in known for path in files)
        if others:
            self.notes.append(f"left out, not named in {table}: {others} images")
        return pairs

    def _by_folders(self, root, files, names):
        """Label files by folder names: (path, class or None)."""
        folders = sorted({path.parent for path in files})
        labels = {folder: _label_of(folder, root, names or ()) for folder in folders}
        without = [folder for folder, number in labels.items() if number is None]
        if names and without and len(without) < len(folders):
            shown = [shown_name(path, root) for path in without[:SHOWN]]
            raise ValueError(
                f"{root}: folders of images must be named as labels of the model "
                f"({', '.join(names[:SHOWN])}...), all of them or none, got "
                f"{len(without)} of {len(folders)} that are not: {', '.join(shown)}. "
                "Rename or remove them, or give a table of labels."
            )
        if without:
            why = (
                "no folder is named as a label of the model"
                if names
                else ("the model does not name its classes")
            )
            self.notes.append(f"{why}: images count without labels")
            if names and any(folder != root for folder in folders):
                shown = ", ".join(shown_name(path, root) for path in without[:SHOWN])
                self.notes[-1] += (
                    f" ({len(files)} images, in {shown}). Name folders as labels, or "
                    "give a table of labels"
                )
                self.lost.append(self.notes[-1])
        return [(path, labels[path.parent]) for path in files]

    def __len__(self):
        return -(-self.count // BATCH)

    def __iter__(self):
        for start in range(0, self.count, BATCH):
            pairs = self._pairs[start : start + BATCH]
            images = np.stack([prepared(p, self._preprocessing) for p, _ in pairs])
            classes = np.array([c for _, c in pairs]) if self.labelled else None
            yield images, classes


def _label_of(folder, root, names):
    """The class whose name a folder or one of its parents has; or None."""
    above = [folder, *folder.parents]
    inside = above[: above.index(root) + 1] if root in above else above[:1]
    for numbers in matches([part.name for part in inside], names):
        if len(numbers) == 1:
            return numbers[0]
    return None
