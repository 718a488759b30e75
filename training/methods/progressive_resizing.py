"""Progressive resizing: images grow during a run, so that early steps cost less."""

import keras
import tensorflow as tf

from keras_vit.models.abstract_model import outline
from keras_vit.models.resize import config_at, fit_of

KERNEL = "bilinear_antialias"  # positions are shrunk as the images are


class Growth:
    """Progressive resizing: the image sizes of a run, and the model at each of them.

    Images arrive at full size and are shrunk (bilinear, averaging) in the step. The
    model at a smaller size is the same graph over the same weights; a learned position
    table is averaged down to the smaller grid, and learns through that; a fixed one is
    that of the grid.

    Args:
        model: functional, with square images of a fixed size.
        pairs: (share of the run, px), from share 0 upwards.
        total_steps: of the run.

    Raises:
        ValueError: for a size that cannot be cut into patches or is not below that of
            the model, or a model that depends on its size in another way.

    Source:
        Tan and Le 2021, arXiv:2104.00298, section 4 (progressive learning).
    """

    def __init__(self, model, pairs, total_steps):
        self.starts = [round(share * total_steps) for share, _ in pairs]
        self.views = [_view(model, size) for _, size in pairs]

    def __call__(self, images, step):
        """Predictions in training at the image size of a step.

        Args:
            images: (B, H, W, C) at full size. step: int tensor.
        """
        stage = tf.reduce_sum(tf.cast(step >= self.starts, tf.int32)) - 1
        branches = [lambda view=view: view(images) for view in self.views]
        return tf.switch_case(stage, branches)


def _view(model, size):
    """Full-size images -> predictions of a model that sees them smaller."""
    full = model.input_shape[1:3]
    if full == (size, size):
        return lambda images: model(images, training=True)
    if None in full or full[0] != full[1] or size > full[0]:
        raise ValueError(
            f"progressive: {size} px must be at most the size of square images, got a "
            f"model for {full}. The last pair may have the full size."
        )
    try:
        small = outline(type(model).from_config, config_at(model, (size, size)))
        pairs = list(zip(small.variables, model.variables, strict=True))
        fits = [fit_of(ours, theirs, model, small, KERNEL) for theirs, ours in pairs]
    except ValueError as err:
        raise ValueError(f"progressive: {err}") from err

    def view(images):
        images = tf.image.resize(images, (size, size), antialias=True)
        mapping = [
            (theirs, ours.value if fit is None else fit(ours.value, keras.ops))
            for (theirs, ours), fit in zip(pairs, fits, strict=True)
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            answers = small(images, training=True)
        for theirs, ours in pairs:  # seeds, and what batch norms count
            if not ours.trainable and ours.shape == theirs.shape:
                ours.assign(scope.get_current_value(theirs))
        return answers

    return view
