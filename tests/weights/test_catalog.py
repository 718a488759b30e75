"""The tables of published checkpoints."""

import re

import pytest

import keras_vit
from keras_vit import variants, weights
from keras_vit.weights import catalog

SIZES = (160, 224, 240, 384, 448, 480)  # px


def test_rows_are_complete():
    """Every row has a model, an address, a preparation, a licence."""
    rows = catalog.rows()

    assert 120 < len(rows)
    for name, row in rows.items():
        assert name == row.name and variants.parse(row.variant)
        assert re.fullmatch(r"https://[\w.%/+-]+\.(npz|pth|safetensors)", row.url)
        assert row.image_size in SIZES and row.classes in (0, 1000, 21843)
        assert catalog.preparation(row).image_size == (row.image_size,) * 2
        assert row.licence and (row.score is None) == (row.source == "")
        assert row.score is None or 70 < row.score < 90


@pytest.mark.parametrize(
    "function", sorted({row.variant for row in catalog.rows().values()})
)
def test_variants_exist(function):
    """The variant of a row is a function of the package, buildable at its size."""
    assert callable(getattr(keras_vit.models.named, function))
    one = {} if function.startswith("BiT") else {"depth": 1}  # blocks are all alike
    model = keras_vit.models.abstract_model(
        keras_vit.create, function, classes=3, **one
    )
    assert (None, 3) == model.output_shape


def test_patterns_and_names():
    """Names can be listed by pattern, found, and guessed."""
    names = weights.list_checkpoints("*augreg_in21k_ft_in1k*")

    assert "ViT_B16.augreg_in21k_ft_in1k_384" in names and 18 <= len(names)
    assert "ViT-B/16" != catalog.find(names[0]).variant
    with pytest.raises(ValueError, match="Did you mean 'ViT_B16.sam_in1k_224'"):
        weights.from_checkpoint("ViT_B16.sam_in1k")


def test_rows_for_a_model():
    """A model's function takes the tag and picks the nearest image size."""
    find = catalog.find_for

    tag = "augreg_in21k_ft_in1k"
    assert 224 == find("ViT_B16", tag).image_size
    assert 384 == find("ViT_B16", tag, 448).image_size
    assert 384 == find("ViT_B16", f"{tag}_384").image_size
    assert "ViT_S16" == find("ViT_S16", f"ViT_S16.{tag}_224").variant
    with pytest.raises(ValueError, match="one of DeiT_B16's checkpoints .'distilled"):
        find("DeiT_B16", tag)


def test_addresses_are_the_published_ones():
    """Some addresses spelt out, so that the composition of others cannot drift."""
    base = "https://storage.googleapis.com/vit_models"
    bit = "https://storage.googleapis.com/bit_models"
    augreg = f"{base}/augreg/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0"
    expected = {
        "ViT_B16.augreg_in21k_224": f"{augreg}.npz",
        "ViT_B16.augreg_in21k_ft_in1k_384": f"{augreg}--imagenet2012-steps_20k-"
        "lr_0.01-res_384.npz",
        "R50_B16.orig_in21k_ft_in1k_384": f"{base}/imagenet21k%2Bimagenet2012/"
        "R50%2BViT-B_16.npz",
        "BiT_R50x1.goog_in21k_224": f"{bit}/BiT-M-R50x1.npz",
        "BiT_R152x4.goog_in21k_ft_in1k_480": f"{bit}/BiT-M-R152x4-ILSVRC2012.npz",
        "BiT_R50x1.distilled_in1k_160": f"{bit}/distill/R50x1_160.npz",
        "DeiT_B16.distilled_in1k_224": "https://dl.fbaipublicfiles.com/deit/"
        "deit_base_distilled_patch16_224-df68dfff.pth",
    }

    assert expected == {name: catalog.find(name).url for name in expected}
    assert "df68dfff" == catalog.find("DeiT_B16.distilled_in1k_224").hash_start
    assert catalog.find("ViT_B16.augreg_in21k_224").hash_start is None


def test_files_are_known_by_their_name():
    """A file that only one row has brings that row's notes along."""
    url = catalog.find("ViT_S16.plain_in1k_300ep_224").url

    assert 80.0 == catalog.by_file(url.split("/")[-1]).score
    assert catalog.by_file("ViT-B_16.npz") is None  # in three buckets
