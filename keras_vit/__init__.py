"""Vision Transformers in Keras, from images to a verified model on a phone.

A program that imports the package has all of it at once: `keras.saving.load_model`
then knows every class. The command `keras-vit` imports each name when it is first
asked for: `keras-vit --help` needs no Keras.
"""

import importlib
from typing import TYPE_CHECKING

from keras_vit import _checkout, _command, variants

if TYPE_CHECKING:  # what `__getattr__` finds, for editors and type checkers
    from keras_vit import introspect, layers, models
    from keras_vit.models.image_gpt import (
        ImageGPT,
        ImageGPT_L,
        ImageGPT_M,
        ImageGPT_S,
    )
    from keras_vit.models.mae import MaskedAutoencoder
    from keras_vit.models.masked_patch import MaskedPatchPrediction
    from keras_vit.models.moco_v3 import MoCoV3
    from keras_vit.models.named import create
    from keras_vit.models.pretraining import classifier_from
    from keras_vit.models.simclr import SimCLR
    from keras_vit.models.vit import VisionTransformer, feature_extractor
    from keras_vit.preprocess import (
        Preprocessing,
        decode_predictions,
        preprocess_input,
    )
    from keras_vit.variants import list_models
    from keras_vit.weights import (
        from_checkpoint,
        list_checkpoints,
        save_checkpoint,
    )

__version__ = "0.1.0"
__all__ = [
    "ImageGPT",
    "ImageGPT_L",
    "ImageGPT_M",
    "ImageGPT_S",
    "MaskedAutoencoder",
    "MaskedPatchPrediction",
    "MoCoV3",
    "Preprocessing",
    "SimCLR",
    "VisionTransformer",
    "classifier_from",
    "create",
    "decode_predictions",
    "feature_extractor",
    "from_checkpoint",
    "introspect",
    "layers",
    "list_checkpoints",
    "list_models",
    "models",
    "preprocess_input",
    "save_checkpoint",
    *variants.FUNCTIONS,
]
# module -> public names that stand in it; the others are modules, or named models.
_HOMES = {
    "models.image_gpt": ("ImageGPT", "ImageGPT_L", "ImageGPT_M", "ImageGPT_S"),
    "models.mae": ("MaskedAutoencoder",),
    "models.masked_patch": ("MaskedPatchPrediction",),
    "models.moco_v3": ("MoCoV3",),
    "models.named": ("create", *variants.FUNCTIONS),
    "models.pretraining": ("classifier_from",),
    "models.simclr": ("SimCLR",),
    "models.vit": ("VisionTransformer", "feature_extractor"),
    "preprocess": ("Preprocessing", "decode_predictions", "preprocess_input"),
    "variants": ("list_models",),
    "weights": ("from_checkpoint", "list_checkpoints", "save_checkpoint"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name):
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'keras_vit' has no attribute {name!r}")
    module = importlib.import_module(f"keras_vit.{_HOME.get(name, name)}")
    value = getattr(module, name) if name in _HOME else module
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


_checkout.install()
if _command.is_command():
    _command.start_quietly()
else:
    for _name in __all__:
        __getattr__(_name)
