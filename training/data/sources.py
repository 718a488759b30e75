"""Data sets by name: "digits", "folder:PATH" and "tfds:NAME".

A source is opened into splits; a split hands out records, still encoded, by
running number. What happens to a record afterwards is for `pipeline`.
"""

import dataclasses
import difflib

import numpy as np
import tensorflow as tf

from keras_vit.errors import DataError
from keras_vit.training.data import folder

SPLITS = ("train", "validation", "test")
DIGITS_TEST, DIGITS_VALIDATION = 360, 180  # images


@dataclasses.dataclass(frozen=True)
class Source:
    """An opened data set.

    Args:
        name: as it was asked for.
        class_names: K names, in label order.
        splits: split name -> split; names are those of SPLITS.
        image_size: side in px that fits when nobody asks for another.
        augment: augmentation that fits when nobody asks for another.
        skipped: paths left out because they cannot be read.
    """

    name: str
    class_names: tuple
    splits: dict
    image_size: int
    augment: str
    skipped: tuple = ()

    def split(self, name):
        """The split of that name.

        Raises:
            ValueError: when there is none.
        """
        if name not in self.splits:
            known = ", ".join(map(repr, self.splits))
            raise ValueError(
                f"{self.name}: has the splits {known}, got split={name!r}. "
                "Ask for one of these."
            )
        return self.splits[name]

    @property
    def test_split(self):
        """Name of the split for the final score."""
        return final_split(self.splits)


def final_split(names):
    """Which split gives the final score: "test" where there is one."""
    return "test" if "test" in names else "validation"


