import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vit import training
from keras_vit.training.data import mix
from keras_vit.training.data.mix import Mix
from keras_vit.training.data.pipeline import open_data
from keras_vit.training.optim.metrics import TopK

SEEDS = [tf.constant([3, step], tf.int64) for step in range(40)]
SIZE, CLASSES = 16, 6
IMAGES = np.random.default_rng(0).uniform(-1, 1, (8, SIZE, SIZE, 3)).astype("float32")
TARGETS = np.eye(CLASSES, dtype="float32")[[0, 1, 2, 3, 4, 5, 0, 1]]


def mixed(how, seed):
    """A batch mixed with its partners, and their numbers."""
    other = how.partners(8)
    pair = how(IMAGES, IMAGES[other], TARGETS, TARGETS[other], seed)
    return *(tensor.numpy() for tensor in pair), other


@pytest.mark.parametrize(
    ("rule", "other"),
    [
        ("big_vision", [7, 0, 1, 2, 3, 4, 5, 6]),
        ("timm", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("bit", [7, 6, 5, 4, 3, 2, 1, 0]),
    ],
)
def test_mixup_follows_the_rule_of_its_family(rule, other):
    """One share per batch for pixels and labels alike; big_vision's is folded."""
    how = Mix(0.8, rule=rule)
    shares = []
    for seed in SEEDS:
        images, targets, partners = mixed(how, seed)
        share = targets[0, 0]  # image 0 and its partner are of different classes
        expected = [x * share + x[other] * (1 - share) for x in (IMAGES, TARGETS)]

        assert other == partners.tolist()
        np.testing.assert_allclose(expected[0], images, atol=1e-6)
        np.testing.assert_allclose(expected[1], targets, atol=1e-6)
        shares.append(share)
    assert len(set(shares)) > 30
    assert (min(shares) >= 0.5) == (rule == "big_vision")


def test_cutmix_pastes_one_box_and_weighs_labels_by_its_area():
    """Inside are the pixels of the partner; the share is what is left, exactly."""
    areas = []
    for seed in SEEDS:
        images, targets, other = mixed(Mix(cutmix=1.0, rule="timm"), seed)
        inside = (images != IMAGES).any(axis=(0, 3))
        rows, columns = (np.flatnonzero(inside.any(axis=k)) for k in (1, 0))
        box = np.zeros((SIZE, SIZE), bool)
        if inside.any():
            box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True

        np.testing.assert_array_equal(box, inside)
        where = inside[None, ..., None]
        np.testing.assert_array_equal(np.where(where, IMAGES[other], IMAGES), images)
        area = inside.mean()
        expected = TARGETS * (1 - area) + TARGETS[other] * area
        np.testing.assert_allclose(expected, targets, atol=1e-6)
        areas.append(area)
    assert 0.15 < np.mean(areas) < 0.5  # 1/2, less what hangs over the border


def test_a_box_is_that_of_the_formula():
    """Half sides int(side * sqrt(1 - share)) // 2 about a uniform centre."""
    for seed in SEEDS[:10]:
        inside, area = mix.draw_box(20, 30, tf.constant(0.75), seed)
        centre = tf.random.stateless_uniform((2,), seed).numpy()
        y, x = int(20 * centre[0]), int(30 * centre[1])
        expected = np.zeros((20, 30), bool)
        expected[max(y - 5, 0) : y + 5, max(x - 7, 0) : x + 7] = True

        np.testing.assert_array_equal(expected, inside)
        assert expected.mean() == pytest.approx(float(area))


def test_with_mixup_and_cutmix_a_coin_decides():
    """About half of the batches are pasted, the others blended."""
    how = Mix(0.8, 1.0, "timm")
    pasted = [np.isin(mixed(how, seed)[0], IMAGES).mean() > 0.9 for seed in SEEDS]

    assert 10 < sum(pasted) < 30


@pytest.mark.parametrize("alpha", [0.1, 0.8])
def test_shares_follow_the_beta_distribution(alpha):
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1))."""
    draw = tf.function(lambda seed: mix.draw_beta(alpha, seed))
    numbers = [float(draw(tf.constant([k, 1], tf.int64))) for k in range(1500)]

    assert 0.5 == pytest.approx(np.mean(numbers), abs=0.04)
    assert 0.25 / (2 * alpha + 1) == pytest.approx(np.var(numbers), rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup": -1}, "mixup: .*0 or more, got -1. Pass mixup=0"),
        ({"mixup": "a"}, "mixup: .*got 'a'"),
        ({"rule": "deit"}, "mix_rule: must be one of.*'timm'.*got 'deit'"),
        ({"cutmix": 1.0}, "cutmix: mix_rule='big_vision' knows none.*mix_rule='timm'"),
    ],
)
def test_a_mix_that_cannot_be_is_explained(options, message):
    """The message has value and remedy."""
    with pytest.raises(ValueError, match=message):
        Mix(**options)


@pytest.mark.parametrize("rule", ["big_vision", "timm"])
def test_the_parts_of_workers_are_the_batch_of_one(rule):
    """Mixed images do not depend on the number of processes that feed them."""
    options = {"image_size": 8, "batch_size": 12, "augment": "none", "seed": 2}
    whole = batches(workers=(0, 1), mix=Mix(0.5, rule=rule), **options)
    parts = [
        batches(workers=(k, 3), mix=Mix(0.5, rule=rule), **options) for k in range(3)
    ]
    for step, (images, targets) in enumerate(whole):
        pieces = [np.concatenate([part[step][k] for part in parts]) for k in (0, 1)]
        rows = {image.tobytes(): row for row, image in enumerate(pieces[0])}
        order = [rows.pop(image.tobytes()) for image in images]

        assert [(4, 8, 8, 3), (4, 10)] == [x.shape for x in parts[0][step]]
        np.testing.assert_array_equal(targets, pieces[1][order])


def batches(**options):
    """Batches 5 to 7 of a training stream of digits."""
    source, feed, _ = open_data("digits", **options)
    stream = feed.stream(source.split("train"), start=5)
    return list(stream.take(3).as_numpy_iterator())


def test_a_batch_that_workers_cannot_share_is_refused():
    """The message has both numbers."""
    with pytest.raises(ValueError, match="multiple of the 3 workers, got 64. Use 192"):
        open_data("digits", workers=(0, 3))


def test_mixed_data_train(plain, tmp_path):
    """Soft labels go through loss and scores; validation labels stay whole."""
    result = training.fit(
        "digits",
        model=plain(),
        output_dir=tmp_path / "run",
        epochs=1,
        mixup=0.2,
        steps_per_execution=1,
        ema=None,
        verbose=0,
    )

    assert {"top1", "val_top1", "top5"} <= set(result.history)
    train, val, _ = training.load_data("digits", mixup=0.2, verbose=0)
    assert [(64, 10), (64,)] == [next(iter(data))[1].shape for data in (train, val)]


@pytest.mark.parametrize("k", [1, 3])
def test_scores_take_labels_and_targets(k):
    """Both give what counting gives; a constant answer is not right at k = 1."""
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((50, 7)), rng.integers(0, 7, 50)
    expected = np.mean(
        [y in row.argsort()[-k:] for row, y in zip(scores, labels, strict=True)]
    )
    for truth in (labels, np.eye(7)[labels] * 0.6 + 0.05):
        metric = TopK.from_config(TopK(k).get_config())
        metric.update_state(truth, keras.ops.cast(scores, "bfloat16"))

        assert expected == pytest.approx(float(metric.result()))
    metric = TopK(1)
    metric.update_state(np.array([1, 2]), np.zeros((2, 7)))
    assert 0 == float(metric.result())
