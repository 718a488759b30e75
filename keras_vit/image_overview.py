"""Overview of an image folder before training: counts, sizes, duplicates.

Files are opened, not decoded: their sizes and kinds stand in front of the pixels.
"""

import collections
import dataclasses
import hashlib
import os
import warnings

import numpy as np

from keras_vit import files, image_folder, lettering
from keras_vit.contact_sheet import sheet
from keras_vit.errors import DataError
from keras_vit.image_files import shown_name
from keras_vit.orientation import HEAD, number_of
from keras_vit.preprocess import read_image
from keras_vit.progress import Bar

SHOWN = 5  # names in a line
SAMPLES, TILE = 36, 128  # images of a sheet, px of their longer side
UNEVEN = 10  # the largest class is so many times the smallest


@dataclasses.dataclass(frozen=True)
class Overview:
    """Counts, sizes, unreadable files and duplicates of an image folder.

    Args:
        scan: `keras_vit.image_folder.Scan`.
        kinds: format by content -> count. sizes: (n, 2) int, width and height in px.
        turned: images that are turned when they are decoded.
        unreadable: paths that cannot be opened as images.
        duplicates: lists of (path, split, class name) of files with the same content.
        refusal: why training refuses the folder, or "".
    """

    scan: image_folder.Scan
    kinds: dict
    sizes: np.ndarray
    turned: int
    unreadable: tuple
    duplicates: tuple
    refusal: str = ""

    def counts(self):
        """Split -> class name -> images."""
        names = self.scan.class_names
        counts = {}
        for split, rows in self.scan.splits.items():
            seen = collections.Counter(label for _, label in rows)
            counts[split] = {name: seen[k] for k, name in enumerate(names)}
        return counts

    def across(self, part):
        """Duplicates across a part of the rows: 1 splits, 2 classes."""
        return [group for group in self.duplicates if len({g[part] for g in group}) > 1]

    def imbalance(self):
        """(largest class, its images, smallest, its images) of train, or of all."""
        counts = self.counts()
        rows = counts.get("train") or counts.get("all") or next(iter(counts.values()))
        ranked = sorted(rows, key=rows.get)
        return ranked[-1], rows[ranked[-1]], ranked[0], rows[ranked[0]]

    def to_dict(self):
        """Plain values, for JSON."""
        scan = self.scan
        between = [[str(path) for path, *_ in group] for group in self.across(1)]
        unlike = [[str(path) for path, *_ in group] for group in self.across(2)]
        left = [
            {"path": str(item.path), "why": item.reason, "images": item.count}
            for item in scan.left_out
        ]
        return {
            "root": str(scan.root),
            "layout": scan.layout,
            "classes": list(scan.class_names),
            "counts": self.counts(),
            "notes": list(scan.notes),
            "left_out": left,
            "kinds": self.kinds,
            "sizes_px": [list(map(int, size)) for size in self._extremes()],
            "turned": self.turned,
            "unreadable": [str(path) for path in self.unreadable],
            "duplicates": len(self.duplicates),
            "duplicates_between_splits": between,
            "duplicates_between_classes": unlike,
            "refusal": self.refusal,
        }

    def _extremes(self):
        """Smallest, median and largest (width, height), by area."""
        if not len(self.sizes):
            return []
        order = np.argsort(self.sizes.prod(axis=1), kind="stable")
        return [self.sizes[order[k]] for k in (0, len(order) // 2, -1)]

    def lines(self):
        """Warnings besides the counts, a sentence each."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        sizes = " / ".join("x".join(map(str, size)) for size in self._extremes())
        if kinds:
            yield f"images: {kinds}; smallest / median / largest {sizes} px"
        if self.turned:
            yield f"turned the right way up, as their cameras say: {self.turned}"
        largest, most, smallest, least = self.imbalance()
        if most > UNEVEN * least:
            yield f"uneven: {most} images of {largest!r}, {least} of {smallest!r}"
        if self.unreadable:
            yield f"cannot be opened: {self._named(self.unreadable)}"
        for part, what in ((1, "splits"), (2, "classes")):
            groups = self.across(part)
            if groups:
                pairs = [" = ".join(self._short(p) for p, *_ in g[:2]) for g in groups]
                more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
                yield (
                    f"the same image in several {what}: {len(groups)}, "
                    f"{', '.join(pairs[:SHOWN])}{more}"
                )
        inside = len(self.duplicates) - len(self.across(1))
        if inside:
            yield f"the same image several times within a split: {inside}"

    def _short(self, path):
        return shown_name(path, self.scan.root)

    def _named(self, paths):
        more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
        names = ", ".join(self._short(path) for path in paths[:SHOWN])
        return f"{len(paths)}, {names}{more}"


def look_at(path, quick=False, verbose=1):
    """Scan a folder as training would, and check its files.

    Args:
        path: folder. quick: whether to go by names alone, and open nothing.
        verbose: 0 silent, 1 progress.

    Returns:
        `Overview`.

    Raises:
        FileNotFoundError, DataError: for a folder without classes.
    """
    refusal = ""
    try:
        scan = image_folder.scan(path)
    except DataError as err:
        refusal, scan = str(err), image_folder.scan(path, whole=True)
    names = scan.class_names
    rows = [(p, s, names[k]) for s, pairs in scan.splits.items() for p, k in pairs]
    if quick:
        return Overview(scan, {}, np.zeros((0, 2), int), 0, (), (), refusal)
    kinds, sizes, turned, unreadable = _opened([p for p, *_ in rows], verbose)
    return Overview(
        scan, kinds, sizes, turned, unreadable, _duplicates(rows, verbose), refusal
    )


def _opened(paths, verbose):
    """Sizes, formats, orientation and unreadable files of the images."""
    from PIL import Image

    kinds, sizes, turned, unreadable = collections.Counter(), [], 0, []
    bar = Bar(len(paths), "image", verbose)
    for path in paths:
        try:
            with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
                head = file.read(HEAD)
                file.seek(0)
                image = Image.open(file)
                kinds[image.format] += 1
                sizes.append(image.size)
                turned += number_of(image, head) > 1
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            unreadable.append(path)
        bar.add()
    sizes = np.array(sizes, int).reshape(-1, 2)
    return dict(kinds.most_common()), sizes, turned, tuple(unreadable)


def _duplicates(rows, verbose):
    """Groups of rows with equal file content; empty files are left out."""
    alike = collections.defaultdict(list)
    for row in rows:
        alike[os.path.getsize(row[0])].append(row)
    groups = [group for size, group in alike.items() if size and len(group) > 1]
    bar = Bar(sum(map(len, groups)), "file", verbose)
    same = collections.defaultdict(list)
    for row in (row for group in groups for row in group):
        with open(row[0], "rb") as file:
            same[hashlib.file_digest(file, "sha256").digest()].append(row)
        bar.add()
    return tuple(group for group in same.values() if len(group) > 1)


def draw_samples(overview, path, overwrite=False):
    """Draw decoded images of every class, with their labels.

    Args:
        overview: of `look_at`. path: of the picture. overwrite: whether it may exist.

    Returns:
        List of sentences: letters that cannot be drawn.

    Raises:
        FileExistsError: see overwrite. DataError: without an image that can be read.
    """
    from PIL import Image

    files.check_target(path, overwrite)
    names = overview.scan.class_names
    tiles, captions = [], []
    for split, image, label in _chosen(overview.scan):
        try:
            pixels = Image.fromarray(read_image(image))
        except (OSError, ValueError):
            continue
        tile = Image.new("RGB", (TILE, TILE), "#dddddd")
        pixels.thumbnail((TILE, TILE))
        tile.paste(pixels, [(TILE - side) // 2 for side in pixels.size])
        tiles.append(np.asarray(tile))
        captions.append(f"{names[label]} ({split})")
    if not tiles:
        raise DataError(f"{overview.scan.root}: must hold an image to draw, got none.")
    with files.replacing(path, overwrite) as target:
        Image.fromarray(sheet(np.stack(tiles), captions)).save(target)
    note = lettering.undrawable(captions)
    return [note] if note else []


def _chosen(scan):
    """(split, path, label) of at most SAMPLES images, in turns of the classes."""
    classes = collections.defaultdict(list)
    for split, rows in scan.splits.items():
        for path, label in rows:
            classes[label].append((split, path, label))
    each = max(1, SAMPLES // max(len(classes), 1))
    step = max(1, len(classes) // SAMPLES)
    chosen = []
    for label in sorted(classes)[::step]:
        rows = classes[label]
        places = np.linspace(0, len(rows) - 1, min(each, len(rows))).round().astype(int)
        chosen += [rows[place] for place in places]
    return chosen[:SAMPLES]