@dataclasses.dataclass(frozen=True)
class IndexedSplit:
    """Records that can be reached by number: arrays, or paths of files.

    Args:
        records: (n, H, W, C) uint8 pixels, or (n,) strings, paths of images.
        labels: (n,) int32.
    """

    records: np.ndarray
    labels: np.ndarray

    @property
    def size(self):
        """Number of images."""
        return len(self.labels)

    def counted(self, counters, seed=None, first=0, turn=None):
        """Attach a record to each running number.

        Args:
            counters: data set of int64 scalars; number c is image c % n of
                epoch c // n.
            seed: of the order, which differs from epoch to epoch; None keeps
                the images in order.
            first: where the stream begins, when that is not at 0.
            turn: when counters are left out, the size of a batch and the places
                in it that are not.

        Returns:
            `tf.data.Dataset` of (counter, image, label); the image is an
            encoded string or uint8 pixels, the label int32.
        """
        records, labels = tf.constant(self.records), tf.constant(self.labels)

        def load(counter):
            index = self._index(counter, seed)
            record = records[index]
            image = tf.io.read_file(record) if record.dtype == tf.string else record
            return counter, image, labels[index]

        return counters.map(load, tf.data.AUTOTUNE, deterministic=True)

    def _index(self, counter, seed):
        """Which record a running number means, see `counted`."""
        index = counter % self.size
        if seed is None:
            return index
        key = tf.stack([tf.constant(seed, tf.int64), counter // self.size])
        return tf.random.experimental.index_shuffle(index, key, self.size - 1)

    def names(self, counters, seed=None):
        """What the records of running numbers are called: paths, or their numbers."""
        places = [int(self._index(tf.constant(c, tf.int64), seed)) for c in counters]
        if self.records.dtype.kind == "U":
            return [str(self.records[place]) for place in places]
        return [f"image {place} of {self.size}" for place in places]


@dataclasses.dataclass(frozen=True)
class RecordSplit:
    """Records of a prepared TFDS set, which are read in sequence.

    Args:
        builder: TFDS builder. split: split expression, "train[:90%]".
        keys: names of the image and the label feature.
        size: number of images.
        buffer: records among which the next one is drawn when shuffling.
    """

    builder: object
    split: str
    keys: tuple
    size: int
    buffer: int = 10_000

    def counted(self, counters, seed=None, first=0, turn=None):
        """Attach a record to each running number, see `IndexedSplit.counted`.

        Records cannot be reached by number: those before `first` are read again,
        undecoded.
        """
        import tensorflow_datasets as tfds

        image_key, label_key = self.keys
        records = self.builder.as_dataset(
            split=self.split,
            shuffle_files=seed is not None,
            decoders={image_key: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(shuffle_seed=seed, skip_prefetch=True),
        )
        if seed is not None:
            records = records.shuffle(min(self.size, self.buffer), seed=seed)
        records = records.repeat().skip(first)
        if turn is not None:
            size, places = turn
            records = records.enumerate(first).filter(
                lambda c, _: tf.reduce_any(c % size == places)
            )
            records = records.map(lambda _, record: record)
        return tf.data.Dataset.zip(counters, records).map(
            lambda c, r: (c, r[image_key], tf.cast(r[label_key], tf.int32))
        )

    def names(self, counters, seed=None):
        """What the records of running numbers are called: their place in the stream."""
        return [f"record {c % self.size} of epoch {c // self.size}" for c in counters]


def open_source(name, splits=SPLITS, on_bad_image="refuse", verbose=1):
    """Find a data set and look at its files, without reading all of it.

    Args:
        name: "digits", "folder:PATH" or "tfds:NAME".
        splits: the splits that will be read; only these are checked. None is
            the one for the final score.
        on_bad_image: "refuse" or "skip" images that cannot be decoded.
        verbose: 0 silent, 1 progress.

    Returns:
        `Source`.

    Raises:
        ValueError: for a name of another kind.
        DataError, FileNotFoundError: when the data are missing or damaged.
    """
    if on_bad_image not in ("refuse", "skip"):
        raise ValueError(
            f"on_bad_image: must be 'refuse' or 'skip', got {on_bad_image!r}."
        )
    kind, _, rest = str(name).partition(":")
    if name == "digits":
        return _open_digits()
    if kind == "folder" and rest:
        return _open_folder(name, rest, splits, on_bad_image, verbose)
    if kind == "tfds" and rest:
        return _open_tfds(name, rest)
    raise ValueError(
        "data: must be 'digits', 'folder:PATH' or 'tfds:NAME', "
        f"got {name!r}. Put 'folder:' before the path of your images."
    )


def _open_digits():
    """scikit-learn's 1,797 handwritten digits, always split the same way."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedShuffleSplit

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype("uint8")[..., None]
    labels = digits.target.astype("int32")

    def cut(index, size):
        splitter = StratifiedShuffleSplit(1, test_size=size, random_state=0)
        keep, held = next(splitter.split(index, labels[index]))
        return index[keep], index[held]

    rest, test = cut(np.arange(len(labels)), DIGITS_TEST)
    train, validation = cut(rest, DIGITS_VALIDATION)
    parts = zip(SPLITS, (train, validation, test), strict=True)
    splits = {name: IndexedSplit(images[i], labels[i]) for name, i in parts}
    return Source("digits", tuple("0123456789"), splits, 32, "digits")


def _open_folder(name, path, splits, on_bad_image, verbose):
    """Image folders; see `keras_vit.training.data.folder` for the rules."""
    class_names, files = folder.list_splits(path, whole=splits == ("all",))
    splits = (final_split(files),) if splits is None else splits
    if "train" in splits and "train" not in files:
        raise DataError(
            f"{path}: must have a folder 'train', got {sorted(files)}. Add one."
        )
    wanted = {split: rows for split, rows in files.items() if split in splits}
    wanted, skipped = folder.check_images(wanted, on_bad_image, verbose)
    folder.check_classes(path, wanted, class_names)
    opened = {
        split: IndexedSplit(
            np.array([str(file) for file, _ in rows]),
            np.array([label for _, label in rows], "int32"),
        )
        for split, rows in {**files, **wanted}.items()
    }
    return Source(name, class_names, opened, 224, "light", skipped)


def _open_tfds(name, dataset):
    """A TFDS set; prepared ones are read from disk without a network."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(dataset)
    except tfds.core.registered.DatasetNotFoundError as err:
        near = difflib.get_close_matches(dataset, tfds.list_builders(), n=1)
        hint = f"Did you mean 'tfds:{near[0]}'? " if near else ""
        raise DataError(
            f"data: TFDS must know the set, got {name!r}. {hint}"
            "See https://www.tensorflow.org/datasets/catalog for the names."
        ) from err
    keys, class_names = _tfds_features(name, builder)
    if not builder.info.splits:
        builder.download_and_prepare()
    held = {"train": "train[:90%]", "validation": "train[90%:]"}
    names = [split for split in SPLITS if split in builder.info.splits]
    if "train" not in names:
        raise DataError(
            f"{name}: must have a split 'train', got {list(builder.info.splits)}. "
            "Use another configuration of the set."
        )
    expressions = {split: split for split in names}
    if "validation" not in names:
        expressions = {**expressions, **held}
    splits = {
        split: RecordSplit(
            builder, expressions[split], keys, builder.info.splits[e].num_examples
        )
        for split, e in sorted(expressions.items(), key=lambda s: SPLITS.index(s[0]))
    }
    return Source(name, class_names, splits, 224, "light")


def _tfds_features(name, builder):
    """Names of image and label feature, and the class names."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    keys = builder.info.supervised_keys or ("image", "label")
    found = [features[key] if key in features else None for key in keys]
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    if len(keys) != 2 or not all(map(isinstance, found, kinds)):
        raise DataError(
            f"{name}: must hold an image and a class label for each example, got the "
            f"features {list(features)}. Use a classification data set."
        )
    return tuple(keys), tuple(found[1].names)
