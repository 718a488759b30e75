"""SimCLR and MoCo v3: losses by hand, the average of the encoder, files, hand-over."""

import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit.models.contrastive import ContrastHead

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "mlp_dim": 32,
    "projection_dim": 8,
}
MAKE = {
    "simclr": lambda **o: keras_vit.SimCLR(**{**TINY, **o}),
    "moco_v3": lambda **o: keras_vit.MoCoV3(**{"hidden_dim": 12, **TINY, **o}),
}


@pytest.fixture(scope="module")
def pairs():
    """Two views of five images, of noise."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 2, 32, 32, 3)).astype("float32")


def _units(*shape):
    rows = np.random.default_rng(1).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _arrays(answer):
    return [ops.convert_to_numpy(a) for a in keras.tree.flatten(answer)]


def test_nt_xent_is_that_of_the_formula():
    """Each view against all others but itself, to 1e-6."""
    vectors = _units(5, 2, 8)
    rows = vectors.transpose(1, 0, 2).reshape(10, 8)
    scores = np.exp(rows @ rows.T / 0.3)
    total = 0.0
    for i in range(10):
        others = sum(scores[i, k] for k in range(10) if k != i)
        total -= math.log(scores[i, (i + 5) % 10] / others)
    loss = MAKE["simclr"](temperature=0.3).compare(ops.array(vectors, "float32"))

    assert abs(total / 10 - float(loss)) < 1e-6


def test_moco_s_loss_is_that_of_the_formula():
    """Predictions of one view find the keys of the other, both ways, to 1e-6."""
    queries, keys = _units(2, 5, 2, 8)
    total = 0.0
    for one, other in ((0, 1), (1, 0)):
        scores = np.exp(queries[:, one] @ keys[:, other].T / 0.2)
        right = np.diag(scores) / scores.sum(axis=1)
        total -= 2 * 0.2 * np.log(right).mean()
    answer = {"predictions": queries, "keys": keys}
    answer = {name: ops.array(rows, "float32") for name, rows in answer.items()}

    assert abs(total - float(MAKE["moco_v3"]().compare(answer))) < 1e-6


@pytest.mark.parametrize("name", MAKE)
def test_rows_of_several_devices_give_the_loss_of_all(name):
    """With what `gather` says, the mean over devices is the loss of the whole batch."""
    model = MAKE[name]()
    vectors = ops.array(_units(6, 2, 8), "float32")

    def answer(rows):
        return rows if name == "simclr" else {"predictions": rows, "keys": rows}

    whole, parts = float(model.compare(answer(vectors))), []
    for first, last in ((0, 2), (2, 4), (4, 6)):
        views = iter((vectors[:, 0], vectors[:, 1]) * 2)
        if name == "moco_v3":  # which asks for the keys of the second view first
            views = iter((vectors[:, 1], vectors[:, 0]))
        model.gather = lambda rows, views=views, first=first: (next(views), first)
        parts.append(float(model.compare(answer(vectors[first:last]))))

    assert abs(whole - np.mean(parts)) < 1e-6


@pytest.mark.parametrize("name", MAKE)
def test_it_trains_is_saved_and_becomes_a_classifier(name, pairs, tmp_path):
    """The loss falls by stock Keras; a file gives the same; weights come along."""
    model = MAKE[name]()
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(pairs, epochs=8, batch_size=5, verbose=0).history["loss"]
    assert history[-1] < history[1]

    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    same = zip(_arrays(model(pairs)), _arrays(loaded(pairs)), strict=True)
    assert all(np.array_equal(a, b) for a, b in same)
    assert loaded.temperature == model.temperature

    classifier = keras_vit.classifier_from(loaded, classes=3, drop_path=0.1)
    mine = model.encoder.get_layer("block_0").get_weights()
    theirs = classifier.get_layer("block_0").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert classifier.output_shape == (None, 3)
    assert not [v.path for v in classifier.variables if not v.trainable]


def test_the_average_follows_once_per_step(pairs):
    """It begins equal, keeps its share of itself, has no gradient, patches stay."""
    model = MAKE["moco_v3"](momentum=0.75)
    head, average = model.projector.parts[0], model.momentum_projector.parts[0]
    patches = model.encoder.get_layer("patch_encoder").projection.get_weights()[0]
    begun = average.get_weights()[0]
    assert np.array_equal(head.get_weights()[0], begun)
    moved = begun + 1.0
    head.set_weights([moved])
    model(pairs, training=False)
    assert np.array_equal(begun, average.get_weights()[0])
    model(pairs, training=True)

    expected = 0.75 * begun + 0.25 * moved
    assert np.allclose(expected, average.get_weights()[0], atol=1e-6)
    assert [1.0, 0.0] == ops.convert_to_numpy(model.run).tolist()
    ours = {id(v) for v in model.trainable_variables}
    for part in (model.momentum_encoder, model.momentum_projector):
        assert not ours & {id(v) for v in part.variables}
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    model.fit(pairs, verbose=0)
    after = model.encoder.get_layer("patch_encoder").projection.get_weights()[0]
    assert np.array_equal(patches, after)


def test_the_momentum_grows_to_one():
    """By half a cosine over the run; it stays where nobody says how long that is."""
    model = MAKE["moco_v3"](momentum=0.9)
    values = [float(model.momentum_at(t, 4.0)) for t in range(5)]
    expected = [1 - 0.1 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(5)]

    assert np.allclose(expected, values, atol=1e-6)
    assert values[0] == pytest.approx(0.9) and values[4] == 1.0
    assert float(model.momentum_at(3.0, 0.0)) == pytest.approx(0.9)
    model.begin(7)
    assert [0.0, 7.0] == ops.convert_to_numpy(model.run).tolist()


def test_half_precision_is_the_encoder_s_alone(pairs):
    """Heads, averages and loss stay in float32."""
    model = MAKE["moco_v3"](dtype="mixed_bfloat16")
    answer = model(pairs, training=True)

    assert {"float32"} == {keras.backend.standardize_dtype(a.dtype) for a in
                           answer.values()}  # fmt: skip
    assert {"float32"} == {v.dtype for v in model.weights}
    plain = MAKE["moco_v3"]()
    plain.set_weights(model.get_weights())
    one, two = (_arrays(m(pairs))[1] for m in (model, plain))
    assert 0 < np.abs(one - two).max() < 0.1


def test_a_head_is_what_its_config_says():
    """The last norm has no shift, and a factor where asked for."""
    head = ContrastHead((6, 4), last_scale=True)
    head.build((None, 3))
    again = ContrastHead.from_config(head.get_config())
    again.build((None, 3))
    names = [w.name for w in again.weights if not w.name.startswith("moving")]

    assert ["kernel", "gamma", "beta", "kernel", "gamma"] == names
    assert (None, 4) == again.compute_output_shape((None, 3))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("simclr", {"temperature": 0}, "temperature: must be above 0, got 0. Use 0.1"),
        ("simclr", {"pooling": None}, "pooling: must give one vector.*Use 'token'"),
        ("moco_v3", {"momentum": 1.5}, "momentum: must be 0 to 1, got 1.5. Use"),
        ("moco_v3", {"registers": 2}, "registers=0, got 2. Leave it out"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, message):
    """With the value and the way out."""
    with pytest.raises(ValueError, match=message):
        MAKE[name](**options)


def test_single_images_and_gradients_in_portions_are_refused(pairs):
    """The message says where features come from; each portion would be compared."""
    model = MAKE["simclr"]()
    with pytest.raises(ValueError, match="two views.*got shape.*model.encoder"):
        model(pairs[:, 0])
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    with pytest.raises(ValueError, match="must be None for 'simclr'.*got 2.*batch"):
        model.fit(pairs, verbose=0)
