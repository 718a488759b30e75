"""Confusion matrix: which classes a model takes for which."""

import pathlib
from collections.abc import Sequence

import numpy as np

from keras_vit import files, lettering
from keras_vit.types import FilePath

MOST = 2000  # classes of a picture
NAMED = 40  # classes whose names are written beside the picture
SIDE = 1000  # px of a picture without names, at least
CELL, SIZE = 38, 14  # px of a cell with a number; of letters
WIDEST = 180  # px of a name
AXIS, EDGE = 28, 8  # px of the words of an axis; on the other side
SOFT = "#555555"
WHITE, DARK = (255, 255, 255), (8, 48, 107)


def confusion_matrix(
    labels: np.ndarray, answered: np.ndarray, classes: int
) -> np.ndarray:
    """Count answers by true class.

    Args:
        labels: (n,) int, true classes. answered: (n,) int. classes: K.

    Returns:
        (K, K) int64; row: true class, column: predicted class.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    files.check_memory("confusion matrix", 8 * classes**2)
    cells = labels.astype("int64") * classes + answered
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def confused(labels, answered, most=10):
    """The mistakes that were made most often.

    Args:
        labels, answered: (n,) int. most: number of mistakes to tell.

    Returns:
        List of (true class, predicted class, count), most frequent first.
    """
    wrong = labels != answered
    pairs = np.stack([labels[wrong], answered[wrong]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(*map(int, found[k]), int(counts[k])) for k in order]


def plot_confusion(
    matrix: np.ndarray,
    class_names: Sequence[str],
    path: FilePath,
    overwrite: bool = False,
) -> pathlib.Path:
    """Draw a confusion matrix as a PNG.

    Rows are true classes, columns predicted ones, and the axes say so; the darker, the
    larger the share of the row. Up to 40 classes are named and have their counts in
    the cells.

    Args:
        matrix: (K, K) counts. class_names: K names. path: of the PNG.
        overwrite: whether an existing file may be replaced.

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: above 2,000 classes, or for names that are not K.
        FileExistsError: when it exists and overwrite is False.
    """
    classes = len(matrix)
    if classes > MOST or len(class_names) != classes:
        raise ValueError(
            f"confusion: must have at most {MOST} classes with a name each, got "
            f"{classes} classes and {len(class_names)} names. Draw a part of it."
        )
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    named = classes <= NAMED
    cell = CELL if named else -(-SIDE // classes)
    colours = np.array(WHITE) + share[..., None] * (np.array(DARK) - WHITE)
    pixels = colours.round().astype("uint8").repeat(cell, axis=0).repeat(cell, axis=1)
    sheet = _Sheet(pixels, class_names if named else None)
    if named:
        sheet.count(matrix, share)
    with files.replacing(path, overwrite) as partial:
        sheet.finish().save(partial, format="PNG")
    return partial.parent.parent / partial.name


class _Sheet:
    """A matrix with words around it, on which one writes across and upwards.

    Args:
        pixels: (S, S, 3) uint8. names: of the classes, or None for none.
    """

    def __init__(self, pixels, names):
        from PIL import Image

        names = [lettering.fitted(name, SIZE, WIDEST) for name in names or ()]
        widths = [round(lettering.length(name, SIZE)) for name in names]
        self._margin = AXIS + (16 + max(widths) if widths else 0)
        side = self._margin + len(pixels) + EDGE
        self._middle = self._margin + len(pixels) // 2
        self._names = [(name, self.middle(k)) for k, name in enumerate(names)]
        self._canvas = Image.new("RGB", (side, side), WHITE)
        self._canvas.paste(Image.fromarray(pixels), (self._margin, self._margin))

    def middle(self, number):
        """Where a class lies, in px from the left or from above."""
        return self._margin + CELL * number + CELL // 2

    def count(self, matrix, share):
        """Write a count in each cell that has one."""
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if share[row, column] > 0.5 else "black"
            place = self.middle(column), self.middle(row)
            if count:
                self._write(place, str(count), "mm", colour)

    def finish(self):
        """Write names and what the axes are; gives the picture."""
        for name, y in self._names:
            self._write((self._margin - 8, y), name, "rm")
        self._write((self._middle, AXIS // 2), "predicted class", "mm", SOFT)
        side = self._canvas.width
        self._canvas = self._canvas.rotate(-90)  # what is written now goes upwards
        for name, x in self._names:
            self._write((side - self._margin + 8, x), name, "lm")
        self._write((side - self._middle, AXIS // 2), "true class", "mm", SOFT)
        return self._canvas.rotate(90)

    def _write(self, place, text, anchor, colour="black"):
        from PIL import ImageDraw

        pen = ImageDraw.Draw(self._canvas)
        lettering.write(pen, place, text, SIZE, colour, anchor)
