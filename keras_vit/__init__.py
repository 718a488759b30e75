"""Vision Transformers in Keras, from images to a verified model on a phone.

A program that imports the package has all of it at once: `keras.saving.load_model`
then knows every class. The command `keras-vit` imports each name when it is first
asked for: `keras-vit --help` needs no Keras.
"""

import importlib
from typing import TYPE_CHECKING

from keras_vit import _checkout, _command, variants

if TYPE_CHECKING:  # what `_imported` finds, for editors and type checkers
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
    from keras_vit.models.named import (
        R26_B32,
        R26_S32,
        R50_B16,
        R50_L32,
        BiT_R50x1,
        BiT_R50x3,
        BiT_R101x1,
        BiT_R101x3,
        BiT_R152x2,
        BiT_R152x4,
        DeiT_B16,
        DeiT_S16,
        DeiT_Ti16,
        R_Ti16,
        ViT_B8,
        ViT_B16,
        ViT_B32,
        ViT_G14,
        ViT_g14,
        ViT_H14,
        ViT_L16,
        ViT_L32,
        ViT_S8,
        ViT_S16,
        ViT_S32,
        ViT_Ti16,
        create,
    )
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
    # One for each row of `variants.FUNCTIONS`; a test compares them.
    "ViT_Ti16",
    "ViT_S8",
    "ViT_S16",
    "ViT_S32",
    "ViT_B8",
    "ViT_B16",
    "ViT_B32",
    "ViT_L16",
    "ViT_L32",
    "ViT_H14",
    "ViT_g14",
    "ViT_G14",
    "DeiT_Ti16",
    "DeiT_S16",
    "DeiT_B16",
    "R_Ti16",
    "R26_S32",
    "R26_B32",
    "R50_B16",
    "R50_L32",
    "BiT_R50x1",
    "BiT_R50x3",
    "BiT_R101x1",
    "BiT_R101x3",
    "BiT_R152x2",
    "BiT_R152x4",
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


def _imported(name):
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'keras_vit' has no attribute {name!r}")
    module = importlib.import_module(f"keras_vit.{_HOME.get(name, name)}")
    value = getattr(module, name) if name in _HOME else module
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # to a checker, a misspelt name is an error
    __getattr__ = _imported


def __dir__():
    return sorted({*globals(), *__all__})


_checkout.install()
if _command.is_command():
    _command.start_quietly()
else:
    for _name in __all__:
        _imported(_name)
