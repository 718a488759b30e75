"""Classes and splits of an image folder, from the names of its subfolders.

Two layouts are read, with any depth of folders below a class:

- split folders, `PATH/{train,val,test}/CLASS/IMAGE`; other names are in SPLIT_WORDS.
  Without a validation folder, a tenth of train is held out for it.
- class folders, `PATH/CLASS/IMAGE`: of each class a fifth goes to test, a tenth
  to validation, the rest to train.

Held-out images are those whose "CLASS/IMAGE" has the smallest SHA-256, at least one
per class: the split depends on the names alone.
"""

import collections
import dataclasses
import hashlib
import pathlib
import re
import unicodedata

from keras_vit import image_files
from keras_vit.errors import DataError
from keras_vit.image_files import LeftOut, shown_name

SPLITS = ("train", "validation", "test")
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
FILLERS = frozenset("set sets data dataset image images img imgs split folder".split())
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
LEAST = 3  # images of a class, one for each split
SHOWN = 5  # names in an error message

STRAY = "images beside the class folders"
BESIDE = "beside the splits, by a name that is none of a split"
EMPTY = "folders without images"
FLAT = "splits without class folders"


@dataclasses.dataclass(frozen=True)
class Scan:
    """Classes, splits and skipped files of an image folder.

    Args:
        root: folder that splits or classes lie in.
        layout: "split folders" or "class folders".
        class_names: K names, sorted.
        splits: split -> list of (path, label); "all" for everything.
        left_out: tuple of `keras_vit.image_files.LeftOut`.
        notes: tuple of sentences, what was decided and left out.
    """

    root: pathlib.Path
    layout: str
    class_names: tuple
    splits: dict
    left_out: tuple
    notes: tuple

    @property
    def skipped(self):
        """Paths of skipped files that the caller may expect in the data."""
        return tuple(str(item.path) for item in self.left_out if item.expected)


def split_of(name):
    """Which split a folder of that name is, or None.

    >>> split_of("Training"), split_of("test_set"), split_of("test tube")
    ('train', 'test', None)
    """
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word]
    meant = [word for word in words if word not in FILLERS]
    return SPLIT_WORDS.get(meant[0]) if len(meant) == 1 else None


def scan(path, whole=False):
    """Find classes and images by name; no file is opened.

    Args:
        path: folder in one of the two layouts, or around one that is.
        whole: whether to give one split "all" with every image, instead.

    Returns:
        `Scan`.

    Raises:
        FileNotFoundError: when there is no such folder.
        DataError: when it is in neither layout, or a class has no images.
    """
    try:
        tree = image_files.look_through(path)
    except NotADirectoryError as err:
        raise FileNotFoundError(*err.args) from err
    decided, top = [], tree.path
    tree = _unwrapped(tree, decided)
    splits = [f for f in tree.folders if split_of(f.name) and _has_classes(f)]
    if splits and not _is_a_class_among_others(splits, tree):
        layout, content = "split folders", _split_folders(tree, decided)
    else:
        _refuse_unknown_splits(tree)
        layout, content = "class folders", _class_folders(tree, whole, decided)
    names, files, left_out = content
    if whole:
        files = {"all": [row for rows in files.values() for row in rows]}
    decided += _likenesses(names)
    notes = (*decided, *image_files.notes_of(left_out, top))
    return Scan(tree.path, layout, names, files, tuple(left_out), notes)


def _unwrapped(tree, decided):
    """Skip outer folders that hold nothing but one folder."""
    top, lost = tree, []
    while True:
        full = [folder for folder in tree.folders if folder.holds_images()]
        if len(full) != 1 or split_of(full[0].name) or not _is_around(full[0]):
            break
        empty = [f for f in tree.folders if f is not full[0]]
        lost += [LeftOut(f.path, EMPTY, False) for f in empty]
        lost += [*tree.left_out, *_images_outside(tree)]
        tree = full[0]
    if tree is not top:
        inner = shown_name(tree.path, top.path)
        decided.append(f"the splits or classes are those inside {inner}/")
        tree.left_out += lost
    return tree


def _is_around(folder):
    """Whether a folder, alone in another, only wraps splits or classes."""
    if any(split_of(inner.name) and _has_classes(inner) for inner in folder.folders):
        return True
    return _has_classes(folder) and not folder.images


