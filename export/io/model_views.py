"""Copies of the model at each image size and batch size, with shared weights."""

import dataclasses

import keras

from keras_vit.export.io.io_adapter import FEATURES, AdaptedReference, IOAdapter
from keras_vit.export.io.io_spec import TensorSpec
from keras_vit.layers.patches import pair
from keras_vit.models.output_activation import labels_of, meaning, scales
from keras_vit.models.resize import at_size
from keras_vit.private_keras import origin_of

# Layers between the features and the scores: heads, their mean, an activation.
HEADS = (
    keras.layers.Dense,
    keras.layers.Average,
    keras.layers.Activation,
    keras.layers.Softmax,
    keras.layers.Dropout,
)


class ModelViews:
    """The `ModelView` of each image size and batch size.

    Args:
        reference: `Reference` of the model as it is.
        linear: whether features leave through a dense layer that changes nothing;
            rewrites before integers need a layer that takes up what they do.
    """

    def __init__(self, reference, linear=False):
        self._base, self._linear, self._found = reference, linear, {}

    def get(self, image_size, batch_size, output):
        """The view that gives this output, "scores" or "features".

        Raises:
            TypeError, ValueError: for a size, batch or output that cannot be.
        """
        contract = self._base.contract
        own_size = contract.image.shape[1:3]
        size = own_size if image_size is None else pair(image_size, "image_size")
        batch = contract.batch if batch_size is None else _count(batch_size)
        if (size, batch) not in self._found:
            model = self._base.model
            model = at_size(model, size, share=True)
            view = ModelView(self._base, model, size, batch, self._linear)
            self._found[size, batch] = view
        view = self._found[size, batch]
        view.want(output)
        return OutputView(view, output)


def _count(batch_size):
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(
            f"batch_size: must be a whole number above 0, got {batch_size!r}. Use 1, "
            "or leave it out."
        )
    return batch_size


class ModelView:
    """The model at one image size and batch size, with the outputs asked for.

    Args:
        base: `Reference` that it comes from. model: at this size.
        size: (H, W) px. batch: images per call, or None. linear: see `ModelViews`.
    """

    def __init__(self, base, model, size, batch, linear):
        self.base, self.model, self._linear = base, model, linear
        channels = base.contract.image.shape[-1]
        self.image = TensorSpec(
            base.contract.image.name, "float32", (batch, *size, channels)
        )
        self.batch, self._tensors, self._references = batch, {}, {}

    @property
    def is_base(self):
        """Whether it is the original model with a batch size of 1."""
        return self.image == self.base.contract.image

    def want(self, output):
        """Add an output."""
        if output in self._tensors:
            return
        tensors = self.model.outputs
        names = [tensor.name for tensor in self.base.contract.outputs]
        if output == FEATURES:
            tensors, names = [features_of(self.model)], [FEATURES]
            if self._linear:
                width = tensors[0].shape[-1]
                same = keras.layers.Dense(width, kernel_initializer="identity")
                tensors = [same(tensors[0])]
        self._tensors[output] = [
            (TensorSpec(name, "float32", (self.batch, *tensor.shape[1:])), tensor)
            for name, tensor in zip(names, tensors, strict=True)
        ]

    def reference(self, *wanted):
        """Build the `Reference` of these outputs; of all where none is named."""
        wanted = wanted or tuple(self._tensors)
        if self.is_base and wanted == ("scores",):
            return self.base
        if wanted not in self._references:
            pairs = [pair for output in wanted for pair in self._tensors[output]]
            outputs = tuple(described for described, _ in pairs)
            model = keras.Model(self.model.inputs, [tensor for _, tensor in pairs])
            model.preprocessing = self.base.contract.note
            model.labels = labels_of(self.base.model)
            contract = dataclasses.replace(
                self.base.contract, image=self.image, outputs=outputs
            )
            self._references[wanted] = self.base.derived(model, contract)
        return self._references[wanted]


@dataclasses.dataclass(frozen=True)
class OutputView:
    """One output of a model view.

    Args:
        view: `ModelView`. output: "scores" or "features".
    """

    view: ModelView
    output: str

    @property
    def contract(self):
        """`Contract` of this output alone."""
        return self.view.reference(self.output).contract

    def adapter(self, **options):
        """`IOAdapter` around it; options are its other fields."""
        note, size = self.contract.note, self.view.image.shape[1:3]
        return IOAdapter(
            self.contract, None if note is None else note.resized(size), **options
        )

    def adapted(self, adapter):
        """Build the `AdaptedReference` of this output."""
        return AdaptedReference(self.view.reference(self.output), adapter, self.view)


def features_of(model):
    """The tensor that the head of a model reads, (B, D).

    Raises:
        ValueError: when there is none, as in a model without a dense head.
    """
    tensor = model.outputs[0]
    operation, inputs, _ = origin_of(tensor)
    while isinstance(operation, HEADS) or scales(operation, inputs):
        tensor = inputs[0]
        if isinstance(operation, keras.layers.Dense):
            break
        operation, inputs, _ = origin_of(tensor)
    if isinstance(operation, keras.Model) and meaning(operation.outputs[0]):
        inside = keras.Model(operation.inputs[0], features_of(operation))
        tensor = inside(inputs[0])
    if len(tensor.shape) != 2:
        raise ValueError(
            "output: 'features' needs a model with one vector per image before its "
            f"head, got shape {tuple(tensor.shape)}. Leave it out."
        )
    return tensor
