"""Scores of a trained model on data it has not seen."""

from keras_vit.training.evaluate.features import encoder, features
from keras_vit.training.evaluate.fewshot import few_shot, least_squares
from keras_vit.training.evaluate.neighbours import knn
from keras_vit.training.evaluate.probe import linear_probe
from keras_vit.training.evaluate.top1 import top_k

__all__ = [
    "encoder",
    "features",
    "few_shot",
    "knn",
    "least_squares",
    "linear_probe",
    "top_k",
]
