"""SavedModel: for TensorFlow Serving, and the first half of the way to TFLite."""

import contextlib
import errno

import keras

from keras_vit.export.proof import write_and_prove
from keras_vit.export.reference import Reference, require_tensorflow
from keras_vit.export.runtimes import SERVE


def to_savedmodel(model, path, *, dynamic_batch=True, overwrite=False, verbose=1):
    """Write a SavedModel that tf.saved_model loads without this package.

    It is loaded again and compared with the model before it gets its name.

    Args:
        model: functional or Sequential Keras model that takes images.
        path: folder to write.
        dynamic_batch: whether it takes any number of images at once, as servers
            and notebooks expect; else exactly one.
        overwrite: whether an existing folder may be replaced.
        verbose: 0 for silence.

    Returns:
        `keras_vit.export.Exported`.

    Raises:
        FileExistsError: when the folder exists and overwrite is False.
        ExportMismatch: when it does not answer as the model does.
        TypeError, ValueError: for a model that cannot be exported.
        RuntimeError: when Keras does not run on TensorFlow.
    """
    require_tensorflow("to_savedmodel")
    reference = Reference(model, dynamic_batch)
    return write_and_prove(
        reference,
        path,
        lambda folder: write_savedmodel(reference, folder),
        overwrite=overwrite,
        verbose=verbose,
    )


def write_savedmodel(reference, folder):
    """Write a SavedModel with one signature and named outputs.

    Args:
        reference: `Reference`; its contract says names and batch.
        folder: where.
    """
    import tensorflow as tf

    module = tf.Module()
    # Keras' own ExportArchive stores every variable twice.
    module.variables_ = [variable.value for variable in reference.model.variables]
    module.serve = traceable(reference)
    with disk_errors(folder):
        tf.saved_model.save(module, str(folder), signatures={SERVE: module.serve})


def traceable(reference):
    """The model as a `tf.function` with a named input and a dict of outputs."""
    import tensorflow as tf

    contract = reference.contract
    names = [tensor.name for tensor in contract.outputs]

    def serve(image):
        outputs = keras.tree.flatten(reference.model(image, training=False))
        return dict(zip(names, outputs, strict=True))

    image = tf.TensorSpec(contract.image.shape, tf.float32, name=contract.image.name)
    return tf.function(serve, input_signature=[image], autograph=False)


@contextlib.contextmanager
def disk_errors(path):
    """Turn TensorFlow's own errors of writing into the usual OSError."""
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
