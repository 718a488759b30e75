import keras
import numpy as np
import pytest

from keras_vit.training.optim import schedules
from keras_vit.training.recipes import Recipe

PEAK, TOTAL, WARMUP, COOLDOWN = 2e-3, 50, 7, 9


def rise(t):
    """Warm-up factor."""
    return np.minimum(1, t / WARMUP)


def progress(t):
    """Share of what follows the warm-up."""
    return np.clip((t - WARMUP) / (TOTAL - WARMUP), 0, 1)


def fall(t):
    """Cool-down factor."""
    return np.clip((TOTAL - t) / COOLDOWN, 0, 1)


FORMULAS = {
    "cosine": ({}, lambda t: PEAK * (1 + np.cos(np.pi * progress(t))) / 2 * rise(t)),
    "cosine to a rate": (
        {"final": 1e-4},
        lambda t: (
            (1e-4 + (PEAK - 1e-4) * (1 + np.cos(np.pi * progress(t))) / 2) * rise(t)
        ),
    ),
    "linear": (
        {"final": 1e-5},
        lambda t: (1e-5 + (PEAK - 1e-5) * (1 - progress(t))) * rise(t),
    ),
    "rsqrt": (
        {"timescale": 5, "shift": 3, "cooldown": f"{COOLDOWN} steps"},
        lambda t: (
            PEAK
            / np.sqrt(1 + (np.where(t < WARMUP, 3, t + 3 - WARMUP)) / 5)
            * rise(t)
            * fall(t)
        ),
    ),
    "constant": (
        {"cooldown": f"{COOLDOWN} steps"},
        lambda t: PEAK * rise(t) * fall(t),
    ),
    "steps": (
        {"drop": ["2 epochs", "30 steps", 0.8], "factor": 0.5},
        lambda t: PEAK * rise(t) * 0.5 ** ((t > 20).astype(int) + (t > 30) + (t > 40)),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_schedule_follows_its_formula_step_by_step(name):
    """Also after its end, and after a round trip through its configuration."""
    options, formula = FORMULAS[name]
    recipe = Recipe(
        name="x",
        learning_rate=PEAK,
        warmup=f"{WARMUP} steps",
        schedule={"name": name.split()[0], **options},
    )
    steps = np.arange(TOTAL + 10)
    expected = formula(steps)
    schedule = schedules.make_schedule(recipe, 5, TOTAL // 5)
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)

    np.testing.assert_allclose(schedule(steps), expected, rtol=2e-6, atol=1e-10)
    np.testing.assert_array_equal(schedule(steps), again(steps))


def test_the_rate_of_deit_changes_between_epochs_and_lags_by_one():
    """Epoch 0 and 1 have the first rate; the cosine starts with the run."""
    epochs, per_epoch, warm = 20, 3, 5
    recipe = Recipe(
        name="x", learning_rate=1e-3, warmup="5 epochs", schedule="epoch_cosine"
    )
    schedule = schedules.make_schedule(recipe, epochs, per_epoch)
    expected = []
    for epoch in range(epochs):
        t = max(0, epoch - 1)
        if t < warm:
            rate = 1e-6 + t * (1e-3 - 1e-6) / warm
        else:
            rate = 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + np.cos(np.pi * t / epochs))
        expected += [rate] * per_epoch

    got = [float(schedule(step)) for step in range(epochs * per_epoch)]
    np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_durations_are_steps_epochs_examples_or_shares():
    """Epochs and examples are at least one step, as in big_vision."""
    durations = (0.1, "30 steps", "0.001 epochs", "2 epochs", "640 examples", "5%", 0)

    expected = [100, 30, 1, 20, 20, 50, 0]
    assert expected == [schedules.steps_of(d, 1000, 10, 32) for d in durations]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "cosin"}, "schedule: must be one of.*got 'cosin'.*'cosine'"),
        ({"schedule": {"name": "linear", "end": 1}}, "'linear' takes.*final.*'end'"),
        ({"warmup": "5 parsecs"}, "duration: must be.*'5 epochs'.*got '5 parsecs'"),
        ({"warmup": "-5 epochs"}, "duration: .*got '-5 epochs'"),
        ({"warmup": 1.5}, "warmup: must be a number, at least 0 and below 1, got 1.5"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_recipe(change, message):
    """Before any data are read."""
    with pytest.raises(ValueError, match=message):
        Recipe(name="x", **change)


def test_a_warmup_that_is_longer_than_the_run_is_refused():
    """In steps it is meant as it is said; a share always fits."""
    recipe = Recipe(name="x", warmup="10000 steps")
    with pytest.raises(ValueError, match="below total_steps=20, got 10000. Shorten"):
        schedules.make_schedule(recipe, 2, 10)
    share = schedules.make_schedule(Recipe(name="x", warmup=0.99), 1, 3)
    assert 2 == share.warmup_steps


def test_a_cooldown_that_begins_in_the_warmup_is_refused():
    """The message has what is left."""
    with pytest.raises(ValueError, match="at most 6, .* got 7. Shorten the cool-down"):
        schedules.WarmupConstant(1.0, 10, 4, 7)
