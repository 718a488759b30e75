"""Probes of frozen features: least squares, neighbours, linear classifiers."""

import keras
import numpy as np
import pytest

from keras_vit import training
from keras_vit.training import evaluate
from keras_vit.training.optim.optimizers import LARS


def blobs(count, seed, classes=3, width=6):
    """Features around one corner per class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    corners = 2.0 * np.eye(classes, width)
    return corners[labels] + rng.normal(scale=0.4, size=(count, width)), labels


@pytest.mark.parametrize("case", ["wide", "tall"])
def test_least_squares_as_recorded(shared, case):
    """Weights and accuracy of big_vision, with fewer and with more images than axes."""
    found = np.load(shared / "fixtures" / "golden" / "fewshot_lsr.npz")
    get = {key: found[f"{case}/{key}"] for key in ("x", "y", "xt", "yt")}

    solve = evaluate.least_squares(get["x"], get["y"], 5)

    expected = found[f"{case}/w_direct"]
    assert 1e-5 >= np.abs(expected - solve.weights).max() / np.abs(expected).max()
    assert found[f"{case}/acc"] == pytest.approx(np.mean(solve(get["xt"]) == get["yt"]))


def test_lars_as_recorded(shared):
    """Three steps on a matrix and a vector."""
    found = np.load(shared / "fixtures" / "golden" / "misc.npz")
    matrix, vector = (keras.Variable(found[f"lars/{name}0"]) for name in "wb")
    optimizer = LARS(0.1, weight_decay=0.01)

    for pair in zip(found["lars/gw"], found["lars/gb"], strict=True):
        gradients = [keras.ops.convert_to_tensor(g) for g in pair]
        optimizer.apply(gradients, [matrix, vector])

    for name, variable in (("w", matrix), ("b", vector)):
        error = np.abs(found[f"lars/{name}3"] - np.asarray(variable)).max()
        assert 1e-6 >= error
    again = LARS.from_config(optimizer.get_config())
    assert optimizer.get_config() == again.get_config()


def test_few_shot_learns_from_a_few():
    """More shots score higher; every seed is told, and draws the same again."""
    train, test = blobs(90, 0), blobs(300, 1)
    scores = evaluate.few_shot(None, train, test, shots=(1, 20))

    assert scores == evaluate.few_shot(None, train, test, shots=(1, 20))
    assert 3 == len(scores[20]["per_seed"])
    assert 1 / 3 < scores[1]["top1"] < scores[20]["top1"]
    with pytest.raises(ValueError, match="got 31 with 30 images.*shots=30"):
        evaluate.few_shot(None, train, test, shots=31)


def test_neighbours_vote():
    """One neighbour copies its label; several outvote a wrong one."""
    x = np.array([[1.0, 0.0], [0.9, 0.1], [0.95, 0.3], [0.0, 1.0]])
    train, test = (x, [1, 0, 0, 2]), ([[1.0, 0.01]], [0])

    assert {"top1": 0.0, "count": 1} == evaluate.knn(None, train, test, k=1)
    assert 1.0 == evaluate.knn(None, train, test, k=3, temperature=1.0)["top1"]
    with pytest.raises(ValueError, match="from 1 to 4.*got 5"):
        evaluate.knn(None, train, test, k=5)


@pytest.mark.parametrize("method", ["lbfgs", "lars"])
def test_a_linear_probe_separates_what_is_separable(method):
    """Blobs far apart are told apart; shuffled labels are not."""
    train, test = blobs(240, 0), blobs(240, 1)
    options = {"epochs": 30, "learning_rate": 10.0, "verbose": 0}
    score = evaluate.linear_probe(None, train, test, method, **options)
    mixed = np.random.default_rng(2).permutation(train[1])
    chance = evaluate.linear_probe(None, (train[0], mixed), test, method, **options)

    assert 0.95 <= score["top1"] and 240 == score["count"]
    assert chance["top1"] < 0.7
    with pytest.raises(ValueError, match="two classes or more, got only class 1"):
        evaluate.linear_probe(None, (train[0], train[1] * 0 + 1), test, method)


def test_features_are_what_the_head_reads(tiny):
    """The head on the features gives the logits; one label per image."""
    model = tiny(classes=10, image_size=32)
    data, _ = training.load_split("digits", "validation", batch_size=90, verbose=0)
    found, labels = evaluate.features(model, data, verbose=0)

    kernel, bias = model.get_layer("head").get_weights()
    expected = np.concatenate(
        [model.predict_on_batch(x) for x, _ in data.as_numpy_iterator()]
    )
    assert (180,) == labels.shape
    np.testing.assert_allclose(expected, found @ kernel + bias, atol=1e-4)
    with pytest.raises(ValueError, match="one vector per image.*--pooling gap"):
        evaluate.encoder(tiny(include_top=False, pooling=None))
