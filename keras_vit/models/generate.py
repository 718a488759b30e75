"""Sampling of images from an image GPT, pixel by pixel."""

import keras
import numpy as np
from keras import ops

from keras_vit.private_keras import print_msg


class Sampler(keras.Model):
    """The sampling loop as a model, so that `predict` compiles it on every backend.

    Args:
        model: `ImageGPT`. temperature, top_k: see `sample`.

    Call:
        inputs: (B, n) int32 known pixels, the start token first; (B, H*W - n + 1, V)
            float32 noise, one draw per pixel to paint.

    Returns:
        (B, H*W) int32.
    """

    def __init__(self, model, temperature, top_k):
        super().__init__()
        self.gpt = model
        self.temperature, self.top_k = temperature, top_k

    def call(self, inputs):
        known, noise = inputs
        gpt, count, first = self.gpt, ops.shape(known)[0], known.shape[1]
        shape = (count, 2 * gpt.heads, gpt.length, gpt.width // gpt.heads)
        caches = [ops.zeros(shape, gpt.compute_dtype) for _ in gpt.blocks]
        logits, caches = self._step(known, caches, 0)
        pixel = self._choose(logits, noise[:, 0])
        painted = ops.zeros((count, gpt.length - first + 1), "int32")
        painted = ops.slice_update(painted, (0, 0), pixel)

        def paint(index, state):
            pixel, painted, caches = state
            logits, caches = self._step(pixel, caches, first + index - 1)
            draw = ops.squeeze(
                ops.slice(noise, (0, index, 0), (count, 1, gpt.colors)), axis=1
            )
            pixel = self._choose(logits, draw)
            return pixel, ops.slice_update(painted, (0, index), pixel), caches

        state = (pixel, painted, tuple(caches))
        _, painted, _ = ops.fori_loop(1, gpt.length - first + 1, paint, state)
        return ops.concatenate([known[:, 1:], painted], axis=1)

    def _step(self, numbers, caches, start):
        """Logits (B, V) after the last pixel, and the updated caches."""
        x, fuller = self.gpt.embed(numbers, start=start), []
        for block, cache in zip(self.gpt.blocks, caches, strict=True):
            x, cache = block(x, cache=cache, start=start)
            fuller.append(cache)
        return self.gpt.head(self.gpt.norm(x[:, -1:]))[:, 0], tuple(fuller)

    def _choose(self, logits, noise):
        """Sample from logits: (B, V) and random draws -> (B, 1) numbers."""
        if self.top_k is not None:
            least = ops.top_k(logits, self.top_k)[0][:, -1:]
            logits = ops.where(logits < least, -1e10, logits)
        chosen = ops.argmax(logits / self.temperature + noise, axis=-1)
        return ops.expand_dims(ops.cast(chosen, "int32"), 1)


def sample(model, known=None, count=1, temperature=1.0, top_k=None, seed=0, verbose=1):
    """Sample images, or the rest of images.

    Keys and values of painted pixels are kept, so that each pixel costs one step and
    not the whole image again. The same seed paints the same images.

    Args:
        model: `ImageGPT` with the autoregressive objective.
        known: (B, n) int palette numbers, the first n pixels in raster order, such as
            `model.tokens(images)[:, :512]`; None begins with nothing.
        count: images to paint without `known`; with it each is continued once.
        temperature: above 0; below 1 is more careful. top_k: chooses among so many of
            the likeliest colours; None among all.
        seed: of the draws (Gumbel noise). verbose: 0 silent, 1 says what is going on.

    Returns:
        (B, H*W) int32 numpy array; `model.to_images` shows them.

    Raises:
        ValueError: for another objective, or numbers out of range.

    Source:
        Chen et al. 2020, section 4.2 paints with temperature 1.
    """
    known = _check(model, known, count, temperature, top_k)
    count, first = known.shape
    draws = np.random.default_rng(seed).gumbel(
        size=(count, model.length - first + 1, model.colors)
    )
    if verbose:
        left = model.length - first + 1
        print_msg(f"Painting {left} pixels of {count} images.")
    sampler = Sampler(model, temperature, top_k)
    return sampler.predict(
        [known, draws.astype("float32")], batch_size=count, verbose=0
    )


def _check(model, known, count, temperature, top_k):
    """Prepend the start token to the known pixels, (B, 1 + n) int32."""
    if model.objective != "autoregressive":
        raise ValueError(
            f"model: must be autoregressive, got objective={model.objective!r}. Use "
            "one with objective='autoregressive'."
        )
    if not temperature > 0:
        raise ValueError(f"temperature: must be above 0, got {temperature!r}. Use 1.0.")
    if top_k is not None and not 1 <= top_k <= model.colors:
        raise ValueError(
            f"top_k: must be 1 to {model.colors} colours, got {top_k!r}. Use 40."
        )
    known = np.zeros((count, 0)) if known is None else ops.convert_to_numpy(known)
    known = np.asarray(known)
    if known.ndim != 2 or not len(known) or known.shape[1] >= model.length:
        raise ValueError(
            f"known: must be (images, fewer than {model.length} pixels), got shape "
            f"{known.shape}. Pass model.tokens(images)[:, :n]."
        )
    if known.size and not (0 <= known.min() and known.max() < model.colors):
        raise ValueError(
            f"known: must be palette numbers below {model.colors}, got "
            f"{known.min()} to {known.max()}. Use model.tokens(images)."
        )
    start = np.full((len(known), 1), model.colors)
    return np.concatenate([start, known], axis=1).astype("int32")
