"""Self-supervised learning: models with a loss of their own, images without labels."""

import keras_vit
from keras_vit import tasks
from keras_vit.models.pretraining import PretrainingModel
from keras_vit.training.tasks.classification import Classification

# What "kind" in the dict of a recipe's model may be: models with a loss of their own.
KINDS = (
    "MaskedAutoencoder",
    "MaskedPatchPrediction",
    "SimCLR",
    "MoCoV3",
    "ImageGPT",
)


class SelfSupervised(Classification):
    """Targets are those of classification, and nobody looks at them."""

    name = "self_supervised"
    output = tasks.FEATURES
    monitors = {"val_loss": min}
    own_loss, takes_new_head = True, False

    def fits(self, model, target_shape):
        """A model with its own loss, or a dict with such a class as "kind"."""
        if isinstance(model, dict):
            return "kind" in model
        return isinstance(model, PretrainingModel)

    def check_model(self, model):
        """Models say themselves what they take."""

    def build(self, recipe, info):
        """A model of `KINDS`."""
        options = dict(recipe.model)
        kind = self.kind(recipe.model)
        options.pop("kind")
        common = {"image_size": info.image_size, "dtype": recipe.precision}
        note = {"preprocessing": info.preprocessing}
        return kind(**{**common, **note, **options})

    def check_classes(self, model, info):
        """Classes do not matter."""

    def labels(self, info):
        """None: there is no output per class."""

    def kind(self, model):
        """The class of a model, or that which its dict names."""
        if not isinstance(model, dict):
            return type(model)
        if model["kind"] not in KINDS:
            known = ", ".join(map(repr, KINDS))
            raise ValueError(
                f"model: kind must be one of {known}, got {model['kind']!r}."
            )
        return getattr(keras_vit, model["kind"])

    def introduction(self, model):
        """That labels are not looked at."""
        return f"{model.name}: learns from the images alone, without labels."

    def begin(self, model, steps):
        """Let the model know, whose schedules depend on it."""
        model.begin(steps)

    def share_batches(self, model, gather, share):
        """Losses of the whole batch need the rows of all devices."""
        model.gather, model.share = gather, share

    def check_recipe(self, recipe):
        """A model that learns without labels has a loss of its own, and no score."""
        other = "keras_vit.classifier_from(model, classes=...) for a classifier"
        for field, value, remedy in (
            ("monitor", "val_loss", f", or model={other}"),
            ("teacher", None, ""),
            ("progressive", (), ""),
        ):
            if getattr(recipe, field) != value:
                raise ValueError(
                    f"{field}: a model that learns without labels needs "
                    f"{field}={value!r}, got {getattr(recipe, field)!r}. Pass "
                    f"{field}={value!r}{remedy}."
                )

    def loss(self, model, recipe):
        """None: it is that of the model."""

    def metrics(self, info):
        """None but the loss."""
        return []