def _has_classes(folder):
    return any(inner.holds_images() for inner in folder.folders)


def _is_a_class_among_others(splits, tree):
    """Whether "train" is a class, beside cars and planes, and not a split."""
    own = all(folder.images for folder in splits)
    others = [f for f in tree.folders if f not in splits and f.images]
    return own and any(split_of(folder.name) is None for folder in others)


def _refuse_unknown_splits(tree):
    """Refuse folders with equal subfolders and no images: splits by other names."""
    full = [_twice_named(f) for f in tree.folders]
    full = [f for f in full if not f.images and _has_classes(f)]
    inner = collections.Counter(
        inner.name for f in full for inner in f.folders if inner.holds_images()
    )
    shared = [name for name, count in inner.items() if count > 1]
    if len(shared) < 2:
        return
    names = ", ".join(repr(f.name) for f in full[:SHOWN])
    raise DataError(
        f"{tree.path}: splits must be called {', '.join(SPLIT_WORDS)}, got {names}, "
        f"which hold the same folders ({', '.join(shared[:SHOWN])}). Rename them to "
        "train, val and test, or name the folder of one split."
    )


def _split_folders(tree, decided):
    """(class names, split -> rows, skipped files) of split folders."""
    left_out, splits = [*tree.left_out, *_images_outside(tree)], {}
    for folder in tree.folders:
        split = split_of(folder.name)
        if split is None:
            count = len(folder.all_images())
            reason, expected = (BESIDE, True) if count else (EMPTY, False)
            left_out.append(LeftOut(folder.path, reason, expected, max(count, 1)))
        elif folder.images and not folder.folders:
            left_out.append(LeftOut(folder.path, FLAT, True, len(folder.images)))
        else:
            _check_split(tree, folder, split, splits)
            classes, lost = _classes(_twice_named(folder))
            splits[split] = folder.name, classes
            left_out += lost
    names = tuple(sorted({name for _, classes in splits.values() for name in classes}))
    _check_count(tree.path, names)
    files = {
        split: [
            (path, label)
            for label, name in enumerate(names)
            if name in classes
            for path in classes[name].all_images()
        ]
        for split, (_, classes) in splits.items()
    }
    decided += _gaps(files, names)
    if "train" in files and "validation" not in files:
        files["train"], files["validation"] = hold_out(files["train"], VALIDATION_SHARE)
        decided.append(
            f"no validation folder: a tenth of train is held out by name, "
            f"{len(files['validation'])} of its images"
        )
    return names, {name: files[name] for name in SPLITS if name in files}, left_out


def _classes(tree):
    """Class name -> `Folder`, and the skipped files around and in them."""
    left_out, classes = [*tree.left_out, *_images_outside(tree)], {}
    for folder in tree.folders:
        inside = folder.all_left_out()
        other = inside and not any(item.expected for item in inside)
        if other and not folder.holds_images():
            left_out.append(LeftOut(folder.path, EMPTY, False))
            continue
        if classes.setdefault(_name(folder), folder) is not folder:
            raise DataError(
                f"{tree.path}: class folders must have different names, got "
                f"{_name(folder)!r} in two spellings of Unicode. Rename one."
            )
        left_out += inside
    return dict(sorted(classes.items())), left_out


def _check_split(tree, folder, split, splits):
    if not _has_classes(folder):
        raise DataError(
            f"{folder.path}: must hold images in class folders, got none"
            f"{_unread(folder)}. Fill it, or remove it."
        )
    if split in splits:
        both = f"{splits[split][0]!r} and {folder.name!r}"
        raise DataError(
            f"{tree.path}: must have one {split} folder, got both {both}. Remove one."
        )


def _twice_named(folder):
    """The inner folder of train/train/CLASS, as some archives have it."""
    while len(folder.folders) == 1 and not folder.images:
        (inner,) = folder.folders
        if inner.name.casefold() != folder.name.casefold() or not _has_classes(inner):
            break
        inner.left_out += folder.left_out
        folder = inner
    return folder


def _images_outside(folder):
    return [LeftOut(path, STRAY, True) for path in folder.images]


def _name(folder):
    """A class name; macOS writes an "ö" as two letters, others as one."""
    return unicodedata.normalize("NFC", folder.name)


