"""Scores of a trained model on data it has not seen."""

from keras_vit.models.feature_extraction import encoder, every_depth, untrained
from keras_vit.training.evaluate.calibration import (
    calibration_bins,
    calibration_error,
)
from keras_vit.training.evaluate.callback import ReportScores
from keras_vit.training.evaluate.comparison import Comparison, compare
from keras_vit.training.evaluate.confusion import confusion_matrix, plot_confusion
from keras_vit.training.evaluate.features import features
from keras_vit.training.evaluate.few_shot import few_shot, least_squares
from keras_vit.training.evaluate.imagenet_real import real, real_labels, real_share
from keras_vit.training.evaluate.knn import knn
from keras_vit.training.evaluate.linear_probe import linear_probe
from keras_vit.training.evaluate.predictions import outcomes
from keras_vit.training.evaluate.pretraining_loss import own_loss
from keras_vit.training.evaluate.probe_depths import (
    DepthCurve,
    depth_probe,
    plot_depths,
)
from keras_vit.training.evaluate.probes import ProbeFeatures, check_kinds, probes
from keras_vit.training.evaluate.report import report
from keras_vit.training.evaluate.top1 import top_k

__all__ = [
    "Comparison",
    "DepthCurve",
    "ProbeFeatures",
    "ReportScores",
    "calibration_bins",
    "calibration_error",
    "check_kinds",
    "compare",
    "confusion_matrix",
    "depth_probe",
    "encoder",
    "every_depth",
    "features",
    "few_shot",
    "knn",
    "least_squares",
    "linear_probe",
    "outcomes",
    "own_loss",
    "plot_confusion",
    "plot_depths",
    "probes",
    "real",
    "real_labels",
    "real_share",
    "report",
    "top_k",
    "untrained",
]
