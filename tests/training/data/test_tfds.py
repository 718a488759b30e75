import types

import numpy as np
import pytest
import tensorflow as tf

from keras_vit import training
from keras_vit.errors import DataError
from keras_vit.training.data import tfds_source, vtab


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, write_folder):
    """A folder as a TFDS set in two shards: (folder, output, answer)."""
    pytest.importorskip("tensorflow_datasets")
    root = tmp_path_factory.mktemp("sets")
    folder = write_folder(root / "My Photos", 20)
    answer = training.prepare(folder, root / "out", shards=2, verbose=0)
    return folder, root / "out", answer


def test_a_folder_is_prepared_for_tfds(prepared, monkeypatch, rows):
    """Same splits and classes as the folder; read back by path and by name."""
    folder, output, answer = prepared
    train, val, info = training.load_data(f"tfds:{output}", 8, 4, "none", verbose=0)
    _, _, plain = training.load_data(f"folder:{folder}", 8, 4, verbose=0)

    assert "my_photos" == answer["name"]
    assert info.counts == plain.counts == answer["counts"]
    assert info.class_names == plain.class_names == ("a", "b")
    assert 2 == len(list(output.rglob("*train.tfrecord*")))
    test, _ = training.load_split(f"tfds:{output}", "test", 8, 4, verbose=0)
    direct, _ = training.load_split(f"folder:{folder}", "test", 8, 4, verbose=0)
    ours, theirs = ({row.tobytes() for row in rows(d)[0]} for d in (test, direct))
    assert ours == theirs
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(output))
    assert (
        info.counts == training.load_data("tfds:my_photos", 8, 4, verbose=0)[2].counts
    )
    names = training.image_names(f"tfds:{output}", "test")
    assert 8 == len(names) and names[0].endswith(".jpg")


def test_preparing_twice_gives_the_same_files(prepared, tmp_path):
    """Byte for byte; an output that exists is not replaced unasked."""
    folder, output, _ = prepared
    training.prepare(folder, tmp_path / "again", shards=2, verbose=0)
    for path in sorted(output.rglob("*.tfrecord*")):
        other = tmp_path / "again" / path.relative_to(output)
        assert path.read_bytes() == other.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        training.prepare(folder, output, verbose=0)
    with pytest.raises(ValueError, match="shards: .*above 0, got 0"):
        training.prepare(folder, tmp_path / "x", shards=0, verbose=0)
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="got no folders"):
        training.prepare(tmp_path / "photos", tmp_path / "x", verbose=0)
    assert not (tmp_path / "x").exists()


def test_records_can_be_started_shared_and_cached(prepared, streamed):
    """Step 2 is the same in a later start, from two workers, and in a second pass."""
    output = prepared[1]
    options = {"batch_size": 4, "seed": 3}
    whole = streamed(f"tfds:{output}", 0, 8, **options)[0]
    late = streamed(f"tfds:{output}", 2, 1, **options)[0]
    parts = [
        streamed(f"tfds:{output}", 2, 1, workers=(k, 2), **options)[0][0]
        for k in range(2)
    ]
    cached = streamed(f"tfds:{output}", 0, 8, cache=True, **options)[0]

    np.testing.assert_array_equal(whole[2][0], late[0][0])
    np.testing.assert_array_equal(
        whole[2][0], np.concatenate([images for images, _ in parts])
    )
    first, second = (
        sorted(row.tobytes() for x, _ in part for row in x)
        for part in (whole[:7], cached[:7])
    )
    assert first == second  # 28 training images, each once, in either order


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("train=train[:20]&validation=train[20:]", (20, 8, 8)),
        ("train=train[:50%]&test=validation", (14, 4, 4)),
        ("train=train+validation", (32, 4, 8)),
        ("train=even_splits(train,3)[0]", (10, 4, 8)),
        ("train=even_splits(train,3)[2]&label=label", (9, 4, 8)),
    ],
)
def test_splits_of_tfds_can_be_named(prepared, query, counts):
    """Sub-splits, sums and even shares."""
    info = training.load_data(f"tfds:{prepared[1]}?{query}", 8, 4, verbose=0)[2]

    assert counts == tuple(info.counts[s] for s in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("?trian=train", "KEY one of train, validation, test.*got trian=train"),
        ("?train=triain", "must have the split 'triain', got .'train', 'validation'"),
        ("?label=filename", "class label.*'filename'.*image=KEY&label=KEY"),
        ("/my_photos/nothing", "TFDS must know the set"),
    ],
)
def test_wrong_names_of_tfds_are_explained(prepared, rest, message):
    """The message has what there is."""
    with pytest.raises(DataError, match=message):
        training.load_data(f"tfds:{prepared[1]}{rest}", verbose=0)


def test_a_folder_without_a_set_is_explained(tmp_path):
    """The message has the command that makes one."""
    with pytest.raises(DataError, match="no dataset_info.json.*keras-vit prepare"):
        training.load_data(f"tfds:{tmp_path}", verbose=0)


