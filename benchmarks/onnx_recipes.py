"""What each ONNX recipe costs in accuracy and brings in size and time.

python benchmarks/onnx_recipes.py model.keras \
    --calibration folder --images folder --labels labels.csv

Arguments and table as in quantization.py. Beside dynamic_int8 stands
`onnxruntime.quantization.quantize_dynamic` on the same float file, per channel. Times
are of one thread, one image, all files in turn, as ratios to float32.

python benchmarks/onnx_recipes.py ViT-S/16

gives size and time alone, for random weights.
"""

import argparse
import pathlib
import platform
import tempfile
import types

import keras
import numpy as np
from quantization import calibration_images, clock, labelled, read, report

import keras_vit
from keras_vit import export
from keras_vit.export.contract import check_images, contract_of
from keras_vit.export.runtimes import open_file


def plain(source, target):
    """Dynamic quantization as onnxruntime does it."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(
        source,
        target,
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        extra_options={"MatMulConstBOnly": True},
    )
    return types.SimpleNamespace(path=target, size_bytes=target.stat().st_size)


def write_all(model, folder, images):
    """Name -> file: every recipe, and the plain one."""
    made = {}
    for name in (None, "float16", "dynamic_int8", "static_int8"):
        made[name or "float32"] = export.to_onnx(
            model,
            folder / f"{name}.onnx",
            name,
            calibration=images if name == "static_int8" else None,
            verbose=0,
        )
        if name == "float16":
            file = plain(made["float32"].path, folder / "plain.onnx")
            made["dynamic_int8, plain"] = file
    return made


def random_model(name):
    """A named model with a head that is not zero."""
    keras.utils.set_random_seed(0)
    model = keras_vit.create(name)
    head = model.get_layer("head")
    head.kernel.assign(np.random.default_rng(0).normal(0, 0.02, head.kernel.shape))
    return model


def main():
    """Write every file, run them all on the labelled images, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a .keras file, or a name for random weights")
    for name in ("--calibration", "--images", "--labels"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=1000, help="labelled images")
    parser.add_argument("--calibration-count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30, help="of timing")
    args = parser.parse_args()
    if args.labels:
        model = keras.models.load_model(args.model)
        images = calibration_images(model, args.calibration, args.calibration_count)
        pairs = labelled(args.images, args.labels, args.count)
    else:
        model = random_model(args.model)
        images, pairs = check_images(contract_of(model, False), 32), []
    with tempfile.TemporaryDirectory() as folder:
        made = write_all(model, pathlib.Path(folder), images)
        runtimes = [open_file(file.path) for file in made.values()]
        ratios, seconds = clock(runtimes, images[:1], args.rounds)
        answers = [[] for _ in runtimes]
        shown = (
            (read(model, path)[None] for path, _ in pairs) if pairs else [images[:1]]
        )
        for image in shown:
            for answer, runtime in zip(answers, runtimes, strict=True):
                answer.append(runtime(image)[0][0])
    labels = [label for _, label in pairs] or [np.array(answers[0]).argmax()]
    report(made, np.array(answers), np.array(labels), ratios)
    print(
        f"\n{len(pairs)} images, {len(images)} for calibration; float32 "
        f"{1000 * np.median(seconds[:, 0]):.1f} ms on {platform.machine()}, 1 thread"
    )


if __name__ == "__main__":
    main()
