"""Text in pictures, with a font that has the letters of any alphabet.

All pictures that Pillow draws write through this file. A letter that no font has is
written as its number, such as \\u5e3d, and `undrawable` says so.
"""

import functools
import importlib.util
import os
import pathlib
import sys
import unicodedata

FONTS = (".ttf", ".otf", ".ttc")
MOST = 400  # fonts of a system that are tried
# Parts of names of fonts with many letters, best first.
LIKELY = ("dejavusans.", "notosanscjk", "notosans-regular", "notosans", "arialunicode")
LIKELY += ("unifont", "pingfang", "hiragino", "msyh", "malgun", "yugoth", "segoeui")
LIKELY += ("wqy", "droidsansfallback", "arial", "liberationsans", "freesans")
BOXES = ("lastresort", "adobeblank")  # fonts that have a box for every letter
NOBODY = "\U0010ffff"  # no font has it


def write(pen, place, text, size, fill="black", anchor="la"):
    """Draw a text.

    Args:
        pen: `PIL.ImageDraw.ImageDraw`. place: (x, y) px. text: one line.
        size: px of the letters. fill, anchor: as Pillow's `text` takes them.
    """
    face, text = _set(text)
    pen.text(place, text, fill, _sized(face, size), anchor=anchor)


def length(text, size):
    """Width of a text in px."""
    face, text = _set(text)
    return _sized(face, size).getlength(text)


def fitted(text, size, width):
    """Shorten a text with dots until it fits a width in px."""
    if length(text, size) <= width:
        return text
    while text and length(f"{text}...", size) > width:
        text = text[:-1]
    return f"{text}..."


def chosen(text):
    """(path of a font, text) as `write` draws it; None for Pillow's default font."""
    return _set(text)


def undrawable(texts):
    """Note on the letters that no installed font has, or None.

    Args:
        texts: that are drawn.
    """
    missing = "".join(sorted({c for text in texts for c in _missing(_shown(text))}))
    if not missing:
        return None
    return (
        f"no font of this machine has {missing[:20]!r}: drawn as numbers. Install one, "
        "such as Noto Sans CJK (fonts-noto-cjk) or matplotlib."
    )


def _shown(text):
    """Normalise a text: composed accents, no control characters."""
    text = unicodedata.normalize("NFC", text)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


@functools.lru_cache(4096)
def _set(text):
    """(font, text) to draw: the first font with all letters, else code points."""
    text = _shown(text)
    missing = _missing(text)
    if missing:
        text = "".join(_number(c) if c in missing else c for c in text)
    return _best(frozenset(text))[0], text


def _number(letter):
    return f"\\u{ord(letter):04x}"


def _missing(text):
    """Letters that the best font for a text lacks."""
    return _best(frozenset(text))[1]


@functools.lru_cache(1024)
def _best(letters):
    """(font, letters it lacks): the font that lacks fewest letters."""
    best, least = None, letters
    for face in _faces():
        lacking = letters - _known(face, letters)
        if len(lacking) < len(least):
            best, least = face, lacking
        if not lacking:
            break
    return best, least


def _faces():
    """Candidate fonts: Pillow's own, matplotlib's, those of the system if needed."""
    yield None
    yield from _installed()


@functools.lru_cache(1)
def _installed():
    """Paths of fonts, the most complete first."""
    candidates = []
    for folder in _folders():
        for here, _, names in os.walk(folder):
            paths = (pathlib.Path(here, name) for name in sorted(names))
            fonts = (path for path in paths if path.suffix.lower() in FONTS)
            candidates += [p for p in fonts if not p.name.lower().startswith(BOXES)]

    def rank(path):
        name = path.name.lower()
        places = (k for k, part in enumerate(LIKELY) if name.startswith(part))
        return next(places, len(LIKELY)), "bold" in name or "italic" in name, name

    return tuple(sorted(candidates, key=rank)[:MOST])


def _folders():
    """Font folders of Linux, macOS and Windows, and matplotlib's."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is not None and spec.origin:
        yield pathlib.Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    home = pathlib.Path.home()
    data = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    if sys.platform == "win32":
        yield pathlib.Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"
    elif sys.platform == "darwin":
        yield from (pathlib.Path("/System/Library/Fonts"), home / "Library" / "Fonts")
        yield pathlib.Path("/Library/Fonts")
    else:
        shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        yield from (pathlib.Path(part) / "fonts" for part in shared.split(":"))
        yield from (pathlib.Path(data) / "fonts", home / ".fonts")


@functools.lru_cache(256)
def _sized(face, size):
    """A font of Pillow. face: path, or None for the one that Pillow brings along."""
    from PIL import ImageFont

    if face is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(face), size)


@functools.lru_cache(4096)
def _has(face, letter):
    """Whether a font has a glyph of its own for a letter."""
    font = _sized(face, 16)
    masks = [font.getmask(one) for one in (letter, NOBODY)]
    shapes = [(mask.size, bytes(mask)) for mask in masks]
    return shapes[0] != shapes[1]


def _known(face, letters):
    """The letters that a font has; a damaged font has none."""
    try:
        return frozenset(c for c in letters if c.isspace() or _has(face, c))
    except (OSError, ValueError):
        return frozenset()
