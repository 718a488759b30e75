"""Import hook for a checkout: finds `training/` and `export/` beside the package.

`training/` and `export/` install as `keras_vit.training` and
`keras_vit.export`. In a checkout that is not installed those folders lie beside
`keras_vit/`, and this finder resolves the two names to them. Installed copies
have real folders and never use it.
"""

import importlib.util
import pathlib
import sys

ROOMS = ("training", "export")
PACKAGE = pathlib.Path(__file__).resolve().parent


class CheckoutFinder:
    """Finds `keras_vit.training` and `keras_vit.export` beside the package."""

    def find_spec(self, name, path=None, target=None):
        """The module spec of `training` or `export`, or None for any other name."""
        parent, _, room = name.rpartition(".")
        if parent != "keras_vit" or room not in ROOMS:
            return None
        folder = PACKAGE.parent / room
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def install():
    """Register the finder once, and only in a checkout."""
    in_checkout = any((PACKAGE.parent / r / "__init__.py").is_file() for r in ROOMS)
    if (PACKAGE / "training").is_dir() or not in_checkout:
        return
    if not any(isinstance(finder, CheckoutFinder) for finder in sys.meta_path):
        sys.meta_path.append(CheckoutFinder())
