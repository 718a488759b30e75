"""Python snippets that run each file without this package."""

import numpy as np

from keras_vit import ranges
from keras_vit.preprocess import Preprocessing

_SAVED = """\
import tensorflow as tf
serve = tf.saved_model.load("{path}").signatures["serving_default"]
answer = serve({image}=tf.constant(image))["{output}"].numpy()"""

_TFLITE = """\
from ai_edge_litert.interpreter import Interpreter   # pip install ai-edge-litert
run = Interpreter("{path}").get_signature_runner("serving_default")
{before}answer = run(image=image)["{output}"]{after}"""

# Quantized inputs and outputs: value = scale * (code - zero point).
_CODES_IN = """\
scale, zero = run.get_input_details()["image"]["quantization"]
image = np.floor(image / scale + (zero + 0.501)).clip({low}, {high}).astype("{dtype}")
"""
_CODES_OUT = """
scale, zero = run.get_output_details()["{output}"]["quantization"]
answer = (answer.astype("float32") - zero) * scale"""

_ONNX = """\
import onnxruntime   # pip install onnxruntime
session = onnxruntime.InferenceSession("{path}")
answer = session.run(["{output}"], {{"image": image}})[0]"""

# Preprocessing's name -> Pillow's; averaging over an area is its box filter.
_RESAMPLING = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
}
_CODE = {"savedmodel": _SAVED, "tflite": _TFLITE, "onnx": _ONNX}


def load_image(contract, preprocessing):
    """Write Python that reads and preprocesses a photograph into `image`.

    Args:
        contract: of the model. preprocessing: its `Preprocessing`, or None.

    Returns:
        Source text.
    """
    height, width, channels = contract.image.shape[1:]
    unknown = preprocessing is None
    preprocessing = preprocessing or Preprocessing((height, width), mode="none")
    colours, shape = "L" if channels == 1 else "RGB", (1, height, width, channels)
    method = f"Image.Resampling.{_RESAMPLING[preprocessing.interpolation]}"
    lines = [
        "import numpy as np",
        "from PIL import Image, ImageOps",
        'photo = ImageOps.exif_transpose(Image.open("photo.jpg"))',
        f'photo = photo.convert("{colours}")',
        _geometry(preprocessing, height, width, method),
        f'image = np.asarray(photo, "float32").reshape{shape}',
    ]
    if unknown:
        lines.append(
            "# The model does not say its range: scale `image` as it takes it."
        )
    rows = ranges.in_channels(preprocessing.range, channels)
    if preprocessing.mode == "google":
        lines.append("image = image / 127.5 - 1")
    elif rows is not None:
        mean, std = (list(row) for row in rows)
        lines.append(f"image = (image / 255 - np.float32({mean})) / np.float32({std})")
    return "\n".join(lines)


def _geometry(preprocessing, height, width, method):
    if preprocessing.resize == "short_side":
        bleed = round((1 - preprocessing.crop) / 2, 6)
        return f"photo = ImageOps.fit(photo, ({width}, {height}), {method}, {bleed})"
    if preprocessing.crop == 1:
        return f"photo = photo.resize(({width}, {height}), {method})"
    full = (int(width / preprocessing.crop), int(height / preprocessing.crop))
    left, top = round((full[0] - width) / 2), round((full[1] - height) / 2)
    box = (left, top, left + width, top + height)
    return f"photo = photo.resize({full}, {method}).crop({box})"


def run_file(artefact, output):
    """Write Python that computes `answer` of `image` with one of the files.

    Args:
        artefact: `Verification` of the file, or the `Exported` that it is.
        output: name of the output to read.

    Returns:
        Source text.
    """
    image = artefact.inputs[0]
    answer = next(tensor for tensor in artefact.outputs if tensor.name == output)
    fields = {"output": output, "dtype": image.dtype, "before": "", "after": ""}
    fields["image"] = image.name
    if image.scale is not None:
        ends = np.iinfo(image.dtype)
        fields["before"] = _CODES_IN.format(low=ends.min, high=ends.max, **fields)
    if answer.scale is not None:
        fields["after"] = _CODES_OUT.format(**fields)
    return _CODE[artefact.format].format(path=artefact.path.name, **fields)
