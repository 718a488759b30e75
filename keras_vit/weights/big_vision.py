"""Weights of google-research/big_vision: ViT, SigLIP's image tower, FlexiViT, DeiT-III.

The same blocks as vit_jax under a prefix; positions stand at the top and leave
the class token out, or are computed and not stored at all.
"""

from keras_vit.weights import google
from keras_vit.weights.checkpoint_facts import (
    Facts,
    Family,
    image_size_needed,
    position,
)

# Of several that begin so, the first; any other prefix is taken where it is alone.
PREFIXES = ("", "params/", "opt/target/", "params/img/", "img/", "opt/target/img/")
ROOT = "embedding/kernel"
POSITION = "pos_embedding"
MAP_PARTS = ("probe", "LayerNorm_0/", "MlpBlock_0/", google.ATTENTION + "/")


def _prefix(arrays):
    """Prefix of the image tower's names, or None."""
    for prefix in PREFIXES:
        if f"{prefix}{ROOT}" in arrays:
            return prefix
    found = [n.removesuffix(ROOT) for n in arrays if n.endswith(f"/{ROOT}")]
    return found[0] if len(found) == 1 else None


def recognises(arrays):
    """Whether names are Flax names without vit_jax's position table."""
    return _prefix(arrays) is not None


def normalise(arrays):
    """Strip the prefix, unstack the blocks, number modules per class."""
    prefix = _prefix(arrays)
    arrays = arrays.without(
        lambda name: None if name.startswith(prefix) else "not of the image tower"
    )
    arrays = arrays.renamed(lambda name: _canonical(name.removeprefix(prefix)))
    return google.unstacked(arrays)


def _canonical(name):
    name = google.per_class(name)
    if name in (google.POSITION, "Transformer/pos_embedding"):
        return POSITION
    return f"MAPHead_0/{name}" if name.startswith(MAP_PARTS) else name


def read(arrays, request):
    """`Facts` of a big_vision file."""
    options = google.encoder(arrays)
    stride = google.patch_stride(options)
    if POSITION not in arrays:
        size = image_size_needed(arrays, request)
        note = "no positions in the file: sincos2d, as big_vision computes them."
        fields = {"position": "sincos2d", "position_prefix": False, "image_size": size}
        return Facts({**options, **fields}, None, "zoom", (note,))
    fields, grid = position(
        arrays, POSITION, int(options["class_token"]), stride, request
    )
    return Facts({**options, **fields}, grid, "zoom")


def rules(options):
    """The table of vit_jax with the position table at the top."""
    return google.rules(options, POSITION)


FAMILY = Family("big_vision", recognises, normalise, read, rules)
