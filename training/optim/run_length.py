"""How long a run is: epochs, and steps in each of them."""

import math


def length(recipe, per_epoch):
    """Epochs and steps per epoch of a run.

    A recipe that counts updates is cut into stretches of equal length, as near to a
    pass over the data as the number of updates can be divided.

    Args:
        recipe: `Recipe`. per_epoch: batches of one pass over the training images.

    Returns:
        (epochs, steps per epoch).

    >>> from keras_vit.training.recipes import Recipe
    >>> length(Recipe(name="x", epochs=3), 97)
    (3, 97)
    >>> length(Recipe(name="x", steps=10_000), 97)
    (100, 100)
    """
    if recipe.steps is None:
        return recipe.epochs, per_epoch
    total = recipe.steps
    divisors = [n for n in range(1, math.isqrt(total) + 1) if total % n == 0]
    divisors += [total // n for n in divisors]
    steps = min(divisors, key=lambda n: abs(math.log(n / per_epoch)))
    return total // steps, steps
