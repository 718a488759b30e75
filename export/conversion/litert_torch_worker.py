"""Worker script: converts a Keras model on torch to float32 `.tflite` by litert-torch.

python litert_torch_worker.py model.keras out.tflite logits

It runs in an environment of its own, with KERAS_BACKEND=torch; `litert_torch` starts
it. The names are those of the outputs.
"""

import importlib.util
import sys

MISSING = 3  # exit code when litert-torch is not installed


def convert(source, target, names):
    """Convert one model with a batch size of 1.

    Args:
        source: `.keras` file. target: `.tflite` file. names: of the outputs.
    """
    import keras
    import litert_torch
    import torch

    import keras_vit  # noqa: F401  registers the layers

    model = keras.models.load_model(source)

    class DictOutputs(torch.nn.Module):
        """The model with a dictionary of outputs."""

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, image):
            outputs = keras.tree.flatten(self.model(image, training=False))
            return dict(zip(names, outputs, strict=True))

    image = torch.zeros((1, *model.inputs[0].shape[1:]))
    made = litert_torch.convert(DictOutputs().eval(), sample_kwargs={"image": image})
    made.export(target)


if __name__ == "__main__":
    if importlib.util.find_spec("litert_torch") is None:
        sys.exit(MISSING)
    convert(sys.argv[1], sys.argv[2], sys.argv[3:])
