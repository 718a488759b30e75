"""SavedModel: for TensorFlow Serving, and the first half of the way to TFLite."""

import contextlib
import errno
import pathlib

import keras

from keras_vit.export.conversion.decode_ops import decode
from keras_vit.export.formats.tflite.metadata import LABELS, check_labels, lines
from keras_vit.export.formats.write_and_verify import write_and_prove
from keras_vit.export.io.io_adapter import Faced
from keras_vit.export.io.reference import Reference, require_tensorflow
from keras_vit.export.io.signature import plan, show_fields
from keras_vit.export.runtime.runtimes import SERVE
from keras_vit.ranges import pixel_statistics

# What this format can do in front of the model.
PREPARATIONS = (None, "embed", "decode")
# Where TensorFlow leaves room for files of one's own.
EXTRA = "assets.extra"

# Memory while working, in sizes of the model.
MEMORY = 1.5


@show_fields
def to_savedmodel(
    model,
    path,
    *,
    dynamic_batch=True,
    overwrite=False,
    verbose=1,
    labels=None,
    signatures=None,
    **options,
):
    """Write a SavedModel that tf.saved_model loads without this package.

    It is loaded again and compared with the model before it gets its name.

    Args:
        model: functional or Sequential Keras model that takes images.
        path: folder to write.
        dynamic_batch: whether it takes any number of images at once, as servers
            and notebooks expect; else exactly one.
        overwrite: whether an existing folder may be replaced.
        verbose: 0 for silence.
        labels: class names, for `assets.extra/labels.txt`; None for `model.labels`.
        signatures: {name: options}, for several ways to call it, such as
            {"serving_default": {}, "classify_jpeg": {"preprocessing": "decode",
            "classifier_activation": "softmax", "top": 5}}.
        **options: fields of `keras_vit.export.Signature`.

    Returns:
        `keras_vit.export.Exported`.

    Raises:
        FileExistsError: when the folder exists and overwrite is False.
        ExportMismatch: when it does not answer as the model does.
        TypeError, ValueError: for a model or option that cannot be exported.
        RuntimeError: when Keras does not run on TensorFlow.
    """
    require_tensorflow("to_savedmodel")
    reference = Reference(model, dynamic_batch)
    faces = plan(reference, signatures, None, PREPARATIONS, **options)
    labels = check_labels(labels, model, reference.contract)
    return write_and_prove(
        reference,
        path,
        lambda folder: write_faces(faces, folder, labels),
        overwrite=overwrite,
        verbose=verbose,
        faces=faces,
        memory=MEMORY,
    )


def write_faces(faces, folder, labels=None):
    """Write a SavedModel with one function per signature and named outputs.

    Args:
        faces: {signature: `Faced`}. folder: where. labels: class names, or None.
    """
    import tensorflow as tf

    module = tf.Module()
    models = {id(f.reference.model): f.reference.model for f in faces.values()}
    # Keras' own ExportArchive stores every variable twice.
    variables = {
        id(variable): variable.value
        for m in models.values()
        for variable in m.variables
    }
    module.variables_ = list(variables.values())
    served = {name: traceable(faced) for name, faced in faces.items()}
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
    write_faces({SERVE: Faced(reference)}, folder)


def traceable(faced):
    """A face as a `tf.function` with a named input and a dict of outputs."""
    import tensorflow as tf

    face, model = faced.face, faced.reference.model
    prepare = preparation(face)

    def serve(image):
        answers = keras.tree.flatten(model(prepare(image), training=False))
        if face.softmax:
            answers = [tf.nn.softmax(answers[0])]
        if face.top is not None:
            answers = tf.math.top_k(answers[0], face.top)[::-1]
        names = [tensor.name for tensor in face.outputs]
        return dict(zip(names, answers, strict=True))

    image = tf.TensorSpec(face.image.shape, face.image.dtype, name=face.image.name)
    return tf.function(serve, input_signature=[image], autograph=False)


def preparation(face):
    """A function from what a face takes to what the model takes, in TensorFlow."""
    import tensorflow as tf

    if face.encoded:
        return decode(face.note)
    if not face.embedded:
        return lambda image: image
    mean, std = pixel_statistics(face.mode, face.image.shape[-1])

    def prepare(image):
        image = tf.cast(image, "float32")
        if face.resizes:
            top, left, height, width = face.crop()
            image = image[:, top : top + height, left : left + width]
            image = tf.image.resize(image, face.core.image.shape[1:3])
        return (image - mean) / std

    return prepare


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
