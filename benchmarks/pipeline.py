"""Images per core and second of the input pipeline, beside what it can be held against.

python benchmarks/pipeline.py [FOLDER] [--reference PYTHON]

FOLDER is searched for JPEGs; without one, the two photographs of scikit-learn are read.
Ratios are printed: the pipeline, as `fit` reads it, against TensorFlow's bare fused
decode-and-crop (nothing after it, and with the resize that any 224 px crop needs), and
against a loader of Pillow and torchvision that does the same. "float32" is what
`load_data` gives: `fit` leaves the images bytes, which the device brings to the model's
range. PYTHON is an interpreter that has torchvision:

    python -m venv torch
    torch/bin/pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu

Time is processor time of the process, so that other programs disturb little, between
a short and a long pass: what a pass begins with is not counted, and nothing is read
ahead of its end. Contestants take turns, and each ratio is the median of the rounds.
"""

import argparse
import functools
import json
import pathlib
import statistics
import subprocess
import sys
import time

SIZE, BATCH = 224, 64
RANDAUGMENT = (2, 9)  # changes, strength
FILES = 1000  # fewer are read again and again, as if there were so many


def jpegs(folder, count):
    """Paths of at most so many JPEGs."""
    suffixes = (".jpg", ".jpeg")
    found = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in suffixes]
    if not found:
        raise SystemExit(f"{folder}: must hold JPEGs, got none. Give another folder.")
    return [str(path) for path in found[:count]]


def photographs():
    """The folder of scikit-learn's own."""
    import sklearn.datasets

    return pathlib.Path(sklearn.datasets.__file__).parent / "images"


def seconds(batches):
    """Processor time of a pass."""
    start = time.process_time()
    for _ in batches:
        pass
    return time.process_time() - start


def rate(make, count):
    """Images per second of processor time."""
    short, long = make(BATCH), make(BATCH + count)
    return count / (seconds(long) - seconds(short))


