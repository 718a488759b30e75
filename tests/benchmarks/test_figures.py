"""The scripts that measure what is learnt without labels work, in small form."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """A folder of small images: light and dark stripes of three widths, with noise."""
    root, random = tmp_path_factory.mktemp("stripes"), np.random.default_rng(0)
    for width in (1, 2, 4):
        folder = root / f"width-{width}"
        folder.mkdir()
        for number in range(60):
            line = np.arange(16) + random.integers(2 * width)
            rows = np.where(line // width % 2, 200, 50)[None, :, None]
            noisy = rows + random.integers(-40, 40, (16, 16, 3))
            Image.fromarray(noisy.astype("uint8")).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def against(script):
    """benchmarks/mae_against_scratch.py with a very small encoder."""
    module = script("mae_against_scratch")
    module.ENCODER.update(width=16, depth=1, mlp_dim=16)
    module.DECODER.update(decoder_width=16, decoder_mlp_dim=16)
    for options in (module.PRETRAIN, module.LEARN):
        options["batch_size"] = 16
    return module


@pytest.fixture(scope="module")
def painting(script):
    """benchmarks/painting.py."""
    return script("painting")


@pytest.mark.slow
def test_both_arms_get_the_same_time_and_what_is_finished_stays(
    against, stripes, tmp_path, capsys
):
    """From scratch trains at least as long; finished runs are read, not repeated."""
    words = [str(stripes), "--output", str(tmp_path), "--labels", "60", "--seeds", "3"]
    words += ["--pretrain", "2", "--finetune", "1", "--image-size", "16"]
    against.main(words)
    found = json.loads((tmp_path / "labels-60.json").read_text())["3"]
    assert 0 < found["mae"]["minutes"][0]
    assert len(found["scratch"]["val_top1"]) >= 2  # one, and the time of learning alone
    assert all(0 < found[arm]["test_top1"] <= 1 for arm in against.ARMS)
    table = capsys.readouterr().out.splitlines()[-3:-1]
    against.main(words)
    assert table == capsys.readouterr().out.splitlines()[:2]
    folder = tmp_path / "pretrain-3"
    model, history = against.train(folder, "mae_pretrain", None, None, epochs=2)
    assert model.arch.patch_size == (4, 4) and len(history["seconds"]) == 2
    with pytest.raises(SystemExit, match=r"with \{'epochs': 9\}, got \{'epochs': 2\}"):
        against.train(folder, "mae_pretrain", None, None, epochs=9)
    assert (tmp_path / "labels-60.png").read_bytes().startswith(b"\x89PNG")


def test_labels_are_drawn_class_by_class(against):
    """As many of each class, others for another seed, no row twice."""
    labels = np.repeat(np.arange(4), 10)
    rows = against.balanced(labels, 20, 4, seed=0)
    assert [5] * 4 == np.bincount(labels[rows]).tolist()
    assert 20 == len(set(rows))
    assert rows.tolist() != against.balanced(labels, 20, 4, seed=1).tolist()
    with pytest.raises(SystemExit, match=r"multiple of 4 classes, 4 to 40, got 44"):
        against.balanced(labels, 44, 4, seed=0)


@pytest.mark.slow
def test_painting_prints_its_loss_beside_what_is_known_without_a_model(
    painting, stripes, tmp_path, capsys
):
    """Five lines, two pictures; an untrained or broken model would not beat entropy."""
    words = [str(stripes), "--output", str(tmp_path), "--image-size", "8"]
    words += ["--colors", "8", "--width", "16", "--depth", "1", "--epochs", "9"]
    painting.main(words)
    nats = list(json.loads((tmp_path / "losses.json").read_text()).values())
    uniform, entropy, left, both, own = nats
    assert uniform == pytest.approx(np.log(8))
    assert uniform > entropy > left > both > 0
    assert own < entropy
    assert 5 == capsys.readouterr().out.count(" bits per pixel")
    for name in ("completions", "samples"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_tables_know_what_stands_beside(painting):
    """Stripes are told by the pixel to the left, rows of one colour by both."""
    striped = np.tile(np.arange(4) % 2, (500, 4))
    noise = np.random.default_rng(0).integers(0, 2, (500, 16))
    assert painting.entropy(noise, 2) == pytest.approx(np.log(2), abs=1e-3)
    found = painting.table_losses(striped, striped, 4, 2)
    assert all(nats < 0.01 for nats in found.values())
    found = painting.table_losses(noise, noise, 4, 2)
    assert found["left"] == pytest.approx(np.log(2), abs=1e-2)
    above = np.repeat(noise[:, :4], 4, axis=1)  # rows that have one colour each
    found = painting.table_losses(above, above, 4, 2)
    assert found["left"] == pytest.approx(np.log(2) / 4, abs=0.05)
