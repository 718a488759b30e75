"""Images that were prepared for another model are noticed, honest ones never."""

import numpy as np
import pytest

from keras_vit.export.images.batches import Batches
from keras_vit.export.images.calibration_images import read_calibration
from keras_vit.export.io.io_spec import contract_of
from keras_vit.export.io.reference import Reference
from keras_vit.export.quantization import prepare_model
from keras_vit.export.quantization.qat import finetune
from keras_vit.preprocess import Preprocessing, preprocess_input


@pytest.fixture(scope="module")
def reference(model):
    """The model, which takes -1 to 1."""
    return Reference(model)


@pytest.fixture(scope="module")
def contract(reference):
    """What it takes."""
    return reference.contract


def imagenet(tiny):
    """What a model takes whose colours differ."""
    model = tiny()
    model.preprocessing = Preprocessing((32, 32), "imagenet")
    return contract_of(model, dynamic_batch=True)


def read(images, contract):
    """How many images come through, as an array and in batches."""
    counts = []
    for given in (images, np.array_split(images, 5)):
        counts.append(sum(len(batch) for batch, _ in Batches(given, None, contract)))
    assert counts[0] == counts[1]
    return counts[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x + 1) / 2, "-1 to 1, got .* All values fit the range 0 to 1"),
        (lambda x: (x + 1) / 2.5, "preprocess_input.images, mode=.google.. on pixels"),
        (lambda x: x / 2, "All values fit the range -0.5 to 0.5"),
        (lambda x: (x + 1) * 127.5, "in the range of the model, -1 to 1, got .* to 25"),
        (lambda x: x * 2, "got -2 to 2"),
    ],
)
@pytest.mark.parametrize("batched", [False, True])
def test_another_range_is_refused(change, message, batched, photos, reference):
    """Float images of 0 to 1, of 0 to 255, or shifted, in arrays and batches."""
    images = change(photos).astype("float32")
    given = np.array_split(images, 5) if batched else images

    with pytest.raises(
        ValueError, match=f"images: must be in the r.*{message}|{message}"
    ):
        list(Batches(given, None, reference.contract))
    with pytest.raises(ValueError, match="calibration: images: must be in the range"):
        read_calibration(given, reference)


def test_ranges_of_models_are_told_apart(photos, tiny, contract):
    """What fits one mode is refused by the other, in both directions."""
    other = imagenet(tiny)
    pixels = (photos + 1) * 127.5
    right = np.asarray(preprocess_input(pixels, "imagenet"))

    assert 40 == read(right, other)
    with pytest.raises(ValueError, match="-2.12 to 2.64.*fit the range -1 to 1"):
        read(photos, other)
    with pytest.raises(ValueError, match="-1 to 1, got -2.1"):
        read(right, contract)


def test_changes_of_models_look_at_their_images(photos, model):
    """What learns from images before any file is made."""
    pixels = (photos + 1) * 127.5
    for change in (
        lambda: finetune.quantize_aware(model, "int4", pixels),
        lambda: prepare_model.smooth(model, pixels),
        lambda: prepare_model.correct_bias(model, model, pixels),
    ):
        with pytest.raises(ValueError, match="-1 to 1, got .*255.*preprocess_input"):
            change()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 0.2 - 0.8,  # photographs of the night
        lambda x: x * 0.4 + 0.3,  # fog
        lambda x: x * 1.2,  # what resizing overshoots
    ],
)
def test_honest_images_pass(change, photos, contract):
    """Dark, pale, overshooting: what fills no other range is the model's own."""
    assert 40 == read(change(photos).astype("float32"), contract)


def test_few_images_and_unknown_models_are_not_judged(photos, tiny, contract):
    """One bright picture proves nothing; nor does a model that states no range."""
    bright = (photos[:5] + 1) / 2
    assert 5 == read(bright, contract)

    model = tiny()
    model.preprocessing = None
    silent = Reference(model)
    assert not silent.contract.stated
    assert 40 == read((photos + 1) * 127.5, silent.contract)
    assert 40 == len(read_calibration((photos + 1) / 2, silent))
    with pytest.raises(ValueError, match="does not say what it takes.*mode='none'"):
        read_calibration((photos + 1) * 127.5, silent)
    model.preprocessing = Preprocessing((32, 32), "none")
    assert 40 == read((photos + 1) * 127.5, contract_of(model, dynamic_batch=True))
