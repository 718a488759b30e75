"""Image GPT: equal to the reference, trained, saved, painting with a memory."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit.errors import CheckpointError
from keras_vit.models import generate, palette
from keras_vit.models.image_gpt import bits
from keras_vit.models.image_gpt_features import pixel_features

TINY = {"image_size": 8, "width": 32, "depth": 2, "heads": 4, "colors": 27}
SIZES = {"image_size": 4, "width": 8, "depth": 1, "heads": 2, "colors": 8}


@pytest.fixture(scope="module")
def tiny():
    """A small image GPT whose head is not zero."""
    keras.utils.set_random_seed(0)
    model = keras_vit.ImageGPT(**TINY)
    model.head.kernel.assign(np.random.default_rng(0).normal(size=(32, 27)))
    return model


@pytest.fixture(scope="module")
def images():
    """Sixteen images in -1..1, each of one colour with a little noise."""
    draw = np.random.default_rng(0).normal
    return np.tanh(draw(size=(16, 1, 1, 3)) + draw(0, 0.1, (16, 8, 8, 3))).astype("f4")


def _numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_tensorflow_names_give_the_golden_logits_and_loss(shared, tmp_path):
    """Logits and loss of the golden file, from either naming."""
    golden = np.load(shared / "fixtures" / "golden" / "igpt.npz")
    weights = {f"model/{k[2:]}": golden[k] for k in golden.files if k.startswith("w/")}
    np.savez(tmp_path / "igpt.npz", **weights)
    colors = np.zeros((16, 3))
    model = keras_vit.ImageGPT.from_checkpoint(tmp_path / "igpt.npz", palette=colors)
    scores = _numpy(model(golden["in/tokens"]))
    assert np.abs(scores - golden["out/logits"]).max() < 1e-5
    assert abs(_numpy(model.losses[0]) - float(golden["out/loss_nats"])) < 1e-5


def test_transformers_file_gives_its_hidden_states_logits_and_loss(shared):
    """A file with biases; transformers takes the start token from its caller."""
    where = shared / "fixtures" / "checkpoints"
    expected = np.load(where / "hf_imagegpt.expected.npz")
    model = keras_vit.ImageGPT.from_checkpoint(
        where / "hf_imagegpt.safetensors", palette=np.zeros((16, 3))
    )
    x = model.embed(expected["input_ids"])
    assert np.abs(_numpy(x) - expected["hidden_0"]).max() < 1e-5
    assert np.abs(_numpy(model.blocks[0](x)) - expected["hidden_1"]).max() < 1e-5
    hidden = model.hidden(x)
    assert np.abs(_numpy(hidden) - expected["hidden_2"]).max() < 1e-5
    scores = _numpy(model.head(hidden))
    assert np.abs(scores - expected["logits"]).max() < 1e-5
    loss = model.token_loss(expected["labels"][:, 1:], scores[:, :-1])
    assert abs(float(loss) - float(expected["loss"])) < 1e-5


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (keras_vit.ImageGPT_S, 76_571_648),
        (keras_vit.ImageGPT_M, 455_157_760),
        (keras_vit.ImageGPT_L, 1_362_250_752),
    ],
)
def test_sizes_of_the_paper(build, count):
    """Parameters of the published sizes, the fixed palette apart."""
    model = keras_vit.models.abstract_model(build)
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trained == count


@pytest.mark.parametrize("objective", ["autoregressive", "bert"])
def test_it_trains_saves_and_loads(objective, images, tmp_path):
    """`compile`, `fit`, `save` and `load_model` need nothing special."""
    keras.utils.set_random_seed(0)
    colors = palette.fit_palette(images, 20)
    model = keras_vit.ImageGPT(
        **{**TINY, "colors": 20, "depth": 1}, palette=colors, objective=objective
    )
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(images, epochs=3, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(np.log(20), abs=0.1)
    assert losses[-1] < losses[0] - 0.05
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(_numpy(loaded.palette), colors)
    assert np.array_equal(_numpy(loaded(images)), _numpy(model(images)))


def test_no_pixel_sees_itself_or_what_follows(tiny, images):
    """Changing pixel 40 changes nothing up to place 40, and something after it."""
    tokens = _numpy(tiny.tokens(images))
    other = tokens.copy()
    other[:, 40] = (other[:, 40] + 1) % 27
    change = np.abs(_numpy(tiny(tokens)) - _numpy(tiny(other))).max(axis=(0, 2))
    assert change[:41].max() < 1e-5
    assert change[41:].min() > 1e-4


def test_painting_with_a_memory_equals_painting_without(tiny):
    """Each pixel is what the whole image so far, seen at once, would give."""
    painted = generate.sample(tiny, count=3, seed=5, temperature=0.7, verbose=0)
    noise = np.random.default_rng(5).gumbel(size=(3, 64, 27)).astype("float32")
    chosen = np.argmax(_numpy(tiny(painted)) / 0.7 + noise, axis=-1)
    assert np.array_equal(chosen, painted)
    again = generate.sample(tiny, count=3, seed=5, temperature=0.7, verbose=0)
    assert np.array_equal(painted, again)


def test_a_completion_keeps_what_is_known(tiny, images):
    """Known pixels stay; the likeliest colour is taken where no other may be."""
    known = _numpy(tiny.tokens(images))[:4, :24]
    painted = generate.sample(tiny, known, top_k=1, verbose=0)
    assert np.array_equal(painted[:, :24], known)
    likeliest = np.argmax(_numpy(tiny(painted)), axis=-1)
    assert np.array_equal(likeliest[:, 24:], painted[:, 24:])
    shown = tiny.to_images(painted)
    assert shown.shape == (4, 8, 8, 3) and shown.dtype == np.uint8


def test_features_of_every_depth(tiny, images):
    """The mean over pixels of what the next norm gives."""
    x = tiny.embed(tiny.before(tiny.tokens(images)))
    first = _numpy(tiny.blocks[0].norm1(x)).mean(axis=1)
    assert np.allclose(_numpy(pixel_features(tiny, 0)(images)), first, atol=1e-5)
    last = _numpy(tiny.hidden(x)).mean(axis=1)
    assert np.allclose(_numpy(pixel_features(tiny)(images)), last, atol=1e-5)
    with pytest.raises(ValueError, match=r"block: must be 0 to 2, got 3.*block=1"):
        pixel_features(tiny, 3)


def test_the_classifier_learns_both_losses(tiny, images, tmp_path):
    """Painting counts while training, and not in evaluation."""
    classifier = keras_vit.classifier_from(tiny, classes=5, generative=1.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile("adam", loss, run_eagerly=True)
    labels = np.arange(16) % 5
    trained = classifier.fit(images, labels, verbose=0).history["loss"][0]
    assert trained > np.log(5) + 1
    assert classifier.evaluate(images, labels, verbose=0) < np.log(5) + 1
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert np.array_equal(_numpy(loaded(images)), _numpy(classifier(images)))


def test_palettes(images):
    """Nearest colours by plain numpy; an even grid; too few pixels."""
    colors = palette.grid_palette(27)
    found = _numpy(palette.quantize(images, ops.convert_to_tensor(colors)))
    distance = np.square(images.reshape(16, 64, 1, 3) - colors).sum(axis=-1)
    assert np.array_equal(found, distance.argmin(axis=-1))
    with pytest.raises(ValueError, match=r"colors: .* cube, got 10"):
        palette.grid_palette(10)
    with pytest.raises(ValueError, match=r"images: .* 4 different pixels, got 1"):
        palette.fit_palette(np.zeros((1, 8, 8, 3)), 4)


def test_bits_of_the_published_loss():
    """2.0895 nats are 3.0145 bits."""
    assert bits(2.0895) == pytest.approx(3.0145, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "gan"}, r"objective: must be one of .* got 'gan'"),
        ({"heads": 5}, r"heads: must divide the width, got width=32, heads=5"),
        ({"palette": np.zeros((3, 3))}, r"palette: must be \(27, 3\).*\(3, 3\)"),
        ({"palette": np.full((27, 3), 255.0)}, r"palette: .* 255.*127.5"),
        ({"mask_ratio": 1.5}, r"mask_ratio: .* got 1.5"),
    ],
)
def test_wrong_options(options, message):
    """The rule, the value and the way out are in the message."""
    with pytest.raises(ValueError, match=message):
        keras_vit.ImageGPT(**{**TINY, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, r"temperature: must be above 0, got 0"),
        ({"top_k": 28}, r"top_k: must be 1 to 27 colours, got 28"),
        ({"known": [[0] * 64]}, r"known: .* fewer than 64 pixels\), got shape"),
        ({"known": [[27]]}, r"known: .* below 27, got 27 to 27"),
    ],
)
def test_wrong_painting(tiny, options, message):
    """The rule, the value and the way out are in the message."""
    with pytest.raises(ValueError, match=message):
        generate.sample(tiny, **options)


def test_another_file_is_no_image_gpt(shared):
    """The message says what was found."""
    path = shared / "fixtures" / "checkpoints" / "google_vit_token.npz"
    with pytest.raises(CheckpointError, match=r"must hold an image GPT, got"):
        keras_vit.ImageGPT.from_checkpoint(path)


def test_a_palette_can_be_a_file(tmp_path):
    """Of numbers alone, never unpickled; the message tells how to write one."""
    colors = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
    np.save(tmp_path / "eight.npy", colors)
    for path in (tmp_path / "eight.npy", str(tmp_path / "eight.npy")):
        model = keras_vit.ImageGPT(**{**SIZES, "palette": path})
        np.testing.assert_array_equal(colors, ops.convert_to_numpy(model.palette))
    np.save(tmp_path / "flat.npy", colors.ravel())
    np.save(tmp_path / "pickled.npy", np.array([{}], object))
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "several.npz", colors)
    for name in ("flat.npy", "pickled.npy", "empty.npy", "several.npz"):
        with pytest.raises(ValueError, match=rf"(?s)palette.*{name}.*np.save"):
            keras_vit.ImageGPT(**{**SIZES, "palette": tmp_path / name})


@pytest.mark.parametrize("name", ["width", "depth", "heads", "colors"])
@pytest.mark.parametrize("value", [0, 2.5])
def test_sizes_are_whole_numbers(name, value):
    """The message has the value and numbers that go together."""
    with pytest.raises(ValueError, match=f"^{name}: .* got {value}. .*heads=8"):
        keras_vit.ImageGPT(**{**SIZES, name: value})


def test_images_that_it_cannot_read_are_refused():
    """Of another size, grey, a single one, bytes: told before anything is computed."""
    model = keras_vit.ImageGPT(**SIZES)
    for shape in ((1, 5, 5, 3), (1, 4, 4, 1), (4, 4, 3)):
        with pytest.raises(ValueError, match=r"got shape .*image\[None\]"):
            model.tokens(np.zeros(shape, "float32"))
    for pixels in (np.full((1, 4, 4, 3), 9, "uint8"), np.full((1, 4, 4, 3), 9.0)):
        with pytest.raises(ValueError, match="images in -1..1, got .* 9. Divide"):
            model.tokens(pixels)


def test_a_classifier_takes_names_and_nothing_else():
    """Labels as of other classifiers; what there is not is named."""
    model = keras_vit.ImageGPT(**SIZES)
    assert ["a", "b"] == keras_vit.classifier_from(model, 2, labels=("a", "b")).labels
    with pytest.raises(ValueError, match="labels: must be 2 names.*got 1"):
        keras_vit.classifier_from(model, 2, labels=["a"])
    with pytest.raises(TypeError, match="got drop_path=0.1. Leave it out"):
        keras_vit.classifier_from(model, 2, drop_path=0.1)
