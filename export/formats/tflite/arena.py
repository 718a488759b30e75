"""Arena size of tflite-micro, measured and stored in the file's metadata."""

from keras_vit.export.formats.tflite.assembly import assemble
from keras_vit.export.processors import tflite_micro
from keras_vit.export.runtime import tflite_file

MISSING = (
    "memory on a microcontroller (tflite-micro's arena) not measured: keras-vit "
    "processors --install tflite-micro"
)


def notes_of(file, recipe):
    """Notes on a file's arena size, measured or not.

    Args:
        file: `.tflite` file. recipe: its `QuantizationRecipe`, or None.

    Returns:
        {name: bytes} for the file's metadata, and sentences for whoever wrote it.
    """
    if recipe is None or not recipe.for_microcontrollers:
        return {}, ()
    try:
        arena_bytes = tflite_micro.arena_bytes(file)
    except (OSError, TimeoutError) as err:
        return {}, (str(err),)
    if arena_bytes is None:
        return {}, (MISSING,)
    return {tflite_file.ARENA: str(arena_bytes).encode()}, ()


def assemble_measured(recipe, file, *parts):
    """Assemble the final file, with its measured arena size in the metadata.

    Args:
        recipe: as in `notes_of`. file, *parts: as in `assembly.assemble`.

    Returns:
        Sentences for whoever wrote it.
    """
    assemble(file, *parts)
    noted, told = notes_of(file, recipe)
    if noted:
        assemble(file, *parts, noted)
    return told
