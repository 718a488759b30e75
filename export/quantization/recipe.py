"""The record of one quantization recipe."""

import dataclasses
from collections.abc import Callable

# Inputs of a recipe besides the float32 file.
NOTHING, RANGES, IMAGES = "nothing", "ranges", "images"
# Not a recipe: the choice of one by validation images.
AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class QuantizationRecipe:
    """Everything that depends on the recipe, in one row.

    A format has one table of them, `RECIPES`; a new recipe is a new row there.

    Args:
        name: as the argument `quantization` of the exporters names it.
        apply: function that rounds; called as the format's table says.
        size_share: of its file, about, in sizes of the float32 one; "auto" tries the
            smallest first, `export_all` asks for so much room on disk.
        seconds: of a processor to make it, about: at least, and per million parameters.
        precision: of the weights in its file, a key of
            `keras_vit.export.runtime.precision.PRECISIONS`, which holds how far such a
            file may be off.
        needs: "nothing"; "ranges": calibration images or saved `Ranges`; "images":
            calibration images only.
        image_integers: bits of the integers that the file takes its image in; None
            for files that take float32.
        usual: whether `export_all` makes it when nobody says which.
        tried_by_auto: whether quantization="auto" tries it.
        trainable: whether `quantize_aware` trains for it.
        for_microcontrollers: whether its memory in tflite-micro is measured.
    """

    name: str
    apply: Callable
    size_share: float
    seconds: tuple[float, float]
    precision: str = "int8"
    needs: str = NOTHING
    image_integers: int | None = None
    usual: bool = True
    tried_by_auto: bool = True
    trainable: bool = False
    for_microcontrollers: bool = False

    @property
    def calibrated(self):
        """Whether it needs calibration images, or saved ranges."""
        return self.needs != NOTHING


def table(*recipes):
    """Build the table of recipes by name.

    Args:
        *recipes: `QuantizationRecipe` of one format.

    Returns:
        dict of str -> `QuantizationRecipe`.
    """
    return {recipe.name: recipe for recipe in recipes}


def names(recipes, kept=lambda recipe: True):
    """Names of the recipes of a table that satisfy a condition, in order."""
    return tuple(recipe.name for recipe in recipes.values() if kept(recipe))
