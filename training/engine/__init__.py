"""The training step: gradients, their sum over micro-batches and devices, the update.

Stock `model.fit` runs it. What a loss is, which optimiser follows the gradients and
where the images come from is decided elsewhere.
"""

from keras_vit.training.engine.jax_train_step import JaxTrainStep
from keras_vit.training.engine.train_step import TrainStep
from keras_vit.training.engine.train_step_base import inner

__all__ = ["JaxTrainStep", "TrainStep", "inner"]
