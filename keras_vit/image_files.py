"""Image files of a folder, and the files that are skipped.

One reader for training, evaluation, calibration and verification: what it does not
take, it tells.
"""

import dataclasses
import os
import pathlib

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .pjpeg .pjp .png .apng .bmp .dib .gif .webp .tif .tiff "
    ".avif .ppm .pgm .pbm .pnm".split()
)
# Pictures by their names that are not read; more are told by their first bytes.
FOREIGN = frozenset(
    ".heic .heif .jxl .jp2 .j2k .svg .psd .tga .ico .dng .cr2 .cr3 .nef .arw .orf .rw2 "
    ".raf .raw .exr .hdr .dcm .pdf .mp4 .mov".split()
)
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*", b"BM")
# What systems and programs put beside images, in lower case; names with a dot too.
LITTER = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "__macosx",
        "__pycache__",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)
LINKS = 3  # folders that are links, one in another
SHOWN = 3  # names in a note

HIDDEN = "hidden, or put there by a system"
NOWHERE = "a link that leads nowhere"
LOOP = "a link into a folder around it, or a link in links"
NO_FILE = "neither a file nor a folder"
UNSPEAKABLE = "a name that is not UTF-8"
DISGUISED = "an image by its content, but not by its name"


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """One skipped file or folder, with its reason.

    Args:
        path: of the file or folder.
        reason: a few words, the same for all that are alike.
        expected: whether somebody may have counted on it, as on every image.
        count: of images in it, where it is a folder.
    """

    path: pathlib.Path
    reason: str
    expected: bool
    count: int = 1


@dataclasses.dataclass
class Folder:
    """A scanned folder with its subfolders.

    Args:
        path: of it. images: its own, sorted. folders: `Folder`s in it, sorted.
        left_out: list of `LeftOut`, of its own.
    """

    path: pathlib.Path
    images: list = dataclasses.field(default_factory=list)
    folders: list = dataclasses.field(default_factory=list)
    left_out: list = dataclasses.field(default_factory=list)

    @property
    def name(self):
        """Name of the folder, without its path."""
        return self.path.name

    def all_folders(self):
        """This folder and all folders below."""
        folders, waiting = [], [self]
        while waiting:
            folders.append(waiting.pop())
            waiting += reversed(folders[-1].folders)
        return folders

    def all_images(self):
        """Paths of all images in this folder and below, sorted."""
        return sorted(path for folder in self.all_folders() for path in folder.images)

    def all_left_out(self):
        """Skipped entries in this folder and below."""
        return [item for folder in self.all_folders() for item in folder.left_out]

    def holds_images(self):
        """Whether there is any image in this folder or below."""
        return any(folder.images for folder in self.all_folders())


def look_through(path):
    """Scan a folder by file names alone; links are followed, loops are not.

    Args:
        path: folder.

    Returns:
        `Folder`.

    Raises:
        NotADirectoryError: when there is no such folder.
        PermissionError: for a folder that may not be read.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise NotADirectoryError(
            f"{path}: must be a folder of images, but there is no such folder. "
            "Check the path."
        )
    top = Folder(root)
    waiting = [(top, (_identity(root),), 0)]
    while waiting:
        folder, above, links = waiting.pop()
        with os.scandir(folder.path) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
        for entry in entries:
            below = _sort_in(folder, entry, above, links)
            if below is not None:
                waiting.append(below)
    return top


def _sort_in(folder, entry, above, links):
    """File one directory entry; returns subfolders to scan later."""
    path = folder.path / entry.name
    reason = _refused(entry)
    if reason is not None:
        expected = reason in (NOWHERE, NO_FILE, UNSPEAKABLE) and _is_named_image(path)
        folder.left_out.append(LeftOut(path, reason, expected))
    elif entry.is_dir():
        links += entry.is_symlink()
        identity = _identity(path)
        if identity in above or links > LINKS:
            folder.left_out.append(LeftOut(path, LOOP, False))
            return None
        folder.folders.append(Folder(path))
        return folder.folders[-1], (*above, identity), links
    elif _is_named_image(path):
        folder.images.append(path)
    else:
        folder.left_out.append(_other(path))
    return None


def _refused(entry):
    """Reason to skip an entry, or None."""
    name = entry.name.lower()
    if name.startswith(".") or name in LITTER:
        return HIDDEN
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return UNSPEAKABLE
    if entry.is_dir() or entry.is_file():
        return None
    return NOWHERE if entry.is_symlink() else NO_FILE


def _other(path):
    """Record a file whose suffix is not an image's."""
    ending = path.suffix.lower()
    if ending in FOREIGN:
        return LeftOut(path, f"{ending} files are not read", True)
    try:
        with open(path, "rb") as file:
            disguised = file.read(8).startswith(STARTS)
    except OSError:
        disguised = False
    if disguised:
        return LeftOut(path, DISGUISED, True)
    return LeftOut(path, f"no images: {ending or 'files without ending'}", False)


def _is_named_image(path):
    return path.suffix.lower() in SUFFIXES


def _identity(path):
    facts = os.stat(path)
    return facts.st_dev, facts.st_ino


def notes_of(left_out, root):
    """One note per reason for skipped files: how many, and the first names.

    Args:
        left_out: list of `LeftOut`. root: folder that names are shown from.

    Returns:
        List of sentences, what somebody may have counted on first.
    """
    groups = {}
    for item in sorted(left_out, key=lambda item: not item.expected):
        groups.setdefault(item.reason, []).append(item)
    return [f"left out, {why}: {listed(group, root)}" for why, group in groups.items()]


def listed(items, root):
    """How many names, and the first of them.

    Args:
        items: list of `LeftOut`. root: folder that names are shown from.
    """
    shown = ", ".join(shown_name(item.path, root) for item in items[:SHOWN])
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    inside = sum(item.count for item in items)
    images = f" ({inside} images)" if inside != len(items) else ""
    return f"{len(items)}{images}, {shown}{more}"


def shown_name(path, root):
    """Printable path relative to a folder.

    >>> shown_name(pathlib.PurePath("/data/a/1.jpg"), "/data")
    'a/1.jpg'
    """
    path = pathlib.PurePath(path)
    if path.is_relative_to(root):
        path = path.relative_to(root)
    return path.as_posix().encode("utf-8", "backslashreplace").decode()
