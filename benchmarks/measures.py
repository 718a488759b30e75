"""How large the rooms, files and functions are.

    python benchmarks/measures.py

Prints how many files stand side by side in each folder, the longest files, and
the longest functions. That no import leads in a circle, and that private names stand in
their files, is what `tests/house` tests; `reading_path.py` prints how far one reads.
"""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("keras_vit", "training", "export")
LISTED = 3


def functions(path):
    """(lines, name) of each function of a file, decorators left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            yield lines, f"{path.relative_to(ROOT)}: {node.name}"


def main():
    """Print all of it."""
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*.py")]
    folders = {}
    for path in files:
        if path.name != "__init__.py":
            folders.setdefault(path.parent.relative_to(ROOT), []).append(path)
    for name, inside in sorted(folders.items()):
        print(f"{len(inside):4d} files  {name}/")
    long = [(len(path.read_text().splitlines()), path) for path in files]
    for lines, path in sorted(long, reverse=True)[:LISTED]:
        print(f"{lines:4d} lines  {path.relative_to(ROOT)}")
    found = [pair for path in files for pair in functions(path)]
    for lines, name in sorted(found, reverse=True)[:LISTED]:
        print(f"{lines:4d} lines  {name}")


if __name__ == "__main__":
    main()
