"""Configurations of timm and transformers: ranges, geometry, labels."""

import pytest

from keras_vit.errors import CheckpointError
from keras_vit.preprocess import Preprocessing
from keras_vit.weights import configs
from keras_vit.weights.timm_config import labels_of

CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def hugging(**config):
    """(`Preprocessing`, sentences) of a preprocessor_config.json."""
    fields, notes = configs.hugging_face("p.json", config, (16, 16))
    return Preprocessing((16, 16), **fields), notes


@pytest.mark.parametrize(
    ("config", "mode", "rows"),
    [
        (CLIP, "clip", None),
        ({"image_mean": 0.4, "image_std": [0.3]}, "custom", ((0.4,), (0.3,))),
        ({"image_mean": [127.5] * 3, "image_std": 127.5, "do_rescale": False},
         "google", None),
        ({"do_normalize": False}, "custom", ((0.0,), (1.0,))),
        ({"do_normalize": False, "do_rescale": False}, "none", None),
        ({"do_normalize": False, "rescale_factor": 1 / 127.5, "rescale_offset": True},
         "google", None),
        ({"image_processor": {**CLIP}}, "clip", None),
    ],
)  # fmt: skip
def test_every_key_of_the_range_is_read(config, mode, rows):
    """do_rescale, rescale_factor, do_normalize, lists, scalars, processors around."""
    found, _ = hugging(**config)

    assert mode == found.mode
    assert rows is None or rows == found.statistics()


def test_null_takes_the_default_of_the_processor_and_says_so():
    """What is not written is named."""
    found, notes = hugging(image_mean=None, image_processor_type="CLIPImageProcessor")

    assert "clip" == found.mode
    assert 2 == len(notes) and "image_mean is not given" in notes[0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (32, ("squash", 1.0)),
        ([32, 32], ("squash", 1.0)),
        ({"height": 32, "width": 32}, ("squash", 1.0)),
        ({"shortest_edge": 32}, ("short_side", 1.0)),
        (None, ("squash", 1.0)),
    ],
)
def test_sizes_in_every_spelling(size, expected):
    """Numbers, lists and dictionaries."""
    found, _ = hugging(size=size)

    assert expected == (found.resize, found.crop)


def test_crops():
    """crop_size of a centre crop, and crop_pct of ConvNeXt and LeViT."""
    cut = hugging(size={"shortest_edge": 32}, crop_size=28, do_center_crop=True)[0]
    share = hugging(size={"shortest_edge": 224}, crop_pct=0.875)[0]

    assert ("short_side", 0.875) == (cut.resize, cut.crop)
    assert ("short_side", 0.875) == (share.resize, share.crop)


@pytest.mark.parametrize(
    ("key", "value"),
    [("resample", 9), ("resample", "cube"), ("size", "big"), ("image_std", 0),
     ("rescale_factor", -1), ("do_normalize", "yes"), ("image_mean", "x")],
)  # fmt: skip
def test_a_value_without_sense_is_named(key, value):
    """The error has the file, the key and the value."""
    with pytest.raises(CheckpointError, match=f"p.json: '{key}' must be .*{value}"):
        hugging(**{key: value})


def test_steps_that_are_not_done_are_said():
    """Padding and its like change pixels."""
    _, notes = hugging(do_pad=True, do_thumbnail=False, do_grayscale=True, **CLIP)
    assert [
        f"do_{name} is true, which is not done here." for name in ("pad", "grayscale")
    ] == notes


def test_filters_that_are_missing_are_replaced_and_said():
    """By number or name; the nearest one stands in."""
    for value, taken in ((1, "bicubic"), ("hamming", "bilinear"), (4, "area")):
        found, notes = hugging(resample=value, **CLIP)
        assert taken == found.interpolation
        assert (taken == "area") == (not notes)


def test_timm_nested_flat_and_null():
    """pretrained_cfg goes before the top level; null is timm's default, and said."""
    flat = {"mean": [0.4] * 3, "std": [0.3] * 3, "crop_pct": 0.95}
    fields, notes = configs.timm("c.json", flat)
    assert ((0.4,) * 3, 0.95) == (fields["mean"], fields["crop"]) and not notes

    nested = {**flat, "pretrained_cfg": {"mean": [0.5] * 3, "crop_pct": None}}
    fields, notes = configs.timm("c.json", nested)
    assert ((0.5,) * 3, (0.3,) * 3) == (fields["mean"], fields["std"])

    fields, notes = configs.timm("c.json", {"crop_mode": "border", "std": None})
    assert "squash" == fields["resize"] and 3 == len(notes)
    assert configs.timm("c.json", {"architecture": "vit_x"}) is None


@pytest.mark.parametrize(
    "config",
    [
        {"label_names": ["ash", "elm"]},
        {"pretrained_cfg": {"label_names": ["ash", "elm"]}},
        {"id2label": {"1": "elm", "0": "ash"}},
        {"label_names": ["n1", "n2"], "label_descriptions": {"n2": "elm", "n1": "ash"}},
        {"label_descriptions": ["ash", "elm"]},
    ],
)
def test_labels_of_every_spelling(config):
    """Names at the top or nested, numbered, or with descriptions."""
    assert (["ash", "elm"], None) == labels_of(config, 2)


def test_labels_that_do_not_fit_are_said():
    """Another number of names than classes is left out with a word."""
    names, said = labels_of({"label_names": ["ash"]}, 2)

    assert names is None and "does not name each of 2" in said
    assert (None, None) == labels_of({"id2label": {"0": "LABEL_0", "1": "b"}}, 2)
