"""Vision Transformers in Keras, from images to a verified model on a phone."""

from keras_vit import _command

_command.start_quietly()

from keras_vit import _checkout, introspect, layers, models  # noqa: E402, I001
from keras_vit.models.image_gpt import (  # noqa: E402
    ImageGPT,
    ImageGPT_L,
    ImageGPT_M,
    ImageGPT_S,
)
from keras_vit.models.mae import MaskedAutoencoder  # noqa: E402
from keras_vit.models.masked_patch import MaskedPatchPrediction  # noqa: E402
from keras_vit.models.moco_v3 import MoCoV3  # noqa: E402
from keras_vit.models.named import FUNCTIONS, create  # noqa: E402
from keras_vit.models.pretraining import classifier_from  # noqa: E402
from keras_vit.models.simclr import SimCLR  # noqa: E402
from keras_vit.models.vit import VisionTransformer, feature_extractor  # noqa: E402
from keras_vit.preprocess import (  # noqa: E402
    Preprocessing,
    decode_predictions,
    preprocess_input,
)
from keras_vit.variants import list_models  # noqa: E402
from keras_vit.weights import (  # noqa: E402
    from_checkpoint,
    list_checkpoints,
    save_checkpoint,
)

_checkout.install()
globals().update(FUNCTIONS)

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
    *FUNCTIONS,
]
