"""Vision Transformers in Keras, from images to a verified model on a phone."""

from keras_vit import _checkout, layers, models
from keras_vit.models.named import create
from keras_vit.models.vit import VisionTransformer, feature_extractor
from keras_vit.preprocess import Preprocessing, decode_predictions, preprocess_input
from keras_vit.variants import list_models

_checkout.install()
