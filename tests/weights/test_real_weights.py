"""The real ViT-Ti/16 of AugReg and real photographs."""

import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit import preprocess, weights

# As recorded: short side to 248 with PIL bicubic, long side rounded, crop of 224
# with its corner rounded down.
PREPARATION = keras_vit.Preprocessing(
    (224, 224), "google", "short_side", 0.9, "bicubic", True, "each_pass", "tensorflow"
)


@pytest.fixture(scope="module")
def model(shared):
    """The float32 weights, with the exact GELU of the recorded logits."""
    path = shared / "data" / "vit_ti16_in1k_224.jax_layout.f32.npz"
    return weights.from_checkpoint(path, activation="gelu", verbose=0)


def test_golden_logits(model, shared):
    """Eight images give the recorded logits within 1e-4."""
    found = np.load(shared / "data" / "vit_ti16_golden_8_images.npz")
    images = preprocess.preprocess_input(found["images"], "google")

    got = ops.convert_to_numpy(model(images))

    assert 1e-4 > np.abs(found["logits"] - got).max()


def test_half_precision_file(shared):
    """The timm-named float16 file gives the logits recorded for it."""
    path = shared / "data" / "vit_ti16_in1k_224.timm.f16.safetensors"
    model = weights.from_checkpoint(path, verbose=0)
    found = np.load(shared / "data" / "vit_ti16_golden_8_images.npz")
    images = preprocess.preprocess_input(found["images"], "google")

    got = ops.convert_to_numpy(model(images))

    assert PREPARATION == model.preprocessing
    assert 1e-4 > np.abs(found["logits_from_f16_weights"] - got).max()


def score(model, files):
    """(logits, correct) of image files whose names begin with their class."""
    logits, labels = [], []
    for start in range(0, len(files), 50):
        batch = files[start : start + 50]
        images = [preprocess.preprocess_image_file(f, PREPARATION) for f in batch]
        logits.append(ops.convert_to_numpy(model(np.stack(images))))
        labels += [int(file.name.split("_")[0]) for file in batch]
    logits = np.concatenate(logits)
    return logits, logits.argmax(axis=1) == np.array(labels)


def test_photographs_as_recorded(model, shared):
    """Our decoding, resizing and model agree with timm's on photographs."""
    folder = shared / "data" / "imagenet_sample_1000_s256"
    files = sorted(folder.glob("*.jpg"), key=lambda file: int(file.name.split("_")[0]))
    found = np.load(shared / "data" / "vit_ti16_expected_sample_1000.npz")
    expected = found["logits_f16"][::40].astype("float32")

    logits, _ = score(model, files[:1000:40])

    # float16 logits of up to 20 have steps of 0.016; a pixel may be a level off
    assert 0.03 > np.abs(expected - logits).max()


@pytest.mark.slow
def test_top_1_of_the_sample(model, shared):
    """80.6% of the thousand photographs, within 0.2 points."""
    folder = shared / "data" / "imagenet_sample_1000_s256"

    _, correct = score(model, sorted(folder.glob("*.jpg")))

    assert 1000 == len(correct)
    assert 0.002 >= abs(0.806 - correct.mean())


def test_names_of_the_thousand_classes(shared):
    """A published head of 1,000 classes is ImageNet's; a new one has no names."""
    path = shared / "data" / "vit_ti16_in1k_224.timm.f16.safetensors"

    assert "tench" == weights.from_checkpoint(path, verbose=0).labels[0]
    assert weights.from_checkpoint(path, classes=5, verbose=0).labels is None
    assert weights.from_checkpoint(path, include_top=False, verbose=0).labels is None
