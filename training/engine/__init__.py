"""The step of a training run: gradients, their sum over pieces and devices, the update.

Stock `model.fit` runs it. What a loss is, which optimiser follows the gradients and
where the images come from is decided elsewhere.
"""

from keras_vit.training.engine.jax_trainee import JaxTrainee
from keras_vit.training.engine.trainee import Trainee
from keras_vit.training.engine.wrapping import inner

__all__ = ["JaxTrainee", "Trainee", "inner"]
