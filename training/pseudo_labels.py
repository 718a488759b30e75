"""`pseudo_label`: a teacher labels images that nobody has labelled (Noisy Student)."""

import math
import numbers
import pathlib
from typing import Any

import keras
import numpy as np

from keras_vit import classes, files, image_files
from keras_vit.errors import DataError
from keras_vit.models.input_range import assumed
from keras_vit.models.output_activation import ending
from keras_vit.progress import tell
from keras_vit.training.data import pseudo_source
from keras_vit.training.data.batching import Feed
from keras_vit.training.data.sources import open_source
from keras_vit.training.data.splits import IndexedSplit
from keras_vit.training.evaluate.features import answers
from keras_vit.training.methods.distillation import to_logits
from keras_vit.types import FilePath


def pseudo_label(
    teacher: keras.Model,
    unlabelled: FilePath,
    labelled: Any,
    output: FilePath,
    confidence: float = 0.3,
    per_class: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    overwrite: bool = False,
    verbose: int = 1,
) -> dict[str, Any]:
    """Let a teacher label images, and keep what it is sure of, as much of each class.

    The teacher sees the images as for evaluation, without noise. Its probabilities are
    the labels. `fit("noisy_student", student, data="pseudo:OUTPUT")` then trains a
    student on the labelled images and these together.

    Args:
        teacher: `keras.Model` for the classes of `labelled`; its `labels`, where it has
            them, may stand in another order.
        unlabelled: folder; all images in it and below are taken.
        labelled: source like "folder:PATH" that the student learns from as well, and
            that gives validation and test images.
        output: .npz file to write. It holds paths, no images.
        confidence: least probability of the likeliest class, 0..1; images at or below
            it are left out.
        per_class: images per class. Of more, those with the highest confidence are
            taken; where there are fewer, some are drawn twice or more often.
            None is the mean over classes.
        batch_size: images that the teacher sees at once. seed: of the copies.
        overwrite: whether `output` may exist. verbose: 0 silent, 1 progress.

    Returns:
        Dict: "images" labelled, "skipped" files that are none, what `choose` tells.

    Raises:
        ValueError: for a teacher of other classes, or numbers out of range.
        DataError, FileNotFoundError: for folders that cannot be used, or when the
            teacher is sure of no image.
        FileExistsError: when `output` exists.

    Source:
        Xie et al. 2019, arXiv:1911.04252, section 2 and appendix A: soft labels, 0.3,
        130,000 images per class.
    """
    _check(confidence, per_class)
    files.check_target(output, overwrite)
    source = _open_labelled(labelled, verbose)
    order = _order(teacher, source)
    paths = np.array(_images(unlabelled, verbose))
    found, scores = _ask(teacher, paths, batch_size, verbose)
    scores, names = scores[:, order], source.class_names
    rng = np.random.default_rng(seed)
    rows, facts = choose(scores, names, confidence, per_class, rng)
    arrays = {"paths": paths[found][rows], "scores": scores[rows]}
    arrays |= {"classes": np.array(names), "labelled": np.array(source.name)}
    pseudo_source.write(output, overwrite, **arrays)
    skipped = np.delete(paths, found).tolist()
    return {"images": len(found), "skipped": skipped, **facts}


def choose(scores, names, confidence, per_class, rng):
    """Which images are taken, as often as they are taken.

    Args:
        scores: (n, K) probabilities. names: of the K classes.
        confidence, per_class: see `pseudo_label`. rng: numpy generator, for copies.

    Returns:
        Row numbers, class by class; and a dict with the numbers of "confident" images,
        of those taken "per_class", of "copies" in all, and "kept", class name ->
        different images.

    Raises:
        DataError: when no image is left.
    """
    best, sure = scores.argmax(axis=1), scores.max(axis=1)
    confident = sure > confidence
    if not confident.any():
        raise DataError(
            f"confidence: must leave some of {len(scores)} images, got {confidence}; "
            f"the highest is {sure.max():.3f}. Lower it, or train the teacher longer."
        )
    count = per_class or math.ceil(confident.sum() / scores.shape[1])
    rows, kept = [], {}
    for number, name in enumerate(names):
        own = np.flatnonzero(confident & (best == number))
        own = own[np.argsort(-sure[own], kind="stable")][:count]
        missing = count - len(own) if len(own) else 0
        rows += [own, rng.choice(own, missing) if missing else own[:0]]
        kept[name] = len(own)
    rows = np.concatenate(rows)
    facts = {"confident": int(confident.sum()), "per_class": count}
    return rows, {**facts, "copies": len(rows) - sum(kept.values()), "kept": kept}


def _check(confidence, per_class):
    if not isinstance(confidence, numbers.Real) or not 0 <= confidence < 1:
        raise ValueError(
            f"confidence: must be at least 0 and below 1, got {confidence!r}. Use 0.3."
        )
    whole = isinstance(per_class, numbers.Integral) and per_class > 0
    if per_class is not None and not whole:
        raise ValueError(
            f"per_class: must be a whole number above 0, got {per_class!r}. Leave it "
            "out for the mean."
        )


def _open_labelled(labelled, verbose):
    """The labelled source by a name that holds in every folder."""
    kind, _, path = str(labelled).partition(":")
    if kind != "folder" or not path:
        raise ValueError(
            f"labelled: must be 'folder:PATH', got {labelled!r}. Write the images into "
            "a folder per class."
        )
    path = pathlib.Path(path).expanduser().absolute()
    return open_source(f"folder:{path}", ("train",), verbose=verbose)


def _order(teacher, source):
    """For each class of the labelled images the output that stands for it."""
    shape = getattr(teacher, "output_shape", None)
    count = len(source.class_names)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[-1] != count:
        raise ValueError(
            f"teacher: must have an output for each of the {count} classes of "
            f"{source.name}, got shape {shape}. Fine-tune it on these images first."
        )
    labels = getattr(teacher, "labels", None)
    if labels is None:
        return list(range(count))
    return classes.numbers(source.name, source.class_names, labels)


def _images(folder, verbose):
    """Paths of all images below a folder, sorted."""
    root = pathlib.Path(folder).expanduser().absolute()
    try:
        tree = image_files.look_through(root)
    except NotADirectoryError as err:
        raise FileNotFoundError(*err.args) from err
    left_out = tree.all_left_out()
    notes = image_files.notes_of(left_out, root)
    found = [str(path) for path in tree.all_images()]
    if not found:
        raise DataError(
            f"{folder}: must hold images, got none{''.join('; ' + n for n in notes)}. "
            "Check the path."
        )
    if verbose:
        for note in notes:
            tell(f"{folder}: {note}")
    return found


def _ask(teacher, paths, batch_size, verbose):
    """Numbers of the images that can be read, and their probabilities (n, K)."""
    note, said = assumed(teacher)
    if said:
        tell(f"teacher: {said}.")
    split = IndexedSplit(paths, np.arange(len(paths), dtype="int32"))
    feed = Feed(note, batch_size, "none", 0, on_bad_image="skip")
    pairs = list(answers(teacher, feed.in_order(split), verbose))
    scores, places = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    scores = scores.astype("float64")
    kind = ending(teacher)
    if kind != "softmax":
        scores = np.asarray(to_logits(scores, kind), "float64")
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores = scores / scores.sum(axis=1, keepdims=True)
    return places, scores.astype("float32")
