"""Source code that runs an exported file: one template per platform."""

import json
import textwrap

from keras_vit.export.apps import snippets
from keras_vit.ranges import pixel_statistics

_KOTLIN = """\
import android.content.Context
import android.graphics.Bitmap
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier

/** The best classes and their probabilities. An app makes the classifier once. */
fun classify(
    context: Context, photo: Bitmap, best: Int = 3
): List<Pair<String, Float>> {
    val base = BaseOptions.builder().setModelAssetPath("%(file)s").build()
    val options = ImageClassifier.ImageClassifierOptions.builder()
        .setBaseOptions(base).setMaxResults(best).build()
    return ImageClassifier.createFromOptions(context, options).use { classifier ->
        classifier.classify(BitmapImageBuilder(photo).build())
            .classificationResult().classifications()[0].categories()
            .map { Pair(%(name)s, it.score()) }
    }
}
"""

_SWIFT = """\
import MediaPipeTasksVision
import UIKit

/// The best classes and their probabilities. An app makes the classifier once.
func classify(_ photo: UIImage, best: Int = 3) throws -> [(String, Float)] {
    let options = ImageClassifierOptions()
    options.baseOptions.modelAssetPath = Bundle.main.path(
        forResource: "%(stem)s", ofType: "tflite")!
    options.maxResults = best
    let classifier = try ImageClassifier(options: options)
    let result = try classifier.classify(image: try MPImage(uiImage: photo))
    return result.classificationResult.classifications[0].categories.map {
        (%(name)s, $0.score)
    }
}
"""

_JAVASCRIPT = """\
import { FilesetResolver, ImageClassifier } from "@mediapipe/tasks-vision";

const vision = await FilesetResolver.forVisionTasks(
  "https://cdn.jsdelivr.net/npm/@mediapipe/tasks-vision/wasm");
const classifier = await ImageClassifier.createFromOptions(vision, {
  baseOptions: { modelAssetPath: "%(file)s" }, maxResults: 3 });

/** The best classes and their probabilities, of an <img>, <canvas> or ImageData. */
export function classify(photo) {
  const { classifications } = classifier.classify(photo);
  return classifications[0].categories.map((c) => [%(name)s, c.score]);
}
"""

_CPP = """\
// xxd -i %(file)s | sed 's/^unsigned/alignas(16) const &/' > model_data.h
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "model_data.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

%(arena)s
alignas(16) static uint8_t arena[kArenaBytes];
%(labels)s
// The number of the best class, or -1 for an error. pixels: %(shape)s
// bytes, row by row. score: takes its %(output)s.
int Classify(const uint8_t* pixels, float* score) {
  static tflite::MicroMutableOpResolver<%(count)d> ops;
  static tflite::MicroInterpreter* interpreter = nullptr;
  if (interpreter == nullptr) {
%(operators)s
    static tflite::MicroInterpreter made(
        tflite::GetModel(model_tflite), ops, arena, kArenaBytes);
    if (made.AllocateTensors() != kTfLiteOk) return -1;
    interpreter = &made;
  }
  TfLiteTensor* input = interpreter->input(0);
%(fill)s
  if (interpreter->Invoke() != kTfLiteOk) return -1;
  const TfLiteTensor* output = interpreter->output(0);
  const %(code)s_t* codes = output->data.%(code)s;
  const int best = std::max_element(codes, codes + %(classes)d) - codes;
  *score = (codes[best] - output->params.zero_point) * output->params.scale;
  return best;
}
"""
_PIXELS = "  std::copy(pixels, pixels + input->bytes, input->data.uint8);"
# Where the file cannot prepare pixels itself: colours of different ranges.
_CODES = """\
  static const float mean[] = {%(mean)s}, std[] = {%(std)s};
  for (size_t i = 0; i < input->bytes; ++i) {
    const float value = (pixels[i] - mean[i %% %(channels)d]) / std[i %% %(channels)d];
    const float code = std::floor(
        value / input->params.scale + input->params.zero_point + 0.5f);
    input->data.%(code)s[i] = std::min(%(high)d.f, std::max(%(low)d.f, code));
  }"""

_FILES = """\
from pathlib import Path
image = [Path("photo.jpg").read_bytes()]  # JPEG or PNG, as many as you like"""
_ARRAY = """\
from pathlib import Path
import numpy as np
from PIL import Image
photo = Image.open("photo.jpg").convert("{colours}").resize(({width}, {height}))
image = np.asarray(photo, "uint8").reshape(1, {height}, {width}, {channels})"""
_NAMED = """\
labels = Path("labels.txt").read_text("utf-8").splitlines()
for index in answer[0].argsort()[::-1][:3]:
    print(labels[index], answer[0][index])"""
