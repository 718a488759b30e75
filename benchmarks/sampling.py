"""How much faster an image GPT paints when it remembers what it has seen.

    python benchmarks/sampling.py --depth 4 --width 256 --image-size 32

Without a memory each pixel costs the whole image; that is measured on a few pixels, and
their time multiplied. Both are compiled, both have run once before they are timed.
"""

import argparse
import time

import keras
import numpy as np

import keras_vit
from keras_vit.models.generate import Sampler


def main():
    """Print the seconds and the ratio."""
    options = _options()
    keras.utils.set_random_seed(0)
    model = keras_vit.ImageGPT(
        image_size=options.image_size,
        width=options.width,
        depth=options.depth,
        heads=options.heads,
    )
    sampler = Sampler(model, 1.0, None)
    start = np.full((options.count, 1), model.colors, "int32")
    shape = (options.count, model.length, model.colors)
    noise = np.random.default_rng(0).gumbel(size=shape).astype("float32")
    with_memory = _seconds(lambda: _predict(sampler, [start, noise], options.count), 1)
    tokens = np.zeros((options.count, model.length), "int32")
    once = _seconds(lambda: _predict(model, tokens, options.count), options.pixels)
    without = once * model.length
    print(
        f"{model.count_params():,} weights, {options.count} x {model.length} pixels, "
        f"{keras.backend.backend()}\n"
        f"with memory     {with_memory:9.2f} s\n"
        f"without memory  {without:9.2f} s ({options.pixels} pixels measured)\n"
        f"ratio           {without / with_memory:9.1f}x"
    )


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--count", type=int, default=1, help="images at once")
    parser.add_argument("--pixels", type=int, default=5, help="timed without memory")
    return parser.parse_args()


def _predict(model, inputs, count):
    return model.predict(inputs, batch_size=count, verbose=0)


def _seconds(work, times):
    """Mean seconds of one call, after one that is not counted."""
    work()
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


if __name__ == "__main__":
    main()
