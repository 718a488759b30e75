"""How many files one opens to follow a call by hand, from its start to where it works.

    python benchmarks/reading_path.py
    python benchmarks/reading_path.py START END

Read off the syntax, nothing is imported. From a function lead ways to every function,
class and table of the same room (`training/` or `export/`) that its body names; from a
class, to its bases and what its methods name. The *path* is made of all definitions
that lie on a way from start to end, with the helpers beside them in the same file. The
files of a path are those of its definitions, and those of every definition that these
name: who follows the path by hand opens each, to see whether the way goes on there. A
re-export in an `__init__.py` counts as the file that defines the name. Type
annotations, default values and docstrings do not count. A class made from the end is an
end, too.
"""

import ast
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROOMS = ("training", "export")
PATHS = (
    ("training.loop.fit", "training.engine.train_step.TrainStep"),
    (
        "export.formats.tflite.exporter.to_tflite",
        "export.quantization.algorithms.static_int8.static_int8",
    ),
)


def modules():
    """Dotted name -> syntax tree, of all files of the two rooms."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text())
    return found


def imports(tree):
    """Name in a file -> dotted name, of what it imports from the package."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".removeprefix("keras_vit.")
                found[alias.asname or alias.name] = whole
    return found


def definitions(trees):
    """Dotted name -> (module, node) of each function, class and table of a file."""
    found = {}
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[f"{module}.{node.name}"] = module, node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[f"{module}.{node.targets[0].id}"] = module, node
    return found


def dotted(node):
    """`a.b.c` of an expression, or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return before and f"{before}.{node.attr}"
    return None


def bodies(node):
    """What is read of a definition: statements and bases, no annotations."""
    if isinstance(node, ast.Assign):
        return [node.value]
    if isinstance(node, ast.FunctionDef):
        return [*node.body]
    functions = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return [*node.bases, *(line for part in functions for line in part.body)]


class Room:
    """Definitions of the rooms, and what each of them names."""

    def __init__(self):
        self.trees = modules()
        self.known = definitions(self.trees)
        self.tables = {name: imports(tree) for name, tree in self.trees.items()}
        self.named = {name: self._names(name) for name in self.known}

    def _resolve(self, name, seen=()):
        """The definition behind a dotted name, through re-exports, or None."""
        if name in self.known:
            return name
        module, _, last = name.rpartition(".")
        target = self.tables.get(module, {}).get(last)
        if target is None or target in seen:
            return None
        return self._resolve(target, (*seen, target))

    def _names(self, definition):
        module, node = self.known[definition]
        table, found = self.tables[module], set()
        for part in bodies(node):
            for inner in ast.walk(part):
                name = dotted(inner)
                if name is None:
                    continue
                first, _, rest = name.partition(".")
                whole = table.get(first, f"{module}.{first}")
                whole = f"{whole}.{rest}" if rest else whole
                while whole:  # of `a.b.c` the part that is a definition
                    target = self._resolve(whole)
                    if target is not None:
                        found.add(target)
                        break
                    whole = whole.rpartition(".")[0]
        return found - {definition}

    def path(self, start, end):
        """Definitions on the ways from start to end, and all that is read for them."""
        ahead = self._reached(start, self.named)
        back = {name: set() for name in self.known}
        for name, targets in self.named.items():
            for target in targets:
                back[target].add(name)
        between = ahead & self._reached(end, back)
        ends = {end} | {name for name in between if end in self._bases(name)}
        read = between - ends
        beside = {name: self._beside(name) for name in self.known}
        for name in sorted(read):  # helpers in the same file are read along
            read |= self._reached(name, beside) - ends
        named = (self.named[name] for name in read)
        return between, read.union(ends, *named)

    def _beside(self, name):
        """What a definition names in its own file."""
        module = self.known[name][0]
        return {n for n in self.named[name] if self.known[n][0] == module}

    def _bases(self, name):
        """The definitions that a class is made from."""
        module, node = self.known[name]
        names = [dotted(base) for base in getattr(node, "bases", ())]
        table = self.tables[module]
        return {self._resolve(table.get(n, f"{module}.{n}")) for n in names if n}

    def _reached(self, start, edges):
        found, waiting = {start}, [start]
        while waiting:
            for target in edges[waiting.pop()] - found:
                found.add(target)
                waiting.append(target)
        return found


def report(room, start, end):
    """Print the files of a path, and how many they are."""
    between, seen = room.path(start, end)
    if end not in between:
        raise SystemExit(f"no way from {start} to {end}")
    files = {}
    for name in sorted(seen):
        files.setdefault(room.known[name][0], []).append(name)
    way = {room.known[name][0] for name in between}
    print(f"{start} -> {end}: {len(files)} files, {len(way)} of them on the way itself")
    for module, names in files.items():
        short = ", ".join(n.rpartition(".")[2] + "*" * (n in between) for n in names)
        print(f"  {module}: {short}")


if __name__ == "__main__":
    asked = sys.argv[1:]
    for start, end in [tuple(asked)] if asked else PATHS:
        report(Room(), start, end)