def tensorflow_contestants(paths):
    """Name -> function of a number of images, which makes their batches."""
    import numpy as np
    import tensorflow as tf

    from keras_vit import Preprocessing
    from keras_vit.training.data import image_ops
    from keras_vit.training.data.batching import Feed
    from keras_vit.training.data.splits import IndexedSplit

    tf.config.threading.set_intra_op_parallelism_threads(1)
    note = Preprocessing((SIZE, SIZE))
    many = np.resize(paths, max(FILES, len(paths)))

    def pipeline(augment, in_bytes, count):
        class Few(IndexedSplit):
            def counted(self, counters, *how):
                return super().counted(counters.take(count), *how)

        feed = Feed(note, BATCH, augment, 0, in_bytes=in_bytes)
        split = Few(many, np.zeros(len(many), "int32"))
        return feed.stream(split).take(count // BATCH)

    def bare(resized, count):
        def one(counter):
            encoded = tf.io.read_file(tf.constant(paths)[counter % len(paths)])
            seed = tf.stack([tf.constant(0, tf.int64), counter])
            image = image_ops.decode_crop(encoded, seed, (0.05, 1.0))
            if resized:
                return tf.image.resize(image, (SIZE, SIZE))[0, 0]
            return image[0, 0]

        rows = tf.data.Dataset.range(count)
        rows = rows.map(one, tf.data.AUTOTUNE, deterministic=True).batch(BATCH)
        return rows.map(lambda pixels: (pixels,)).prefetch(tf.data.AUTOTUNE)

    randaug = "inception_crop(0.05)|flip|randaug({},{})".format(*RANDAUGMENT)
    found = {
        "bare decode and crop": functools.partial(bare, False),
        "bare, with resize": functools.partial(bare, True),
        "pipeline": functools.partial(pipeline, "inception", True),
        "pipeline, float32": functools.partial(pipeline, "inception", False),
        "pipeline, RandAugment": functools.partial(pipeline, randaug, True),
    }
    return {name: functools.lru_cache(make) for name, make in found.items()}


def torch_contestants(paths):
    """The same with Pillow, torchvision and a DataLoader in one process."""
    import torch
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(1)

    class Files(torch.utils.data.Dataset):
        def __init__(self, count, *changes):
            self.count = count
            self.change = transforms.Compose(
                [
                    transforms.RandomResizedCrop(SIZE, scale=(0.05, 1.0)),
                    transforms.RandomHorizontalFlip(),
                    *changes,
                    transforms.ToTensor(),
                    transforms.Normalize((0.5,) * 3, (0.5,) * 3),
                ]
            )

        def __len__(self):
            return self.count

        def __getitem__(self, row):
            with Image.open(paths[row % len(paths)]) as image:
                return self.change(image.convert("RGB")), 0

    def batches(*changes):
        return lambda count: torch.utils.data.DataLoader(
            Files(count, *changes), batch_size=BATCH
        )

    return {
        "torchvision": batches(),
        "torchvision, RandAugment": batches(transforms.RandAugment(*RANDAUGMENT)),
    }


def serve(args):
    """Measure one contestant per line of standard input; answers are JSON lines."""
    make = torch_contestants if args.serve == "torch" else tensorflow_contestants
    contestants = make(jpegs(args.folder, args.files))
    print(json.dumps(list(contestants)), flush=True)
    for make in contestants.values():
        seconds(make(BATCH))
    for line in sys.stdin:
        print(json.dumps(rate(contestants[line.strip()], args.images)), flush=True)


def describe(paths):
    """How many images there are, and how large they are on average."""
    from PIL import Image

    pixels = []
    for path in paths:
        with Image.open(path) as image:
            pixels.append(image.size)
    width, height = (statistics.mean(sides) for sides in zip(*pixels, strict=True))
    size = statistics.mean(pathlib.Path(path).stat().st_size for path in paths)
    return f"{len(paths)} JPEGs of {width:.0f} x {height:.0f} px, {size / 1e3:.0f} kB"


def start(python, kind, args):
    """A process of one interpreter with its contestants, and their names."""
    words = [python, __file__, str(args.folder), "--serve", kind]
    words += ["--images", str(args.images), "--files", str(args.files)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
    return process, json.loads(process.stdout.readline())


def ask(process, name):
    """The rate of a contestant, measured now."""
    process.stdin.write(name + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def ratio(rounds, above, below):
    """Median over the rounds of one rate by another, as a line."""
    values = [found[above] / found[below] for found in rounds]
    return f"{above} / {below}: {statistics.median(values):.2f}"


def main():
    """Measure in turns and print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--reference", help="Python that has torch and torchvision")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--images", type=int, default=640, help="per round")
    parser.add_argument("--files", type=int, default=FILES, help="most that are read")
    parser.add_argument("--serve", choices=("torch", "tensorflow"), help="internal")
    args = parser.parse_args()
    args.folder = args.folder or photographs()
    if args.serve:
        return serve(args)
    print(describe(jpegs(args.folder, args.files)), flush=True)
    servers = [start(sys.executable, "tensorflow", args)]
    if args.reference:
        servers.append(start(args.reference, "torch", args))
    rounds = [
        {name: ask(process, name) for process, names in servers for name in names}
        for _ in range(args.rounds)
    ]
    for name in rounds[0]:
        middle = statistics.median(found[name] for found in rounds)
        print(f"{name:26}{middle:7.0f} images per core and second")
    print(ratio(rounds, "pipeline", "bare decode and crop"))
    print(ratio(rounds, "pipeline", "bare, with resize"))
    print(ratio(rounds, "pipeline, float32", "bare decode and crop"))
    if args.reference:
        print(ratio(rounds, "pipeline", "torchvision"))
        print(ratio(rounds, "pipeline, RandAugment", "torchvision, RandAugment"))
    for process, _ in servers:
        process.stdin.close()
        process.wait()
    return None


if __name__ == "__main__":
    main()
