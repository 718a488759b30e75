"""Logs of a run: learning rate, history as a CSV table, TensorBoard."""

import csv
import math

import keras
import tensorflow as tf

from keras_vit import files
from keras_vit.preprocess import to_pixels
from keras_vit.training.checkpoint.retry_write import Patience

IMAGES = 16  # of the first batch, for TensorBoard
POINTS = 100  # of a curve per epoch, at most


class LogLearningRate(keras.callbacks.Callback):
    """Put the learning rate at the end of the epoch beside the other numbers."""

    def on_epoch_end(self, epoch, logs=None):
        """Add it to `logs`; must stand before what writes them."""
        rate = self.model.optimizer.learning_rate
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))


class WriteHistory(keras.callbacks.Callback):
    """Keep the metrics of each epoch; write all of them, a row per epoch.

    Args:
        path: of the CSV file. past: name -> list of numbers, of the epochs before.
    """

    def __init__(self, path, past):
        super().__init__()
        self.path = path
        self.numbers = {name: list(values) for name, values in past.items()}
        self.patience = Patience("the history")

    def on_epoch_end(self, epoch, logs=None):
        """Add a row; on a full disk it waits for the next.

        A number that this epoch or those before do not have is NaN in their rows.
        """
        rows = max(map(len, self.numbers.values()), default=0)
        for name in dict.fromkeys([*self.numbers, *logs]):
            column = self.numbers.setdefault(name, [math.nan] * rows)
            column.append(float(logs.get(name, math.nan)))
        self.patience.attempt(self.write)

    def write(self):
        """Write the file, whole or not at all."""
        names = sorted(self.numbers)
        rows = zip(*(self.numbers[name] for name in names), strict=True)
        with files.replacing(self.path, overwrite=True) as partial:
            with open(partial, "w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["epoch", *names])
                writer.writerows([k, *row] for k, row in enumerate(rows, 1))


class WriteTensorBoard(keras.callbacks.Callback):
    """TensorBoard event files: a curve per metric, and the first images of the model.

    Tags of epochs are those of Keras' own callback; "step/..." is what happens within
    one.

    Args:
        folder: for the event files. progress: `ShowProgress`, for the pace.
        batches: training batches, of which the first is shown, or None when it was.
        preprocessing: `keras_vit.Preprocessing` that they went through.
    """

    def __init__(self, folder, progress, batches, preprocessing):
        super().__init__()
        self.folder, self.progress = folder, progress
        self.batches, self.preprocessing = batches, preprocessing
        self.patience = Patience("event files")
        self._epoch = 0

    def on_train_begin(self, logs=None):
        """Open the files; show the images."""
        writer = tf.summary.create_file_writer
        self._train = writer(str(self.folder / "train"))
        self._validation = writer(str(self.folder / "validation"))
        if self.batches is not None:
            images = next(iter(self.batches))[0][:IMAGES]
            if images.shape.rank == 5:  # two views beside each other
                images = tf.concat(tf.unstack(images, axis=1), axis=2)
            if images.dtype != tf.uint8:
                images = to_pixels(images, self.preprocessing.range)
            with self._train.as_default():
                tf.summary.image("images", images, 0, max_outputs=IMAGES)

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """A point of the curves within the epoch."""
        steps, step = self.params["steps"], batch + 1
        if step * POINTS // steps == batch * POINTS // steps:
            return
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        found = {**logs, "learning_rate": float(rate)}
        if self.progress.images_per_second is not None:
            found["images_per_second"] = self.progress.images_per_second
        self._write(self._train, found, "step/", self._epoch * steps + step)

    def on_epoch_end(self, epoch, logs=None):
        """A point of the curves over epochs."""
        for writer, is_validation in ((self._train, False), (self._validation, True)):
            found = {
                name.removeprefix("val_"): value
                for name, value in logs.items()
                if name.startswith("val_") == is_validation
            }
            self._write(writer, found, "epoch_", epoch)

    def _write(self, writer, found, prefix, step):
        def write():
            with writer.as_default():
                for name, value in found.items():
                    tf.summary.scalar(prefix + name, value, step)
            writer.flush()

        self.patience.attempt(write)

    def on_train_end(self, logs=None):
        """Close the files."""
        for writer in (self._train, self._validation):
            self.patience.attempt(writer.close)
