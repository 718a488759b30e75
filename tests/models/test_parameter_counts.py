"""Golden parameter counts: published ones, and those of the reference code."""

import functools

import pytest

import keras_vit
from keras_vit import variants

# fmt: off
TOKEN_224 = {
    "Ti/16": 5_717_416, "S/8": 22_055_272, "S/16": 22_050_664, "S/32": 22_878_952,
    "B/8": 86_576_872, "B/16": 86_567_656, "B/32": 88_224_232, "L/16": 304_326_632,
    "L/32": 306_535_400, "H/14": 632_045_800, "g/14": 1_012_611_432,
    "G/14": 1_844_440_680,
}
TOKEN_384 = {
    "B/16": 86_859_496, "L/16": 304_715_752, "Ti/16": 5_790_376, "S/16": 22_196_584,
    "B/32": 88_297_192, "L/32": 306_632_680,
}
IN21K = {
    "Ti/16": 9_740_115, "S/16": 30_075_219, "B/16": 102_595_923,
    "B/32": 104_252_499, "L/16": 325_690_707, "H/14": 658_745_683,
}
BIG_VISION = {  #  gap, tok, map
    "Ti/16": (5_717_032, 5_717_224, 6_161_704),
    "S/16": (22_049_896, 22_050_280, 23_823_976),
    "B/16": (86_566_120, 86_566_888, 93_653_224),
    "L/16": (304_324_584, 304_325_608, 316_919_784),
    "H/14": (632_043_240, 632_044_520, 651_719_400),
    "g/14": (1_012_608_616, 1_012_610_024, 1_037_857_384),
    "G/14": (1_844_437_352, 1_844_439_016, 1_882_797_416),
}
# fmt: on
DEIT = {"DeiT-Ti/16": 5_910_800, "DeiT-S/16": 22_436_432, "DeiT-B/16": 87_338_192}
# name -> (options, parameters)
OTHERS = {
    "S/16": [
        ({"pooling": "gap"}, 22_049_896),
        (
            {"pooling": "gap", "position": "sincos2d", "representation_size": 384},
            22_122_472,
        ),
        ({"pooling": "gap", "position": "sincos2d"}, 21_974_632),
    ],
    "S/32": [({"pooling": "gap"}, 22_878_184)],
    "B/16": [
        ({"pooling": "gap"}, 86_566_120),
        ({"representation_size": 768, "classes": 21843}, 103_186_515),
    ],
    "B/32": [({"pooling": "gap"}, 88_222_696)],
    "H/14": [({"input_shape": (378, 378, 3)}, 632_651_240)],
}


def outline(name, **options):
    """Parameters, from shapes alone."""
    return keras_vit.models.abstract_model(
        keras_vit.create, name, **options
    ).count_params()


@functools.cache
def block(name):
    """Parameters of one of its blocks, which are all alike."""
    small = {"input_shape": (224, 224, 3), "classes": 2}
    return outline(name, depth=2, **small) - outline(name, depth=1, **small)


def count(name, **options):
    """The same as `outline`, from one block instead of up to 56."""
    depth = variants.SIZES[variants.parse(name).size].depth
    return outline(name, depth=1, **options) + (depth - 1) * block(name)


@pytest.mark.parametrize("name", ["Ti/16", "DeiT-Ti/16"])
def test_one_block_counts_for_all(name):
    """The whole model has as many as its first block and its depth say."""
    assert count(name) == outline(name)


def rows():
    """Every golden figure as (name, options, parameters)."""
    yield from ((name, {}, n) for name, n in TOKEN_224.items())
    large = {"input_shape": (384, 384, 3)}
    yield from ((name, large, n) for name, n in TOKEN_384.items())
    yield from ((name, {"classes": 21843}, n) for name, n in IN21K.items())
    yield from ((name, {}, n) for name, n in DEIT.items())
    for name, figures in BIG_VISION.items():
        for pooling, n in zip(("gap", "token", "map"), figures, strict=True):
            yield name, {"pooling": pooling, "position_prefix": False}, n
    for name, cases in OTHERS.items():
        yield from ((name, options, n) for options, n in cases)


@pytest.mark.parametrize(("name", "options", "expected"), list(rows()))
def test_parameter_count(name, options, expected):
    """The model has the parameters of its reference, counted without arrays."""
    assert expected == count(name, **options)


def test_every_row_has_a_golden_count():
    """The table of named models and the golden table are the same set."""
    golden = {f"ViT-{name}" for name in TOKEN_224} | set(DEIT)

    assert golden == {
        n for n in variants.model_names() if n.startswith(("ViT", "DeiT"))
    }


def test_the_listed_counts_are_the_golden_ones():
    """`keras-vit list` reads a table; hybrids and BiT compare theirs where they are."""
    golden = {f"ViT-{name}": n for name, n in TOKEN_224.items()} | DEIT

    assert variants.model_names() == list(variants.PARAMETERS)
    assert golden.items() <= variants.PARAMETERS.items()


@pytest.mark.parametrize("size", variants.SIZES)
def test_every_size_follows_the_formula(size):
    """Parameters equal the closed form for a token model with learned positions."""
    row, patch, side, classes = variants.SIZES[size], 14, 112, 7
    d, m, tokens = row.width, row.mlp, (side // patch) ** 2
    block = 4 * d * d + 4 * d + 2 * d * m + m + d + 4 * d
    expected = 3 * patch**2 * d + d + d + (tokens + 1) * d + row.depth * block
    expected += 2 * d + d * classes + classes

    shape = (side, side, 3)
    assert expected == count(f"{size}/{patch}", input_shape=shape, classes=classes)
