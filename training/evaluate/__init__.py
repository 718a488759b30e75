"""Scores of a trained model on data it has not seen."""

from keras_vit.training.evaluate.top1 import top_k

__all__ = ["top_k"]
