"""Signature options: checked, and turned into adapters."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import TypedDict, TypeVar

from keras_vit.choices import check_choice
from keras_vit.export.io.io_adapter import IOAdapter
from keras_vit.export.io.io_spec import SERVE
from keras_vit.export.io.model_views import ModelViews
from keras_vit.layers.patches import pair
from keras_vit.models.input_range import UNKNOWN
from keras_vit.preprocess import Preprocessing
from keras_vit.ranges import keywords


@dataclasses.dataclass(frozen=True)
class Signature:
    """Options of one signature of a file; several signatures share the weights.

    The fields are also arguments of `to_tflite`, `to_savedmodel` and `to_onnx`,
    for files with one signature.

    Args:
        preprocessing: None takes what the model takes; "embed" takes uint8 pixels
            and prepares them inside the file; "decode" (SavedModel only) takes
            encoded images, JPEG or PNG, and prepares them as `model.preprocessing`
            says. A `keras_vit.Preprocessing` embeds what it says, for a model that
            says nothing itself.
        input_size: side or (H, W) px of the uint8 images, with "embed". None means
            the size of the model; any other is cropped and resized in the file,
            bilinear and not antialiased.
        classifier_activation: "softmax" turns logits into probabilities.
        top: give the `top` best classes and their scores instead of all scores.
        output: "scores" for all outputs of the model, "features" for what its head
            reads.
        batch_size: images per call; None for one, or any number with
            dynamic_batch=True.
        image_size: side or (H, W) px that the model itself works at. None means its
            own; at another, position embeddings are resampled.
    """

    preprocessing: str | Preprocessing | None = None
    input_size: int | tuple | None = None
    classifier_activation: str | None = None
    top: int | None = None
    output: str = "scores"
    batch_size: int | None = None
    image_size: int | tuple | None = None


class SignatureOptions(TypedDict, total=False):
    """The fields of `Signature` as arguments, for editors and type checkers.

    A test compares the two.
    """

    preprocessing: str | Preprocessing | None
    input_size: int | tuple | None
    classifier_activation: str | None
    top: int | None
    output: str
    batch_size: int | None
    image_size: int | tuple | None


FIELDS = tuple(field.name for field in dataclasses.fields(Signature))
PREPARATIONS = (None, "embed")
Writer = TypeVar("Writer", bound=Callable)


def plan(
    reference,
    signatures=None,
    linear=False,
    preparations=PREPARATIONS,
    /,
    **options,
):
    """Check the signature options of an export, before any slow step.

    Args:
        reference: `Reference` of the model.
        signatures: {name: `Signature` or dict of its fields}, or None for one.
        linear: whether features leave through a dense layer, see `ModelViews`.
        preparations: values of `preprocessing` that the format knows.
        **options: fields of `Signature` that all of them have unless they say
            otherwise.

    Returns:
        {name: `AdaptedReference`}; readers of one signature find the first.

    Raises:
        TypeError, ValueError: for what cannot be made.
    """
    _check_fields("signature", options)
    asked = {SERVE: {}} if signatures is None else _as_dicts(signatures)
    _assume(reference, [options, *asked.values()])
    views, adapted = ModelViews(reference, linear), {}
    for name, own in asked.items():
        where = "" if signatures is None else f"signatures[{name!r}]: "
        try:
            signature = Signature(**{**options, **own})
            adapted[name] = _adapted(views, signature, preparations)
        except (TypeError, ValueError) as err:
            raise type(err)(f"{where}{err}") from err
    return adapted


def _assume(reference, asked):
    """Take the caller's `Preprocessing` for the model's.

    Raises:
        ValueError: for two that differ.
    """
    stated = [options.get("preprocessing") for options in asked]
    stated = [item for item in stated if isinstance(item, Preprocessing)]
    if any(item.range != stated[0].range for item in stated):
        raise ValueError(
            "preprocessing: one model takes one range, got "
            f"{' and '.join(keywords(item.range) for item in stated[:2])}. Give the "
            "same to all signatures."
        )
    if stated:
        reference.assume(stated[0])


def _as_dicts(signatures):
    """Options per signature, with names and fields checked."""
    if not isinstance(signatures, dict) or not signatures:
        raise TypeError(
            f"signatures: must be a dict of names and options, got {signatures!r}. "
            "Pass {'classify': {}, 'embed': {'output': 'features'}}, for example."
        )
    asked = {}
    for name, options in signatures.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(
                f"signatures: names must be identifiers, got {name!r}. Use 'classify', "
                "for example."
            )
        if isinstance(options, Signature):
            pairs = dataclasses.asdict(options).items()
            options = {k: v for k, v in pairs if v != getattr(Signature, k)}
        _check_fields(f"signatures[{name!r}]", options)
        asked[name] = options
    return asked


def _check_fields(where, options):
    unknown = [options]
    if isinstance(options, dict):
        unknown = [key for key in options if key not in FIELDS]
    if unknown:
        raise TypeError(
            f"{where}: options must be among {', '.join(FIELDS)}, got {unknown[0]!r}. "
            "Correct it, or leave it out."
        )


def show_fields(function: Writer) -> Writer:
    """Show the fields of `Signature` in the signature of a function with **options."""
    own = inspect.signature(function)
    kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    named = inspect.signature(Signature).parameters.values()
    named = [p.replace(kind=p.KEYWORD_ONLY) for p in named]
    shown = own.replace(parameters=[*kept, *named])
    function.__signature__ = shown  # type: ignore[attr-defined]
    return function


def _adapted(views, signature, preparations):
    """Build the `AdaptedReference` of one signature."""
    if isinstance(signature.preprocessing, Preprocessing):
        signature = dataclasses.replace(signature, preprocessing="embed")
    check_choice("preprocessing", signature.preprocessing, preparations)
    check_choice("output", signature.output, ("scores", "features"))
    check_choice(
        "classifier_activation", signature.classifier_activation, (None, "softmax")
    )
    size, pixels = signature.input_size, signature.preprocessing
    if size is not None and pixels != "embed":
        raise ValueError(
            f"input_size: goes with preprocessing='embed', got input_size={size} and "
            f"preprocessing={pixels!r}. Resize the images yourself, or embed it."
        )
    if signature.output == "features":
        _refuse_scores(signature)
    view = views.get(signature.image_size, signature.batch_size, signature.output)
    if pixels is not None and view.contract.note is None:
        raise ValueError(
            f"preprocessing: {pixels!r} prepares pixels in the file, but {UNKNOWN}. "
            "Or pass preprocessing=keras_vit.Preprocessing(...) here."
        )
    if pixels == "decode" and view.contract.image.shape[-1] != 3:
        raise ValueError(
            "preprocessing: 'decode' gives three colours, got a model that takes "
            f"{view.contract.image}. Use 'embed'."
        )
    if pixels == "embed" and size is None:
        size = view.contract.image.shape[1:3]
    adapter = view.adapter(
        input_size=None if size is None else pair(size, "input_size"),
        softmax=signature.classifier_activation == "softmax",
        top=signature.top,
        encoded=pixels == "decode",
    )
    _check_scores(adapter)
    return view.adapted(adapter)


def _refuse_scores(signature):
    for name in ("classifier_activation", "top"):
        if getattr(signature, name) is not None:
            raise ValueError(
                f"{name}: goes with output='scores', got output='features'. Give this "
                f"signature {name}=None."
            )


def _check_scores(adapter):
    """Refuse softmax and top-k where the output is not one score per class."""
    outputs, top = adapter.view.outputs, adapter.top
    names = ", ".join(tensor.name for tensor in outputs)
    if adapter.softmax and adapter.classes == 1:
        raise ValueError(
            "classifier_activation: 'softmax' needs two classes or more, got one, "
            "whose probability would always be 1. Leave it out."
        )
    if adapter.softmax and names != "logits":
        raise ValueError(
            f"classifier_activation: 'softmax' needs a model that gives logits, got "
            f"{names}. Leave it out."
        )
    if top is None:
        return
    if len(outputs) > 1 or adapter.classes is None or adapter.task.unit != "image":
        raise ValueError(
            f"top: needs a model that gives one score per class, got {names}. Leave "
            "it out."
        )
    if type(top) is not int or not 0 < top <= adapter.classes:
        raise ValueError(
            f"top: must be a whole number from 1 to {adapter.classes}, the number of "
            f"classes, got {top!r}. Use 5, for example."
        )


def is_plain(adapters):
    """Whether a file has the model's own adapter only.

    Args:
        adapters: as `plan` gives them, or None.
    """
    if adapters is None:
        return True
    plain = [
        f.adapter == IOAdapter(f.adapter.view, f.adapter.note)
        for f in adapters.values()
    ]
    alone = [f.reference is f.view.base for f in adapters.values()]
    return list(adapters) == [SERVE] and all(plain) and all(alone)
