import keras
import numpy as np
import pytest

from keras_vit.training.optim import optimizers, param_groups, update_rules

SHAPES = {"block_0/kernel": (40, 33), "block_0/bias": (33,), "head/kernel": (3, 4)}
STEPS, DECAY = 6, 0.1


def schedule(t):
    """Learning rate of a step."""
    return 0.1 / (1 + t)


@keras.saving.register_keras_serializable("tests")
class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """The same for Keras."""

    def __call__(self, step):
        return 0.1 / (1.0 + keras.ops.cast(step, "float32"))

    def get_config(self):
        return {}


def adam(p, g, s, t, b1=0.9, b2=0.999):
    """Its direction."""
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    return s["m"] / (1 - b1**t) / (np.sqrt(s["v"] / (1 - b2**t)) + 1e-8)


def lamb(p, g, s, t, decay):
    """Its step, decay included."""
    step = adam(p, g, s, t)
    if decay:
        step = step + decay * p
        step = step * np.linalg.norm(p) / np.linalg.norm(step)
    return step


def momentum(p, g, s, t):
    """Its direction."""
    s["m"] = 0.9 * s.get("m", 0) + g
    return s["m"]


def nesterov(p, g, s, t):
    """Its direction."""
    return g + 0.9 * momentum(p, g, s, t)


def lion(p, g, s, t):
    """Its direction."""
    old = s.get("m", 0)
    s["m"] = 0.99 * old + 0.01 * g
    return np.sign(0.9 * old + 0.1 * g)


def adafactor(p, g, s, t):
    """Its direction."""
    rate = min(0.999, 1 - t**-0.8)
    square = g**2 + 1e-30
    if p.ndim == 2 and min(p.shape) >= 32:
        s["r"] = rate * s.get("r", 0) + (1 - rate) * square.mean(axis=1)
        s["c"] = rate * s.get("c", 0) + (1 - rate) * square.mean(axis=0)
        size = np.outer(s["r"], s["c"]) / s["r"].mean()
    else:
        size = s["v"] = rate * s.get("v", 0) + (1 - rate) * square
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g / np.sqrt(size)
    return s["m"]


RULES = {
    "adamw": ({}, adam),
    "lamb": ({}, lamb),
    "sgd": ({}, momentum),
    "nesterov": ({"name": "sgd", "nesterov": True}, nesterov),
    "lion": ({}, lion),
    "adafactor": ({}, adafactor),
}


def make_variables():
    """Two layers, one with a matrix that is worth factoring."""
    rng = np.random.default_rng(0)
    made = []
    for path, shape in SHAPES.items():
        layer, name = path.split("/")
        value = rng.standard_normal(shape).astype("float32")
        with keras.name_scope(layer):
            made.append(keras.Variable(value, name=name))
    return made


def make_gradients(step):
    """Gradients of a step."""
    rng = np.random.default_rng(step + 1)
    return [rng.standard_normal(s).astype("float32") for s in SHAPES.values()]


