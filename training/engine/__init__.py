"""The step of a training run: gradients, their sum over pieces and devices, the update.

Stock `model.fit` runs it. What a loss is, which optimiser follows the gradients and
where the images come from is decided elsewhere.
"""

from keras_vit.training.engine.trainee import Trainee, inner

__all__ = ["Trainee", "inner"]
