"""Which classes a model takes for which: numbers, and a picture."""

import numpy as np

from keras_vit import files, lettering

MOST = 2000  # classes of a picture
NAMED = 40  # classes whose names are written beside the picture
SIDE = 1000  # px of a picture without names, at least
CELL, SIZE = 38, 14  # px of a cell with a number; of letters
WIDEST = 180  # px of a name
WHITE, DARK = (255, 255, 255), (8, 48, 107)


def confusion_matrix(labels, answered, classes):
    """Count answers by right class.

    Args:
        labels: (n,) int, right classes. answered: (n,) int. classes: K.

    Returns:
        (K, K) int64; row: right class, column: answer.

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
        List of (right class, answer, count), most frequent first.
    """
    wrong = labels != answered
    pairs = np.stack([labels[wrong], answered[wrong]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(*map(int, found[k]), int(counts[k])) for k in order]


def plot_confusion(matrix, class_names, path, overwrite=False):
    """Draw a confusion matrix as a PNG.

    Rows are right classes, columns answers; the darker, the larger the share of the
    row. Up to 40 classes are named and have their counts in the cells.

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
    cell = CELL if classes <= NAMED else -(-SIDE // classes)
    colours = np.array(WHITE) + share[..., None] * (np.array(DARK) - WHITE)
    pixels = colours.round().astype("uint8").repeat(cell, axis=0).repeat(cell, axis=1)
    picture = _named(pixels, matrix, share, class_names) if cell == CELL else pixels
    with files.replacing(path, overwrite) as partial:
        _image(picture).save(partial, format="PNG")
    return partial.parent.parent / partial.name


def _image(pixels):
    from PIL import Image

    return Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels


def _named(pixels, matrix, share, names):
    """Names on the left and on top, a count in each cell."""
    from PIL import Image, ImageDraw

    names = [lettering.fitted(name, SIZE, WIDEST) for name in names]
    margin = 16 + round(max(lettering.length(name, SIZE) for name in names))
    side = margin + len(pixels) + 8
    canvas = Image.new("RGB", (side, side), WHITE)
    canvas.paste(Image.fromarray(pixels), (margin, margin))
    draw = ImageDraw.Draw(canvas)
    middles = [margin + CELL * k + CELL // 2 for k in range(len(names))]
    for name, y in zip(names, middles, strict=True):
        lettering.write(draw, (margin - 8, y), name, SIZE, anchor="rm")
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if share[row, column] > 0.5 else "black"
            place = middles[column], middles[row]
            lettering.write(draw, place, str(count), SIZE, colour, "mm")
    turned = canvas.rotate(-90)
    draw = ImageDraw.Draw(turned)
    for name, x in zip(names, middles, strict=True):
        lettering.write(draw, (side - margin + 8, x), name, SIZE, anchor="lm")
    return turned.rotate(90)
