"""What installs is what stands in the folders."""

import configparser
import pathlib
import re
import shlex
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def setup():
    """setup.cfg, parsed."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def folders():
    """Packages on disk, by their installed names."""
    for top, prefix in (
        ("keras_vit", ""),
        ("training", "keras_vit."),
        ("export", "keras_vit."),
    ):
        for path in (ROOT / top).rglob("__init__.py"):
            yield prefix + ".".join(path.parent.relative_to(ROOT).parts)


def words(text):
    """Lines of a setup.cfg list without comments."""
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def test_listed_packages_are_the_folders(setup):
    """A forgotten sub-package would be missing from the wheel alone."""
    assert set(folders()) == set(words(setup["options"]["packages"]))


def test_rooms_are_mapped(setup):
    """training/ and export/ install below keras_vit."""
    mapping = words(setup["options"]["package_dir"])

    assert ["keras_vit.training = training", "keras_vit.export = export"] == mapping


def test_constraints_name_every_requirement(setup):
    """The exact tested set covers each package that we ask for."""
    pinned = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    pinned = {line.split("==")[0] for line in pinned.split()}
    asked = words(setup["options"]["install_requires"])
    for extra in ("tests", "onnxruntime", "notebooks", "jax"):
        asked += words(setup["options.extras_require"][extra])

    names = {re.split(r"[><=]", line)[0].lower() for line in asked}
    assert set() == names - pinned


def test_what_models_alone_need_is_what_is_asked_for(setup):
    """The README's line for JAX or torch without TensorFlow, bounds included."""
    (line,) = re.findall(
        r'^pip install ("keras>.*)$', (ROOT / "README.md").read_text(), re.M
    )
    *asked, backend = shlex.split(line)

    assert set(asked) <= set(words(setup["options"]["install_requires"]))
    assert backend in setup["options.extras_require"]


def test_versions_agree(setup):
    """The package says the version it is released under."""
    import keras_vit

    assert setup["metadata"]["version"] == keras_vit.__version__
    assert keras_vit.__version__ in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("room", ["training", "export"])
def test_rooms_refuse_their_bare_name(room):
    """`import training` from the checkout would register every class twice."""
    code = f"import sys; sys.path.insert(0, '.'); import {room}"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )

    assert 0 != result.returncode
    assert f"keras_vit.{room}" in result.stderr


@pytest.mark.slow
def test_wheel_works_away_from_the_checkout(tmp_path):
    """A wheel holds all packages and imports where no checkout is."""
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "from keras_vit import training, export; print(training.__file__)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
    )

    assert str(tmp_path) in result.stdout
