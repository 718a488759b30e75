"""`TrainStep`: any Keras model, with a training step that is right on many devices."""

import keras
import tensorflow as tf
from keras import tree

from keras_vit.private_keras import (
    StepOfOurOwn,
    build_from_spec,
    compiled_loss,
    count_loss,
    leave_gradients,
    losses_undivided,
)
from keras_vit.training.engine.accumulation import sum_pieces
from keras_vit.training.engine.cross_replica import gather_rows, share_images
from keras_vit.training.engine.train_step_base import Wrapping
from keras_vit.training.tasks import task_of


class TrainStep(StepOfOurOwn, Wrapping):
    """A model in training, so that several devices do the work of one.

    Stock Keras divides losses where some models do not expect it, clips the gradients
    of each device before they are summed, and cannot run on several machines. Here a
    loss is the mean over the images it is given, whoever wrote it; the gradients of
    all micro-batches on all devices are summed in float32 and divided by their
    number, before the optimiser sees them. Everything that an optimiser
    does, clipping above all, is therefore done to the gradient of the whole batch.

    Weights, seeds and files are those of `inner`; this class is never saved. Another
    loss (distillation) overrides `forward_with_loss`, another way to gradients (SAM)
    `gradients`.

    Args:
        inner: any built `keras.Model`, made under the strategy it is trained with.
            Its own `compute_loss` is used where it has one.
        mode: range of the images that it takes, see `preprocess_input`.
        micro_batch: images of a micro-batch. Those of a device are worked on one after
            another, and gradients are accumulated; None takes all at once.
        xla: whether XLA compiles the gradients.

    Raises:
        ValueError: when `inner` has a `train_step` of its own.
    """

    def __init__(self, inner, mode="none", micro_batch=None, xla=False):
        super().__init__(inner, mode)
        task_of(inner).share_batches(inner, gather_rows, share_images)
        self.micro_batch = micro_batch
        self._piece = tf.function(self.gradients, jit_compile=xla or None)
        self._nested = xla

    def compile(self, optimizer, **options):
        """As `keras.Model.compile`; the optimiser is told not to sum gradients."""
        super().compile(optimizer, jit_compile=False, **options)
        base = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        leave_gradients(base)

    def build_state(self, element_spec):
        """Build the optimiser, the loss and the metrics for the shapes of a batch.

        Args:
            element_spec: of the batches.
        """
        with self.distribute_strategy.scope():
            build_from_spec(self, element_spec)

    def forward_with_loss(self, x, y, sample_weight):
        """Forward pass of one micro-batch: loss () and predictions (b, ...)."""
        answers = self(x, training=True)
        loss = compiled_loss(self, x, y, answers, sample_weight, training=True)
        return loss, answers

    def gradients(self, x, y, sample_weight):
        """Gradients of the loss of one micro-batch.

        Args:
            x, y, sample_weight: of b images; nested tensors or None.

        Returns:
            Gradients of the mean loss, one or None per trainable weight, times the
            scale of the optimiser under float16; and what was seen on the way:
            "loss" (), "answers" (b, ...), and any scalars more.
        """
        with tf.GradientTape() as tape:
            loss, answers = self.forward_with_loss(x, y, sample_weight)
            scaled = self.optimizer.scale_loss(loss)
        found = tape.gradient(scaled, self._weights_in_training())
        # Rows that were looked up come as IndexedSlices, which update rules cannot add.
        whole = [None if g is None else tf.convert_to_tensor(g) for g in found]
        return whole, {"loss": loss, "answers": answers}

    def _weights_in_training(self):
        return [v.value for v in self.trainable_weights]

    def train_step(self, data):
        """One training step: gradients of all devices, one update of the weights."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        x = self.preprocess_inputs(x)
        size = tree.flatten(x)[0].shape[0]
        count = size // self.micro_batch if self.micro_batch else 1
        if count > 1:
            found, seen = sum_pieces(self._piece, (x, y, sample_weight), count)
        elif self._nested:
            found, seen = self._piece(x, y, sample_weight)
        else:
            found, seen = self.gradients(x, y, sample_weight)
        self.update(found, count)
        return self._count(x, y, sample_weight, seen)

    def update(self, found, count):
        """Mean of the gradients over devices and micro-batches, and the update."""
        replicas = self.distribute_strategy.num_replicas_in_sync
        places = [k for k, gradient in enumerate(found) if gradient is not None]
        summed = [found[k] for k in places]
        if replicas > 1:
            context = tf.distribute.get_replica_context()
            summed = context.all_reduce(tf.distribute.ReduceOp.SUM, summed)
        pieces = replicas * count
        mean = list(found)
        for k, gradient in zip(places, summed, strict=True):
            mean[k] = gradient if pieces == 1 else gradient / pieces
        self.optimizer.apply_gradients(zip(mean, self.trainable_weights, strict=True))

    def _count(self, x, y, sample_weight, seen):
        """Update the loss and the metrics: their names and values."""
        size = tf.shape(tree.flatten(x)[0])[0]
        # A device may have no image of a short last batch, and so no mean.
        loss = tf.where(size > 0, tf.reduce_sum(seen["loss"]), 0.0)
        count_loss(self, loss, size)
        return self.compute_metrics(x, y, seen["answers"], sample_weight)

    def test_step(self, data):
        """Loss and metrics of the images of this device, without an update."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        answers = self(x, training=False)
        loss = compiled_loss(self, x, y, answers, sample_weight, training=False)
        return self._count(x, y, sample_weight, {"loss": loss, "answers": answers})

    def make_step(self, step):
        """A function of an iterator that does `steps_per_execution` steps.

        Keras' own takes the sum of what workers say for a mean, and its loop cannot
        be built for several devices.
        """
        strategy = self.distribute_strategy

        def one(data):
            with losses_undivided():
                logs = strategy.run(step, args=(data,))
            mean = tf.distribute.ReduceOp.MEAN
            return tree.map_structure(
                lambda value: strategy.reduce(mean, value, axis=None), logs
            )

        one_compiled = tf.function(one, reduce_retracing=True, autograph=False)

        def several(iterator):
            def another(done):
                one_compiled(iterator.get_next())
                return done + 1

            before = self.steps_per_execution - 1
            tf.while_loop(lambda done: done < before, another, [0])
            return one_compiled(iterator.get_next())

        if step == self.train_step and self.steps_per_execution > 1:
            return tf.function(several, autograph=False)

        def in_turn(iterator):
            logs = one_compiled(next(iterator))
            for _ in range(self.steps_per_execution - 1):
                try:
                    logs = one_compiled(next(iterator))
                except (StopIteration, tf.errors.OutOfRangeError):
                    break
            return logs

        return in_turn
