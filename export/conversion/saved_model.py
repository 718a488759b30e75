"""Conversion to a SavedModel: one TensorFlow function per signature."""

import contextlib
import errno
import pathlib

import keras

from keras_vit.export.conversion.decode_ops import decode
from keras_vit.export.io.io_adapter import AdaptedReference
from keras_vit.export.io.io_spec import SERVE
from keras_vit.export.io.labels import LABELS, lines
from keras_vit.ranges import pixel_statistics

# Where TensorFlow leaves room for files of one's own.
EXTRA = "assets.extra"


def write_signatures(adapters, folder, labels=None):
    """Write a SavedModel with one function per signature and named outputs.

    Args:
        adapters: {signature: `AdaptedReference`}. folder: where.
        labels: class names, or None.
    """
    import tensorflow as tf

    module = tf.Module()
    models = {id(f.reference.model): f.reference.model for f in adapters.values()}
    # Keras' own ExportArchive stores every variable twice.
    variables = {
        id(variable): variable.value
        for m in models.values()
        for variable in m.variables
    }
    module.variables_ = list(variables.values())
    served = {name: traceable(adapted) for name, adapted in adapters.items()}
    for index, function in enumerate(served.values()):
        setattr(module, f"serve_{index}", function)
    with disk_errors(folder):
        tf.saved_model.save(module, str(folder), signatures=served)
    if labels is not None:
        extra = pathlib.Path(folder) / EXTRA
        extra.mkdir()
        (extra / LABELS).write_text(lines(labels), encoding="utf-8")


def write_savedmodel(reference, folder):
    """Write a SavedModel of the model alone, with one signature.

    Args:
        reference: `Reference`; its contract says names and batch. folder: where.
    """
    write_signatures({SERVE: AdaptedReference(reference)}, folder)


def traceable(adapted):
    """Make a `tf.function` of an adapter, with a named input and a dict of outputs."""
    import tensorflow as tf

    adapter, model = adapted.adapter, adapted.reference.model
    prepare = preparation(adapter)

    def serve(image):
        answers = keras.tree.flatten(model(prepare(image), training=False))
        if adapter.softmax:
            answers = [tf.nn.softmax(answers[0])]
        if adapter.top is not None:
            answers = tf.math.top_k(answers[0], adapter.top)[::-1]
        names = [tensor.name for tensor in adapter.outputs]
        return dict(zip(names, answers, strict=True))

    image = tf.TensorSpec(
        adapter.image.shape, adapter.image.dtype, name=adapter.image.name
    )
    return tf.function(serve, input_signature=[image], autograph=False)


def preparation(adapter):
    """Make a TensorFlow function that preprocesses an adapter's input for the model."""
    import tensorflow as tf

    if adapter.encoded:
        return decode(adapter.note)
    if not adapter.embedded:
        return lambda image: image
    mean, std = pixel_statistics(adapter.mode, adapter.image.shape[-1])

    def prepare(image):
        image = tf.cast(image, "float32")
        if adapter.resizes:
            top, left, height, width = adapter.crop()
            image = image[:, top : top + height, left : left + width]
            image = tf.image.resize(image, adapter.view.image.shape[1:3])
        return (image - mean) / std

    return prepare


@contextlib.contextmanager
def disk_errors(path):
    """Convert TensorFlow's errors of writing to OSError."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as err:
        reason = err.message.partition(" [Op:")[0].rpartition("; ")[2]
        full = "No space left" in reason
        raise OSError(
            errno.ENOSPC if full else errno.EIO,
            f"cannot be written ({reason}). Free some space, or choose another disk",
            str(path),
        ) from err
