"""Every snippet of the README and the guides runs."""

import pathlib
import re
import shlex

import pytest

from keras_vit import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]


def blocks(page, language):
    """Fenced blocks of a page in one language, in order."""
    text = (ROOT / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")])
def test_python_snippets_run(
    page, small_recipes, converts_once, tmp_path, monkeypatch, capsys
):
    """The Python blocks of a page run one after the other in an empty folder."""
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "snippet"}

    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), scope)


def commands():
    """Each `keras-vit` line of each page."""
    for page in PAGES:
        for block in blocks(page, "(?:sh|bash|console)"):
            for line in block.replace("\\\n", " ").split("\n"):
                line = line.split("#")[0].strip().removeprefix("$ ")
                if line.startswith("keras-vit "):
                    yield page, line


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_commands_parse(page, line):
    """No page shows an option that does not exist."""
    args = cli.parser().parse_args(shlex.split(line)[1:])

    assert callable(args.run)


def test_make_targets_exist():
    """`make demo` and `make test` stand in the README's first screen and exist."""
    head = "\n".join((ROOT / "README.md").read_text().split("\n")[:40])
    makefile = (ROOT / "Makefile").read_text()

    for target in ("demo", "test"):
        assert f"make {target}" in head
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
