"""TensorFlow Datasets by name, prepared ones without a network."""

import contextlib
import logging
import pathlib
import re

import tensorflow as tf

from keras_vit.choices import did_you_mean
from keras_vit.errors import DataError
from keras_vit.progress import is_live, tell
from keras_vit.training.data import image_ops
from keras_vit.training.data.splits import SPLITS, SequentialSplit

RETRIES = 4  # of a download, a few seconds
FILE_NAMES = ("file_name", "filename", "image/filename")
EVEN = re.compile(r"even_splits\((\w+), ?(\d+)\)\[(\d+)\]")


def open_builder(name, dataset):
    """Find a prepared folder, or a set that TFDS knows; prepare it where needed.

    Args:
        name: as it was asked for, for messages.
        dataset: path of a prepared set, or a TFDS name such as "cifar10" or
            "sun397/tfds:4.0.0". Names are looked up in TFDS_DATA_DIR.

    Raises:
        DataError: for an unknown name, or a folder without a prepared set.
    """
    import tensorflow_datasets as tfds

    path = pathlib.Path(dataset).expanduser()
    if path.is_dir():
        inside = sorted(path.rglob("dataset_info.json"))
        if not inside:
            raise DataError(
                f"{name}: must be a prepared data set, but there is no "
                f"dataset_info.json below {path}. Run: keras-vit prepare FOLDER {path}"
            )
        return tfds.builder_from_directory(str(inside[-1].parent))
    try:
        builder = tfds.builder(dataset)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as err:
        hint = did_you_mean(dataset, tfds.list_builders(), start="tfds:")
        raise DataError(
            f"data: TFDS must know the set, got {name!r}.{hint} "
            "See https://www.tensorflow.org/datasets/catalog for the names."
        ) from err
    if not builder.info.splits:
        _prepare(name, builder)
    return builder


def _prepare(name, builder):
    """Download a set and write it as records, which takes as long as it takes.

    Raises:
        DataError: when it cannot be downloaded, or has to be fetched by hand.
    """
    import tensorflow_datasets as tfds

    tell(f"{name}: is prepared in {builder.data_dir}")
    try:
        with quiet_downloads():
            builder.download_and_prepare()
    except (OSError, AssertionError, tfds.download.DownloadError) as err:
        first = str(err).strip().split("\n")[0][:400] or type(err).__name__
        raise DataError(
            f"{name}: must be downloaded, which failed ({first}). Check the network, "
            f"or prepare it elsewhere and put it into {builder.data_dir}."
        ) from err


@contextlib.contextmanager
def quiet_downloads():
    """Let TFDS give up on a server after seconds, and its bars stay out of logs.

    It would try for more than three minutes, with a warning each time.
    """
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.utils import tqdm_utils

    log, live = logging.getLogger("urllib3.connectionpool"), is_live()
    tries, level = downloader.MAX_RETRIES, log.level
    downloader.MAX_RETRIES = RETRIES
    log.setLevel(logging.ERROR)
    if not live:
        tqdm_utils.disable_progress_bar()
    try:
        yield
    finally:
        downloader.MAX_RETRIES = tries
        log.setLevel(level)
        if not live:
            tqdm_utils.enable_progress_bar()


def read_query(name, text, known=SPLITS):
    """The part after "?": {"train": "train[:99%]", "label": "label_2"}.

    Args:
        name: of the source, for messages. text: pairs KEY=VALUE, joined by "&".
        known: keys there are.

    >>> read_query("tfds:x", "train=train[:99%]&test=validation")
    {'train': 'train[:99%]', 'test': 'validation'}
    """
    pairs = [pair.partition("=")[::2] for pair in text.split("&") if pair]
    for key, value in pairs:
        if key not in known or not value:
            raise DataError(
                f"{name}: after '?' come pairs KEY=VALUE joined by '&', KEY one of "
                f"{', '.join(known)}, got {key}={value}. "
                "Write 'tfds:NAME?train=train[:99%]&validation=train[99%:]'."
            )
    return dict(pairs)


