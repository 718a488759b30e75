"""Data sets and input pipelines: where images come from, how they become batches."""

from keras_vit.training.data.class_names import class_names, image_names
from keras_vit.training.data.info import DataInfo
from keras_vit.training.data.pipeline import load_data, load_split

__all__ = ["DataInfo", "class_names", "image_names", "load_data", "load_split"]
