"""Run the notebooks of docs/notebooks, each in a kernel of its own.

    python docs/run_notebooks.py --folder FOLDER [NAME...]    # and keep the outputs
    python docs/run_notebooks.py --small [NAME...]            # do they still run?

FOLDER is where they run. It holds what their cells of parameters name: photos/ and
vit_ti16.safetensors. With --small they run in an empty folder, on a small random model
and a few pictures of noise, with the parameters of `SMALL`, and nothing is kept.
"""

import argparse
import base64
import contextlib
import io
import json
import os
import pathlib
import re
import tempfile

import numpy as np
from PIL import Image

import keras_vit
from keras_vit import files

FOLDER = pathlib.Path(__file__).parent / "notebooks"
SMALL = {
    "fine_tune_and_deploy": {"EPOCHS": 1, "ROUNDS": 1},
    "look_inside": {"COUNT": 6},
    "masked_autoencoder": {
        "EPOCHS": 1,
        "TUNING": 1,
        "LABELS": 6,
        "SEEDS": 1,
        "DEPTH": 1,
    },
    "image_gpt": {"EPOCHS": 1, "WIDTH": 16, "DEPTH": 1, "PAINTINGS": 1},
}
# What TensorFlow, LiteRT and MediaPipe write while they start.
NOISE = re.compile(r"WARNING: All log|WARNING:tensorflow|[IWE]\d{4} |INFO: ")
PICTURES = ("image/png", "image/jpeg")
LARGE = 40_000  # bytes of a PNG above which a JPEG is tried


def notebooks():
    """The files, in order of their names."""
    return sorted(FOLDER.glob("*.ipynb"))


def read(path):
    """A notebook as plain values."""
    return json.loads(path.read_text("utf-8"))


def source(cell):
    """The text of a cell."""
    return "".join(cell["source"])


def code_cells(notebook):
    """Cells with code, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def with_values(notebook, values):
    """The same with other parameters: a cell behind the one that is tagged so."""
    cells = list(notebook["cells"])
    for place, cell in enumerate(cells):
        if "parameters" in cell["metadata"].get("tags", ()):
            text = "\n".join(f"{name} = {value!r}" for name, value in values.items())
            cells.insert(place + 1, {**cell, "id": "values", "source": text})
            return {**notebook, "cells": cells}
    raise ValueError("notebook: must have a cell with the tag 'parameters', got none.")


def make_small_world(folder):
    """Noise in three colours, and a checkpoint of a model for images of 32 px."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 1)):
        for channel, name in enumerate(("hat", "shirt", "shoes")):
            place = folder / "photos" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 128, (48, 40, 3), dtype="uint8")
                pixels[..., channel] += 127
                Image.fromarray(pixels).save(place / f"{number:02}.jpg")
    model = keras_vit.VisionTransformer(
        image_size=32, patch_size=8, width=32, depth=2, heads=2, mlp_dim=64,
        classes=5, labels=["one", "two", "three", "four", "five"],
    )  # fmt: skip
    keras_vit.save_checkpoint(model, folder / "vit_ti16.safetensors", "timm")


def execute(path, folder, values=None):
    """Run a notebook; gives the text of the file with its outputs.

    Args:
        path: of the notebook. folder: to run in. values: other parameters, or None.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell does.
    """
    import nbclient
    import nbformat

    plain = with_values(read(path), values) if values else read(path)
    notebook = nbformat.reads(json.dumps(plain), as_version=4)
    place = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(
        notebook, timeout=None, record_timing=False, resources=place
    )
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    checkout = str(FOLDER.parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([checkout, *_python_path()])
    client.execute()
    for cell in code_cells(notebook):
        cell["outputs"] = tidied(cell["outputs"], folder)
    notebook["metadata"] = nbformat.from_dict(plain["metadata"])
    return nbformat.writes(notebook)


def _python_path():
    return filter(None, [os.environ.get("PYTHONPATH")])


def tidied(outputs, folder):
    """Outputs without start-up messages and paths of this machine; small pictures."""
    found = []
    for output in outputs:
        if output["output_type"] == "stream":
            text = output["text"].replace(f"{folder}/", "")
            lines = [x for x in text.splitlines(True) if not NOISE.match(x)]
            output["text"] = "".join(lines)
            if output["text"].strip() == "":
                continue
            last = found[-1] if found else {}
            if last.get("name") == output["name"]:  # streams that were cut in two
                last["text"] += output["text"]
                continue
        elif "data" in output:
            output["data"] = smallest(output["data"])
        found.append(output)
    return found


def smallest(data):
    """One picture of several, as JPEG where that takes half as much."""
    held = {kind: base64.b64decode(data[kind]) for kind in PICTURES if kind in data}
    if not held:
        return data
    png = held.get("image/png", b"")
    if len(png) > LARGE and "image/jpeg" not in held:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "JPEG", quality=82)
        held["image/jpeg"] = buffer.getvalue()
    jpeg = held.get("image/jpeg")
    kind = "image/jpeg" if jpeg and len(jpeg) < len(png) / 2 else "image/png"
    rest = {name: value for name, value in data.items() if name not in PICTURES}
    return {**rest, kind: base64.b64encode(held[kind]).decode()}


def main():
    """Read the command line, run what it names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--folder", type=pathlib.Path, help="with the data")
    where.add_argument("--small", action="store_true", help="keeps nothing")
    args = parser.parse_args()
    known = {path.stem: path for path in notebooks()}
    unknown = [name for name in args.names if name not in known]
    if unknown:
        parser.error(f"{unknown[0]}: must be one of {', '.join(known)}.")
    for name in args.names or known:
        with contextlib.ExitStack() as stack:
            folder = args.folder
            if args.small:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                make_small_world(pathlib.Path(folder))
            folder = pathlib.Path(folder).resolve()
            text = execute(known[name], folder, SMALL[name] if args.small else None)
        if not args.small:
            with files.replacing(known[name], overwrite=True) as target:
                target.write_text(text + "\n", "utf-8")
        print(f"{name}: all cells ran")


if __name__ == "__main__":
    main()