@pytest.fixture
def unprepared():
    """A set that TFDS knows by name and that nobody has prepared."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class KerasVitToy(tfds.core.GeneratorBasedBuilder):
        """Two shades."""

        VERSION = tfds.core.Version("1.0.0")
        wrong = None  # raised instead of a download

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(8, 8, 3)),
                "label": tfds.features.ClassLabel(names=["dark", "light"]),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, manager):
            if self.wrong is not None:
                raise self.wrong
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for k in range(20):
                shade = np.full((8, 8, 3), 12 * k, "uint8")
                yield k, {"image": shade, "label": k // 10}

    yield KerasVitToy
    tfds.core.registered._DATASET_REGISTRY.pop("keras_vit_toy", None)


def test_a_set_that_is_only_known_is_prepared(unprepared, monkeypatch, tmp_path, capfd):
    """Its records are written where TFDS keeps them; no bar reaches a log."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path))
    monkeypatch.setattr(unprepared, "wrong", ConnectionError("no route to host"))
    said = "tfds:keras_vit_toy: must be downloaded, which failed .no route to host"
    with pytest.raises(DataError, match=said):
        training.load_data("tfds:keras_vit_toy", 8, 4, verbose=0)
    monkeypatch.setattr(unprepared, "wrong", None)
    info = training.load_data("tfds:keras_vit_toy", 8, 4, verbose=0)[2]
    printed = "".join(capfd.readouterr())

    assert {"train": 18, "validation": 2} == info.counts
    assert ("dark", "light") == info.class_names
    assert "is prepared in" in printed and "\r" not in printed and "%|" not in printed


def fake_builder(**sizes):
    """What `splits_of` asks a builder."""

    class Splits(dict):
        def __missing__(self, text):
            name, _, share = text.partition("[:")
            size = sizes[name] * int(share.removesuffix("%]")) // 100
            return types.SimpleNamespace(num_examples=size)

    return types.SimpleNamespace(info=types.SimpleNamespace(splits=Splits()))


@pytest.mark.parametrize(
    ("name", "sizes", "held"),
    [
        ("cifar100", {"train": 50_000}, "train[45000:45200]"),
        ("dtd", {"train": 1880}, "validation[0:200]"),
        ("eurosat", {"train": 27_000}, "train[16200:16400]"),
        ("pets", {"train": 3680}, "train[2944:3144]"),
        ("norb_azimuth", {"train": 24_300}, "test[0:200]"),
    ],
)
def test_vtab_takes_a_thousand_images(name, sizes, held):
    """The first 800 of train, the first 200 of its validation part."""
    splits = vtab.splits_of(vtab.TASKS[name], fake_builder(**sizes))

    assert ("train[:800]", held) == (splits["train800"], splits["val200"])
    assert f"train[:800]+{held}" == splits["train800val200"]


def test_vtab_has_nineteen_tasks():
    """Seven natural, four specialised, eight structured; flips and crops as in BiT."""
    without = {name for name, task in vtab.TASKS.items() if not task.flip}
    uncropped = {name for name, task in vtab.TASKS.items() if not task.crop}

    assert 19 == len(vtab.TASKS)
    assert {"dsprites_orientation", "dsprites_location", "norb_azimuth"} == without
    assert {
        "clevr_count", "clevr_distance", "dmlab", "kitti", "dsprites_location"
    } == uncropped  # fmt: skip


def test_structured_labels_are_counted_and_binned():
    """Objects less three; distances by the edges of the benchmark."""
    coords = tf.constant([[0.0, 0.0, 9.2], [0.0, 0.0, 8.6]])
    clevr = {"objects": {"size": tf.zeros(5), "pixel_coords": coords}}
    kitti = {
        "objects": {
            "location": tf.constant([[0.0, 0.0, 4.0], [0.0, 0.0, 12.0]]),
            "type": tf.constant([5, 0]),
        }
    }
    far = {"objects": {"location": tf.zeros((1, 3)), "type": tf.constant([7])}}

    assert (2, 2) == (int(vtab.count_objects(clevr)), int(vtab.nearest_object(clevr)))
    assert (1, 3) == (int(vtab.nearest_vehicle(kitti)), int(vtab.nearest_vehicle(far)))
    bins = [int(vtab.sixteen("x", 40)({"x": tf.constant(n)})) for n in (0, 2, 3, 39)]
    assert [0, 0, 1, 15] == bins
    image = tf.ones((2, 2, 1), tf.uint8)
    bright = tfds_source.bright("image")({"image": image})
    np.testing.assert_array_equal(np.full((2, 2, 3), 255), bright)


def test_a_task_is_read_like_any_set(tmp_path, monkeypatch, write_folder):
    """Splits by their VTAB names; the set is the one in the row."""
    pytest.importorskip("tensorflow_datasets")
    folder = write_folder(tmp_path / "photos", 20)
    training.prepare(folder, tmp_path / "out", verbose=0)
    row = vtab.Task(str(tmp_path / "out"), ("validation", 0), "test", flip=False)
    monkeypatch.setitem(vtab.TASKS, "toy", row)
    monkeypatch.setattr(vtab, "TRAIN_IMAGES", 20)
    monkeypatch.setattr(vtab, "VALIDATION_IMAGES", 4)
    info = training.load_data("vtab:toy", 8, 4, verbose=0)[2]
    final = training.load_data("vtab:toy?train=train800val200", 8, 4, verbose=0)[2]

    assert ("inception_crop(0.3)", ("a", "b")) == (info.augment, info.class_names)
    assert (20, 24) == (info.counts["train"], final.counts["train"])
    with pytest.raises(DataError, match="has the tasks.*Did you mean 'vtab:cifar100'"):
        training.load_data("vtab:cifar10", verbose=0)
    with pytest.raises(DataError, match="train800val200, test, got 'train'"):
        training.load_data("vtab:toy?train=train", verbose=0)
