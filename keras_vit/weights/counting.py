"""Parameter counts of named models from tables, without building one."""

from keras_vit import variants

CLASSES, SIDE = 1000, 224  # of named models, unless a row says otherwise
# Layers of Keras beside blocks or units: image, patches, encoder, norm, pooling, head.
BESIDE = {"ViT": 6, "DeiT": 9, "BiT": 8}
STEM = 4  # beside the units of a hybrid's ResNet


def outline(variant, side=SIDE, classes=CLASSES, patch_size=None):
    """Parameters, layers and sizes of a named model.

    Args:
        variant: as `variants.parse` gives it. side: of the image, px.
        classes: units of the head; 0 without. patch_size: px, None for its own.

    Returns:
        Dict with "input", "output", "parameters" and "layers", or None for one whose
        convolutions are not in the tables.
    """
    known = _named(variant)
    if variant.family == "BiT":
        width, depth = 4 * variant.filters[-1], sum(variant.units)
        count = None if known is None else known - _head(width, CLASSES)
    else:
        size = variants.SIZES[variant.size]
        width, depth = size.width, size.depth
        count = _body(variant, size, side, patch_size)
        if variant.stem is not None:  # what its ResNet has is the same at every size
            count += known - _body(variant, size, SIDE) - _head(width, CLASSES)
    if count is None:
        return None
    heads = 1 + (variant.family == "DeiT")
    return {
        "input": [side, side, 3],
        "output": [classes or width],
        "parameters": count + heads * _head(width, classes),
        "layers": depth + _beside(variant, classes),
    }


def _named(variant):
    """Parameters with 1,000 classes at 224 px, where the table has them, or None."""
    rows = ((variants.parse(name), name) for name in variants.PARAMETERS)
    return next((variants.PARAMETERS[n] for row, n in rows if row == variant), None)


def _body(variant, size, side, patch_size=None):
    """Parameters without heads; of a hybrid, as with a patch embedding."""
    width, mlp = size.width, size.mlp
    patch = patch_size or variant.patch_size
    px = 32 if variant.family == "R" else patch  # R+Ti/16 really is /32
    prefix = 1 + (variant.family == "DeiT")
    block = 4 * width * (width + 1) + 4 * width + mlp * (2 * width + 1) + width
    stem = (3 * patch * patch + 1) * width
    positions = (prefix + (side // px) ** 2) * width
    return stem + prefix * width + positions + size.depth * block + 2 * width


def _head(width, classes):
    return (width + 1) * classes


def _beside(variant, classes):
    """Number of layers besides blocks or units."""
    family = variant.family if variant.family in BESIDE else "ViT"
    count = BESIDE[family]
    if family == "ViT" and variant.stem is not None:
        count += STEM + sum(variant.stem)
    heads = 3 if family == "DeiT" else 1
    return count if classes else count - heads