@pytest.mark.parametrize("name", RULES)
def test_an_optimizer_follows_its_formula_step_by_step(name):
    """With a falling rate, decay on kernels only, and rates by pattern."""
    options, rule = RULES[name]
    kind, options = optimizers.check("x", {"name": name, **options})
    factors = {"block_0/": 0.5, "bias": 3.0}
    optimizer = kind(Falling(), weight_decay=DECAY, rates=factors, **options)
    variables = make_variables()
    assert list(SHAPES) == [v.path for v in variables]
    expected = [v.numpy().astype("float64") for v in variables]
    memory = [{} for _ in variables]
    for step in range(STEPS):
        gradients = make_gradients(step)
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        for k, (path, g) in enumerate(zip(SHAPES, gradients, strict=True)):
            rate = schedule(step) * {0: 0.5, 1: 1.5, 2: 1.0}[k]
            decay = DECAY if path.endswith("kernel") else 0.0
            p = expected[k]
            if rule is lamb:
                move = rule(p, g.astype("float64"), memory[k], step + 1, decay)
            else:
                move = rule(p, g.astype("float64"), memory[k], step + 1) + decay * p
            expected[k] = p - rate * move

    for wanted, variable in zip(expected, variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_an_optimizer_survives_its_configuration(name):
    """Rates and decays are in it."""
    kind = optimizers.OPTIMIZERS[name]
    optimizer = kind(0.1, weight_decay=0.3, rates={"block": 0.5}, clipnorm=1.0)
    again = kind.from_config(optimizer.get_config())

    assert optimizer.get_config() == again.get_config()
    assert (0.3, {"block": 0.5}) == (again.decay, again.rates)


def test_rates_and_decay_survive_a_keras_file(tmp_path):
    """The next step is the same, on the model and on its file."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2)]
    )
    optimizer = update_rules.AdamW(
        Falling(), weight_decay=0.2, rates={"(^|/)a/": 0.5}, decays={"bias": 1.0}
    )
    model.compile(optimizer, "mse")
    x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    before = model.get_weights()
    for each in (model, again):
        each.fit(x, y, verbose=0, shuffle=False)

    assert ({"(^|/)a/": 0.5}, {"bias": 1.0}) == (
        again.optimizer.rates,
        optimizer.decays,
    )
    for old, a, b in zip(before, model.get_weights(), again.get_weights(), strict=True):
        assert (old != a).any()
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-7)


def test_lars_equals_the_recorded_steps(shared):
    """Three steps of the reference implementation."""
    with np.load(shared / "fixtures/golden/misc.npz") as file:
        arrays = dict(file)
    w, b = (keras.Variable(arrays[f"lars/{name}"]) for name in ("w0", "b0"))
    optimizer = update_rules.LARS(0.1, weight_decay=0.01)
    for gw, gb in zip(arrays["lars/gw"], arrays["lars/gb"], strict=True):
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in (gw, gb)], [w, b])

    np.testing.assert_allclose(w.numpy(), arrays["lars/w3"], atol=1e-6)
    np.testing.assert_allclose(b.numpy(), arrays["lars/b3"], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4, 6), (2, 2, 2, 3)])
@pytest.mark.parametrize("rule", [update_rules.LARS, update_rules.LAMB])
def test_the_length_of_a_weight_does_not_depend_on_its_shape(rule, shape):
    """A table of positions, a convolution: each as the same numbers in a matrix."""
    rng, found = np.random.default_rng(0), []
    value, gradient = rng.standard_normal((2, 4, 6)).astype("float32")
    for wanted in ((4, 6), shape):
        variable = keras.Variable(value.reshape(wanted), name="kernel")
        optimizer = rule(0.1, weight_decay=0.01)
        step = keras.ops.convert_to_tensor(gradient.reshape(wanted))
        optimizer.apply([step], [variable])
        found.append(variable.numpy().ravel())

    np.testing.assert_allclose(*found, rtol=1e-6)
    assert (found[1] != value.ravel()).all()


def test_a_rate_of_nothing_leaves_a_weight_alone():
    """Decay included."""
    variables = make_variables()
    before = [v.numpy() for v in variables]
    optimizer = update_rules.AdamW(0.1, weight_decay=0.5, rates={"head": 0.0})
    optimizer.apply([v * 0.0 + 1.0 for v in variables], variables)

    moved = [
        bool((v.numpy() != p).any()) for v, p in zip(variables, before, strict=True)
    ]
    assert [True, True, False] == moved


def test_decay_can_be_given_to_other_weights():
    """By patterns, with a factor each."""
    variables = make_variables()
    before = [v.numpy() for v in variables]
    optimizer = update_rules.AdamW(
        0.5, weight_decay=0.1, decays={"bias": 2.0, "head": 1.0}
    )
    optimizer.apply([v * 0.0 for v in variables], variables)

    for factor, old, v in zip((1.0, 0.9, 0.95), before, variables, strict=True):
        np.testing.assert_allclose(v.numpy(), factor * old, rtol=1e-6)


def test_the_decay_of_big_vision_is_the_same_number_of_steps():
    """`-s (lr u + wd p)` and ours, with wd divided by lr, are one update."""
    s, lr, wd, u, p = 0.3, 1e-3, 1e-4, 0.7, 2.0
    ours = param_groups.decay_from_big_vision(wd, lr)

    assert s * (lr * u + wd * p) == pytest.approx(s * lr * (u + ours * p))


def test_the_decay_of_l2_is_reached_in_the_long_run():
    """SGD with L2 and with ours shrink a weight without gradient alike."""
    lr, wd, mu, steps = 1e-3, 1e-2, 0.9, 20_000
    p, m = 1.0, 0.0
    for _ in range(steps):
        m = mu * m + wd * p
        p -= lr * m
    ours = (1 - lr * param_groups.decay_from_l2(wd, mu)) ** steps

    assert ours == pytest.approx(p, rel=2e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("adam", "optimizer: must be one of adamw.*got 'adam'. Did you mean 'adamw'"),
        ({"name": "sgd", "beta_1": 0.9}, "'sgd' takes decays, momentum, nesterov"),
        ({"name": "adamw", "learning_rate": 1.0}, "got 'learning_rate'. Remove it"),
    ],
)
def test_what_is_no_optimizer_is_refused(given, message):
    """With what exists."""
    with pytest.raises(ValueError, match=message):
        optimizers.check("optimizer", given)
