"""Exception classes of the package; other errors are ValueError or TypeError."""


class KerasViTError(Exception):
    """Base class of the package's exceptions."""


class WeightsMismatch(KerasViTError, ValueError):
    """A checkpoint and a model do not hold the same arrays."""


class CheckpointError(KerasViTError, ValueError):
    """A file is damaged, unsafe, or not in a format that can be read."""


class ExportMismatch(KerasViTError, RuntimeError):
    """An exported file does not give the answers of the Keras model.

    Attributes:
        report: `keras_vit.export.Verification` with all figures, where there is one.
    """

    def __init__(self, message, report=None):
        super().__init__(message)
        self.report = report


class UnsupportedLayer(KerasViTError, ValueError):
    """A layer has no counterpart in the requested file format."""


class DataError(KerasViTError, ValueError):
    """A data set is missing, empty, or holds files that cannot be read."""


class WorkerLost(KerasViTError, RuntimeError):
    """Another process of a training run is gone.

    Attributes:
        worker: its number, or None when it is not known.
    """

    def __init__(self, number, count, worker=None):
        who = "another worker" if worker is None else f"worker {worker}"
        super().__init__(
            f"worker {number} of {count}: needs all the others, but {who} does not "
            "answer any more. Start all workers again with the same command: the run "
            "goes on from its last state."
        )
        self.worker = worker