_UNNAMED = """\
for index in answer[0].argsort()[::-1][:3]:
    print("class", index, answer[0][index])"""

# How an app names a class: with labels in the file, and without.
_NAMES = {
    "android": ("it.categoryName()", '"class ${it.index()}"'),
    "ios": ('$0.categoryName ?? ""', '"class \\($0.index)"'),
    "web": ("c.categoryName", '"class " + c.index'),
}
_CODE = {"android": _KOTLIN, "ios": _SWIFT, "web": _JAVASCRIPT}


def app_code(platform, file, adapter, labels):
    """Write source code that classifies a photo on a platform.

    Args:
        platform: `platforms.Platform`. file: `Exported`.
        adapter: `IOAdapter` of the file. labels: class names, or None.
    """
    if platform.name in _CODE:
        name = _NAMES[platform.name][labels is None]
        words = {"file": platform.file, "stem": platform.file.split(".")[0]}
        return _CODE[platform.name] % {**words, "name": name}
    write = _cpp if platform.name == "microcontroller" else _python
    return write(platform, file, adapter, labels)


def commented(platform, lines, code):
    """Put sentences above code as comments in its language."""
    mark = "#" if platform.snippet.endswith(".py") else "//"
    wrapped = [part for line in lines for part in textwrap.wrap(line, 84)]
    return "".join(f"{mark} {line}\n" for line in wrapped) + "\n" + code


def _python(platform, file, adapter, labels):
    """Fill the TensorFlow template: the report's snippet with a photo loaded first."""
    _, height, width, channels = adapter.view.image.shape
    words = {"height": height, "width": width, "channels": channels}
    words["colours"] = "L" if channels == 1 else "RGB"
    given = _FILES if adapter.encoded else _ARRAY.format(**words)
    run = snippets.run_file(file, adapter.outputs[0].name)
    answers = _UNNAMED if labels is None else _NAMED
    return "\n".join((given, run, answers)) + "\n"


def _cpp(platform, file, adapter, labels):
    """Fill the tflite-micro template: operators by name, arena size, labels."""
    (image,), (scores,) = file.inputs, file.outputs
    operators = sorted(map(_method, file.operators))
    fields = {"file": platform.file, "arena": _arena(file.arena_bytes)}
    fields |= {"shape": " x ".join(map(str, image.shape[1:])), "output": scores.name}
    fields |= {"count": len(operators), "classes": scores.shape[-1]}
    fields |= {"operators": "\n".join(f"    ops.{name}();" for name in operators)}
    fields |= {"labels": _table(labels), "code": scores.dtype}
    fields["fill"] = _PIXELS if adapter.embedded else _codes(image, adapter)
    return _CPP % fields


def _codes(image, adapter):
    channels, low = image.shape[-1], -128 if image.dtype == "int8" else 0
    mean, std = pixel_statistics(adapter.mode, channels)
    words = {"channels": channels, "code": image.dtype, "low": low, "high": low + 255}
    numbers = (", ".join(f"{float(v):.6g}f" for v in row) for row in (mean, std))
    return _CODES % {**words, **dict(zip(("mean", "std"), numbers, strict=True))}


def _arena(count):
    if count is not None:
        return (
            "// Measured on a 64-bit machine; a 32-bit chip needs less.\n"
            f"constexpr int kArenaBytes = {count};"
        )
    return (
        '#error "How many bytes? `keras-vit processors --install tflite-micro`, then '
        'export again."\nconstexpr int kArenaBytes = 0;'
    )


def _table(labels):
    if labels is None:
        return ""
    names = ",\n    ".join(json.dumps(name, ensure_ascii=False) for name in labels)
    return f"const char* const kLabels[] = {{\n    {names}}};\n"


def _method(operator):
    """What tflite-micro's resolver calls the method for an operator.

    >>> _method("CONV_2D"), _method("BATCH_MATMUL"), _method("RSQRT")
    ('AddConv2D', 'AddBatchMatMul', 'AddRsqrt')
    """
    words = operator.replace("MATMUL", "MAT_MUL").split("_")
    return "Add" + "".join(w if w[0].isdigit() else w.capitalize() for w in words)
