"""The label table: which class each image file of a folder has."""

import csv
import io
import pathlib
import re

from keras_vit.choices import check_choice
from keras_vit.classes import matches
from keras_vit.image_files import SUFFIXES

FILES = ("file", "filename", "file name", "image", "path", "filepath", "name", "id")
FILES += ("image id", "image name", "img", "image path", "file path", "file id")
CLASSES = ("class", "label", "labels", "category", "target", "class name", "species")
CLASSES += ("class id", "label id", "breed", "y", "classes", "diagnosis")
MARKS = {  # the first bytes, longest first
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
SEPARATORS = ",;\t|"
ENDINGS = "|".join(re.escape(end) for end in sorted(SUFFIXES, key=len, reverse=True))
BLANK = re.compile(rf"(.*?(?:{ENDINGS}))\s+(.*)", re.IGNORECASE)  # "a b.png 3"
WHOLE = re.compile(r"\d+(\.0*)?")  # pandas writes 3 as 3.0 where one is missing
SHOWN = 3  # names in a message


def read_table(path, folder, names=(), classes=None, on_missing="refuse"):
    """Read `file name,class` lines, all checked before an image is read.

    Commas, semicolons, tabs, bars, or a blank behind the file; UTF-8 or UTF-16, with or
    without a byte order mark; with or without a heading. Of more than two columns a
    heading says which. File names may lack their ending or differ in case where only
    one file fits, and may begin with the folder's own name.

    Args:
        path: of the table. folder: that its file names are relative to.
        names: of the model's classes. classes: how many it has, or None.
        on_missing: "refuse" or "skip" rows whose image is not there.

    Returns:
        List of (path, class), and a list of sentences on what was left out.

    Raises:
        FileNotFoundError: without the table, or for images that are not there.
        ValueError: for a table or a class that cannot be.
    """
    check_choice("on_missing", on_missing, ("refuse", "skip"))
    path, folder = pathlib.Path(path).expanduser(), pathlib.Path(folder)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such table of labels. Check the path.")
    find, notes = _Finder(folder), []
    rows = _pairs(path, _cells(path), find, names, notes)
    if not rows:
        raise ValueError(f"{path}: must hold lines `file name,class`, got none.")
    pairs = [(find(name), name, label) for name, label in rows]
    missing = [name for file, name, _ in pairs if file is None]
    _check_missing(path, folder, missing, len(pairs), on_missing, notes)
    pairs = [(file, name, label) for file, name, label in pairs if file is not None]
    numbers = _numbers(path, pairs, names, classes)
    class_of = {}
    for (file, name, label), number in zip(pairs, numbers, strict=True):
        if class_of.setdefault(file, number) != number:
            raise ValueError(
                f"{path}: must give each image one class, got {label!r} for {name}, "
                f"which has class {class_of[file]} in another line. Remove one."
            )
    notes += _uncounted(path, folder, class_of, len(pairs))
    return list(class_of.items()), notes


def _cells(path):
    """Read rows of cells, without empty rows."""
    raw = path.read_bytes()
    encoding = next(
        (name for mark, name in MARKS.items() if raw.startswith(mark)), None
    )
    if encoding is None:  # UTF-16 without its mark has a zero in every other byte
        sample = raw[:200]
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        zeros = max(even, odd) * 3 > len(sample)
        encoding = ("utf-16-be" if even > odd else "utf-16-le") if zeros else "utf-8"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as err:
        raise ValueError(
            f"{path}: must be text in UTF-8 or UTF-16, got a bad byte at {err.start}"
            ". Save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from err
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    separator = max(SEPARATORS, key=first.count)
    blank = separator not in first and all(map(BLANK.fullmatch, lines))
    if blank:
        return [list(BLANK.fullmatch(line.strip()).groups()) for line in lines]
    table = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
    return [_trimmed([cell.strip() for cell in row]) for row in table]


def _trimmed(row):
    """Drop the empty cells after separators at the end of a line."""
    while len(row) > 2 and not row[-1]:
        row = row[:-1]
    return row


def _pairs(path, cells, find, names, notes):
    """(file name, class) of each row; a heading is recognised by its words."""
    if not cells:
        return []
    cell_words = [cell.casefold().replace("_", " ") for cell in cells[0]]
    heading = find(cells[0][0]) is None and _is_heading(cell_words, cells, find, names)
    columns = _columns(cell_words) if heading else None
    if heading:
        notes.append(f"{path.name}: the first line is a heading, {', '.join(cells[0])}")
    if columns is None and heading and len(cell_words) != 2:
        raise ValueError(
            f"{path}: must say in its heading which column is the file and which the "
            f"class, got {', '.join(cells[0])}. Call them file and class."
        )
    return [_pair(path, row, columns, find) for row in cells[heading:]]


def _is_heading(heading, cells, find, names):
    """Whether the first line, whose file does not exist, names columns."""
    first, second = cells[0], cells[1] if len(cells) > 1 else [""]
    numbered = any(cell.isdecimal() for cell in first[1:])
    if numbered or any(_is_named_image(cell) for cell in first):
        return False
    if any(word in FILES or word in CLASSES for word in heading):
        return True
    follows = any(_is_named_image(cell) for cell in second) or find(second[0])
    return bool(follows) and not matches([first[-1]], names or ())[0]


def _is_named_image(cell):
    return pathlib.PurePath(cell).suffix.lower() in SUFFIXES


def _columns(heading):
    """(column of the file, column of the class), where the heading names them."""
    file = next((heading.index(word) for word in FILES if word in heading), None)
    kind = next((heading.index(word) for word in CLASSES if word in heading), None)
    return None if file is None or kind is None or file == kind else (file, kind)


def _pair(path, row, columns, find):
    if columns is not None and len(row) > max(columns):
        return row[columns[0]], row[columns[1]]
    if len(row) == 2:
        return tuple(row)
    if len(row) > 2:  # commas that nobody put in quotes
        for cut in range(len(row) - 1, 0, -1):
            if find(",".join(row[:cut])) is not None:
                return ",".join(row[:cut]), ", ".join(row[cut:])
    raise ValueError(
        f"{path}: every line must be `file name,class`, got {len(row)} columns in "
        f"{','.join(row)!r}. Leave two, or name the columns file and class."
    )


class _Finder:
    """Finds the file of a name, with or without its suffix."""

    def __init__(self, folder):
        self._folder, self._known, self._names = folder, {}, {}

    def __call__(self, name):
        """The path, or None where no file or several match."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name):
        name = name.replace("\\", "/")
        file = self._folder / name
        if not name or file.is_file():
            return file if name else None
        first, _, rest = name.partition("/")
        if rest and first == self._folder.name and (self._folder / rest).is_file():
            return self._folder / rest
        if _is_named_image(name):
            return self._in_other_case(file)
        beside = [file.with_name(file.name + end) for end in sorted(SUFFIXES)]
        beside += [file.with_name(file.name + end.upper()) for end in sorted(SUFFIXES)]
        there = [path for path in beside if path.is_file()]
        return there[0] if len(there) == 1 else None

    def _in_other_case(self, file):
        """The only file whose name differs in case alone, or None."""
        if file.parent not in self._names:
            there = sorted(file.parent.iterdir()) if file.parent.is_dir() else []
            names = self._names[file.parent] = {}
            for path in there:
                names.setdefault(path.name.casefold(), []).append(path)
        found = self._names[file.parent].get(file.name.casefold(), [])
        return found[0] if len(found) == 1 else None


def _check_missing(path, folder, missing, count, on_missing, notes):
    if not missing:
        return
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    said = f"{len(missing)} of {count} that are not in {folder}: "
    said += ", ".join(missing[:SHOWN]) + more
    if on_missing == "refuse" or len(missing) == count:
        skip = "" if len(missing) == count else ", or skip them (on_missing='skip')"
        raise FileNotFoundError(
            f"{path}: the images named in it must be there, got {said}. Correct the "
            f"table or the folder{skip}."
        )
    notes.append(f"{path.name}: left out, images {said}")


def _numbers(path, pairs, names, classes):
    """Convert the class of each row to an output index of the model."""
    found = matches([label for *_, label in pairs], names or ())
    numbers = []
    for (_, name, label), numbered in zip(pairs, found, strict=True):
        if len(numbered) == 1:
            numbers.append(numbered[0])
        elif WHOLE.fullmatch(label):
            numbers.append(int(label.partition(".")[0]))
        else:
            raise ValueError(
                f"{path}: every class must be an index or a name of the model, got "
                f"{label!r} for {name}. Correct the table."
            )
    if classes is not None and max(numbers) >= classes:
        hint = ""
        if max(numbers) == classes and min(numbers) > 0:
            hint = f" They seem to be counted from 1: write 0 to {classes - 1}."
        raise ValueError(
            f"{path}: classes must be from 0 to {classes - 1}, got {max(numbers)}."
            f"{hint or ' Correct the table.'}"
        )
    return numbers


def _uncounted(path, folder, table, rows):
    """Note the files that the table names twice."""
    if len(table) < rows:
        yield f"{path.name}: {rows - len(table)} lines name an image again"
