"""Arguments of other libraries are answered with the name that they have here."""

import numpy as np
import pytest

import keras_vit
from keras_vit import training, words
from keras_vit.models import Architecture
from keras_vit.training.recipes import Recipe

TI16 = keras_vit.ViT_Ti16


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (TI16, {"image_size": 224}, "Use input_shape=(224, 224, 3)."),
        (TI16, {"img_size": (192, 256)}, "Use input_shape=(192, 256, 3)."),
        (TI16, {"num_classes": 10}, "'num_classes'. Use classes=10."),
        (TI16, {"dropuot": 0.1}, "Did you mean 'dropout'?"),
        (TI16, {"input_shape": 224}, "got 224. Use input_shape=(224, 224, 3)."),
        (
            TI16,
            {"input_shape": (3, 192, 256)},
            "last, got (3, 192, 256). Use input_sha",
        ),
        (TI16, {"weights": True}, "got True. Use weights='augreg_in21k_ft_in1k'"),
        (TI16, {"pretrained": True}, "Use weights=..."),
        (TI16, {"classifier_activation": "sofmax"}, "'softmax' or another activation"),
        (TI16, {"pooling": "avg"}, "got 'avg'. Use 'gap'."),
        (keras_vit.BiT_R50x1, {"image_size": 128}, "Use input_shape=(128, 128, 3)."),
        (keras_vit.VisionTransformer, {"num_heads": 2}, "Use heads=2."),
        (
            keras_vit.VisionTransformer,
            {"input_shape": (64, 64, 3)},
            "Use image_size=(64, 64).",
        ),
        (keras_vit.MaskedAutoencoder, {"embed_dim": 64}, "Use width=64."),
        (training.get_recipe, {"name": "finetune", "lr": 0.1}, "learning_rate=0.1."),
        (training.get_recipe, {"name": "finetune", "output": "x"}, "output_dir='x'."),
        (training.get_recipe, {"name": "finetune", "val_data": 1}, "Use data=..."),
    ],
)
def test_one_sentence_has_the_right_name(build, options, message):
    """And the value as it belongs there; nothing is built."""
    name = options.pop("name", None)
    with pytest.raises((TypeError, ValueError)) as error:
        build(*([] if name is None else [name]), **options)

    assert message in str(error.value) and len(str(error.value)) < 260


def test_words_lead_to_arguments_that_exist():
    """A hint that names nothing would be worse than none."""
    models = {*Architecture.__dataclass_fields__, "weights"}
    recipes = {*Recipe.__dataclass_fields__, "output_dir", "strategy"}

    assert set(words.MODELS.values()) <= models
    assert set(words.TRAINING.values()) <= recipes


def test_numbers_of_numpy_are_whole_numbers():
    """As `labels.max() + 1` gives them."""
    arch = Architecture(classes=np.int64(7), image_size=np.int32(32), patch_size=16)

    assert (7, (32, 32)) == (arch.classes, arch.image_size)
    assert int is type(arch.classes)
