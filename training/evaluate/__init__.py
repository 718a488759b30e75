"""Scores of a trained model on data it has not seen."""

from keras_vit.training.evaluate.calibration import (
    calibration_bins,
    calibration_error,
)
from keras_vit.training.evaluate.confusion import confusion_matrix, plot_confusion
from keras_vit.training.evaluate.features import encoder, features
from keras_vit.training.evaluate.fewshot import few_shot, least_squares
from keras_vit.training.evaluate.neighbours import knn
from keras_vit.training.evaluate.outcomes import outcomes
from keras_vit.training.evaluate.probe import linear_probe
from keras_vit.training.evaluate.probes import ProbeFeatures, check_kinds, probes
from keras_vit.training.evaluate.real import real, real_labels, real_share
from keras_vit.training.evaluate.report import report
from keras_vit.training.evaluate.top1 import top_k

__all__ = [
    "ProbeFeatures",
    "calibration_bins",
    "calibration_error",
    "check_kinds",
    "confusion_matrix",
    "encoder",
    "features",
    "few_shot",
    "knn",
    "least_squares",
    "linear_probe",
    "outcomes",
    "plot_confusion",
    "probes",
    "real",
    "real_labels",
    "real_share",
    "report",
    "top_k",
]