def _gaps(files, names):
    """Classes that are missing in one split only."""
    for split, rows in files.items():
        seen = {label for _, label in rows}
        empty = [name for label, name in enumerate(names) if label not in seen]
        if empty and split != "train":
            shown = ", ".join(map(repr, empty[:SHOWN]))
            yield f"{split} has no images of {len(empty)} of the classes: {shown}"


def _likenesses(names):
    """Class names that differ in case or spaces alone, or are numbers."""
    alike = collections.defaultdict(list)
    for name in names:
        alike[" ".join(name.casefold().replace("_", " ").split())].append(name)
    for group in alike.values():
        if len(group) > 1:
            yield f"classes of almost the same name: {', '.join(map(repr, group))}"
    if all(name.isdecimal() for name in names) and names != tuple(
        sorted(names, key=int)
    ):
        shown = ", ".join(names[:SHOWN])
        yield f"classes are numbered in the order of their names as text: {shown}..."


def _class_folders(tree, whole, decided):
    """(class names, split -> rows, skipped files) of class folders."""
    _refuse_splits_without_classes(tree)
    classes, left_out = _classes(tree)
    names = tuple(classes)
    _check_count(tree.path, names, tree.images)
    images = [folder.all_images() for folder in classes.values()]
    rows = [(path, k) for k, paths in enumerate(images) for path in paths]
    if whole:
        return names, {"all": rows}, left_out
    for folder, paths in zip(classes.values(), images, strict=True):
        _check_enough(folder, len(paths))
    files = _shares(rows)
    counts = ", ".join(f"{split} {len(files[split])}" for split in SPLITS)
    decided.append(
        "no split folders: of each class a fifth is test and a tenth validation, by "
        f"name ({counts} images); split='all' is every image"
    )
    return names, files, left_out


def _refuse_splits_without_classes(tree):
    """Refuse "train" and "test" folders without class folders."""
    full = [folder for folder in tree.folders if folder.images]
    if len(full) > 1 and all(split_of(folder.name) for folder in full):
        names = ", ".join(f"{folder.name}/" for folder in full)
        raise DataError(
            f"{tree.path}: splits must hold one folder per class, got {names} with "
            "images alone. Sort the images into folders named after the classes, such "
            f"as {full[0].name}/cat/."
        )


def _shares(rows):
    """Split rows that have no split yet: split -> rows."""
    rest, test = hold_out(rows, TEST_SHARE)
    share = VALIDATION_SHARE * len(rows) / len(rest)
    train, validation = hold_out(rest, share)
    return {"train": train, "validation": validation, "test": test}


def _check_enough(folder, count):
    if count < LEAST:
        raise DataError(
            f"{folder.path}: needs {LEAST} images or more, one each for training, "
            f"validation and test, got {count}{_unread(folder)}. Add images, remove "
            "the folder, or evaluate with split='all'."
        )


def _unread(folder):
    """Skipped images, for a message."""
    items = [item for item in folder.all_left_out() if item.expected]
    if not items:
        return f" ending in {' '.join(sorted(image_files.SUFFIXES))}"
    notes = image_files.notes_of(items, folder.path)
    return f" ({'; '.join(notes)})"


def _check_count(root, names, images=()):
    if not names:
        loose = f" and {len(images)} images outside of folders" if images else ""
        raise DataError(
            f"{root}: must hold one folder per class, or train/, val/ and test/ with "
            f"class folders, got no folders{loose}. Sort the images into folders named "
            "after the classes."
        )
    if len(names) == 1:
        raise DataError(
            f"{root}: must hold two classes or more, got only {names[0]!r}. "
            "Add a folder for another class."
        )


def hold_out(rows, share):
    """Hold out a share of each class: (kept, held), both in their old order.

    Args:
        rows: list of (path, label). share: 0..1.
    """
    classes, held = collections.defaultdict(list), set()
    for path, label in rows:
        classes[label].append(path)
    for paths in classes.values():
        count = max(round(share * len(paths)), min(1, len(paths) - 1))
        held.update(sorted(paths, key=_digest)[:count])
    kept = [row for row in rows if row[0] not in held]
    return kept, [row for row in rows if row[0] in held]


def _digest(path):
    return hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest()
