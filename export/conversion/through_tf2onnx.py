"""ONNX conversion through tf2onnx, for layers of other packages."""

from keras_vit.errors import UnsupportedLayer
from keras_vit.export.conversion.layer_names import layer_path
from keras_vit.export.conversion.saved_model import traceable
from keras_vit.export.io.io_adapter import AdaptedReference
from keras_vit.export.io.reference import require_tensorflow

OPSET = 18  # the newest that tf2onnx 1.17 writes


def convert(reference):
    """Trace a model with TensorFlow and convert it by tf2onnx.

    Args:
        reference: `Reference`.

    Returns:
        `onnx.ModelProto` with named input and outputs.

    Raises:
        UnsupportedLayer: naming the layer and its operator.
        ImportError: when tf2onnx is missing.
    """
    require_tensorflow("to_onnx: a model with layers of other packages")
    try:
        import tf2onnx
    except ImportError as err:
        raise ImportError(
            "tf2onnx: needed for layers of other packages. Install it with "
            "pip install tf2onnx."
        ) from err
    serve = traceable(AdaptedReference(reference))
    converted, _ = tf2onnx.convert.from_function(
        serve, input_signature=serve.input_signature, opset=OPSET
    )
    _refuse_unknown(converted)
    return converted


def _refuse_unknown(converted):
    """Refuse operators without an ONNX counterpart, which tf2onnx writes anyway."""
    from onnx import defs

    for node in converted.graph.node:
        if node.domain == "" and not defs.has(node.op_type, OPSET):
            gelu = "Write GELU with keras_vit.layers.mlp.gelu, or replace the layer."
            way = gelu if "Erf" in node.op_type else "Replace the layer."
            raise UnsupportedLayer(
                f"onnx: every layer must have a counterpart in opset {OPSET}, got "
                f"{node.op_type} in layer {layer_path(node.name)!r}. {way}"
            )