def settle_splits(name, builder, asked):
    """Split name -> expression: what was asked for, and what the set has.

    Without a validation split, a tenth of train is held out for it.
    """
    has = [split for split in SPLITS if split in builder.info.splits]
    found = {split: split for split in has} | asked
    if "train" not in found:
        raise DataError(
            f"{name}: must have a split 'train', got {list(builder.info.splits)}. "
            "Name one: 'tfds:NAME?train=SPLIT'."
        )
    if "validation" not in found and found["train"] == "train":
        found |= {"train": "train[:90%]", "validation": "train[90%:]"}
    return {s: expression(builder, found[s]) for s in SPLITS if s in found}


def expression(builder, text):
    """A split expression of TFDS; "even_splits(train,4)[0]" is the first of four."""
    match = EVEN.fullmatch(text)
    if not match:
        return text
    count = builder.info.splits[match[1]].num_examples
    parts, part = int(match[2]), int(match[3])
    ends = [k * (count // parts) + min(k, count % parts) for k in (part, part + 1)]
    return f"{match[1]}[{ends[0]}:{ends[1]}]"


def make_split(name, builder, text, label, image="image", read=None, cache=False):
    """One split of a builder as encoded images and labels.

    Args:
        name: of the source. builder: TFDS builder. text: split expression.
        label: name of the label feature, or function of a whole record.
        image: name of the image feature.
        read: function of a record that gives pixels; None leaves them encoded.
        cache: whether records stay in memory.
    """
    import tensorflow_datasets as tfds

    try:
        size = builder.info.splits[text].num_examples
    except (KeyError, ValueError, AssertionError) as err:
        raise DataError(
            f"{name}: must have the split {text!r}, got {list(builder.info.splits)}. "
            "See TFDS on slicing: 'train[:99%]', 'train[:800]+validation[:200]'."
        ) from err
    decoders = None if read else {image: tfds.decode.SkipDecoding()}

    def records(seed):
        config = tfds.ReadConfig(shuffle_seed=seed, skip_prefetch=True)
        data = builder.as_dataset(
            split=text,
            shuffle_files=seed is not None,
            decoders=decoders,
            read_config=config,
        )
        return data.map(
            lambda row: (
                read(row) if read else row[image],
                label(row) if callable(label) else row[label],
            )
        )

    file = next((key for key in FILE_NAMES if key in builder.info.features), None)

    def names():
        config = tfds.ReadConfig(skip_prefetch=True)
        data = builder.as_dataset(split=text, decoders=decoders, read_config=config)
        return [row[file].decode() for row in data.as_numpy_iterator()]

    return SequentialSplit(records, size, cache=cache, files=names if file else None)


def open_tfds(name, rest, cache=False):
    """A TFDS set: (class names, splits).

    Args:
        name: as it was asked for. rest: of it after "tfds:".
        cache: whether records stay in memory.
    """
    dataset, _, query = rest.partition("?")
    query = read_query(name, query, (*SPLITS, "image", "label"))
    builder = open_builder(name, dataset)
    usual = builder.info.supervised_keys or ("image", "label")
    image, label = query.pop("image", usual[0]), query.pop("label", usual[-1])
    class_names = _class_names(name, builder, image, label)
    expressions = settle_splits(name, builder, query)
    splits = {
        split: make_split(name, builder, text, label, image, cache=cache)
        for split, text in expressions.items()
    }
    return class_names, splits


def _class_names(name, builder, image, label):
    import tensorflow_datasets as tfds

    features = builder.info.features
    kinds = {image: tfds.features.Image, label: tfds.features.ClassLabel}
    for key, kind in kinds.items():
        if key not in features or not isinstance(features[key], kind):
            raise DataError(
                f"{name}: must hold an image and a class label for each example, got "
                f"the features {list(features)}. Use a classification data set, or "
                "name them: 'tfds:NAME?image=KEY&label=KEY'."
            )
    return tuple(features[label].names)


def bright(key):
    """Binary pixels of 0 and 1 as 0 and 255."""
    return lambda row: tf.repeat(row[key] * 255, image_ops.CHANNELS, axis=-1)
