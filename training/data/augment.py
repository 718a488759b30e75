"""Augmentations by name: which random steps, in which order, how strong.

An augmentation is a text of steps, as in the configurations of big_vision:
"inception_crop(0.05)|flip|randaug(2,10)". PRESETS gives names to the usual ones. Two
such texts with "&" between them make two views of each image.
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_vit import ranges
from keras_vit.choices import did_you_mean
from keras_vit.training.data import geometry, image_ops, policies


class Form(NamedTuple):
    """How a step is written, and what it does."""

    stage: str  # "crop", "change", "warp" or "erase", in this order
    apply: Callable
    defaults: tuple = ()  # of its numbers
    limits: tuple = ()  # (least, most) of each
    # The same on a target that lives in the image, with the same seed and numbers, from
    # the nearest pixel; None leaves it.
    target: Callable | None = None


def _cast(image):
    """What a change of colour takes: whole levels."""
    return image if image.dtype == tf.uint8 else tf.cast(image + 0.5, tf.uint8)


def _flip(image, seed, note):
    mirrored = tf.random.stateless_uniform((), seed) < 0.5
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)


def _randaug(image, seed, note, layers, level):
    return policies.randaug(_cast(image), seed, layers, level)


def _randaug_target(target, seed, note, layers, level):
    return policies.randaug(target, seed, layers, level, policies.PLACES)


def _three_augment(image, seed, note):
    return policies.three_augment(_cast(image), seed)


def _jitter(image, seed, note, strength):
    return policies.jitter(_cast(image), seed, strength)


def _color_jitter(image, seed, note, *strengths):
    return policies.color_jitter(_cast(image), seed, *strengths)


def _sometimes(change):
    """A change of colour that is made with a probability."""

    def apply(image, seed, note, probability):
        return policies.sometimes(change, _cast(image), seed, probability)

    return apply


def _timm_target(target, seed, note, **numbers):
    return policies.timm_randaug(target, seed, None, **numbers, look=policies.PLACES)


def _timm(image, seed, note, **numbers):
    """timm's policy; what comes from outside has the mean colour of the data."""
    mean = ranges.in_channels(note.range, 3) or ranges.RANGES["google"]
    fill = [min(255, max(0, round(255 * value))) for value in mean[0]]
    return policies.timm_randaug(_cast(image), seed, fill, **numbers)


def _crop(cut, defaults, limits):
    """A crop, whose target is resized without mixing its pixels."""
    target = functools.partial(cut, interpolation="nearest")
    return Form("crop", cut, defaults, limits, target)


SHARE, SIDE, CHANCE = (1e-3, 1.0), (1, 10_000), (0.0, 1.0)
FORMS = {  # fmt: off
    # (image, seed, note, *numbers) -> (h, w, 3) of the model's size
    "inception_crop": _crop(image_ops.inception_crop, (0.05,), (SHARE,)),
    "random_resized_crop": _crop(image_ops.random_resized_crop, (0.08,), (SHARE,)),
    "resize_crop": _crop(image_ops.resize_crop, (256,), (SIDE,)),
    "resmall_crop": _crop(image_ops.resmall_crop, (256,), (SIDE,)),
    # (image, seed, note, *numbers) -> image
    "flip": Form("change", _flip, target=_flip),
    "randaug": Form(
        "change", _randaug, (2, 10), ((1, 16), (0, 40)), target=_randaug_target
    ),
    "three_augment": Form("change", _three_augment),
    "jitter": Form("change", _jitter, (0.3,), ((0.0, 1.0),)),
    "color_jitter": Form(
        "change",
        _color_jitter,
        (0.8, 0.8, 0.8, 0.2, 0.8),
        (CHANCE, CHANCE, CHANCE, (0.0, 0.5), CHANCE),
    ),
    "grey": Form("change", _sometimes(policies.grey), (0.2,), (CHANCE,)),
    "blur": Form("change", _sometimes(policies.blur), (0.5,), (CHANCE,)),
    "solarize": Form("change", _sometimes(policies.solarized), (0.2,), (CHANCE,)),
    # (images (B, h, w, 3), numbers (B, n) in -1..1, *numbers) -> images
    "affine": Form(
        "warp",
        image_ops.affine,
        (0.1, 15.0, 0.2, 0.2),
        ((0.0, 1.0), (0.0, 180.0), (0.0, 0.9), (0.0, 1.0)),
        functools.partial(image_ops.affine, interpolation="nearest"),
    ),
    "elastic": Form(
        "warp",
        image_ops.elastic,
        (0.07,),
        ((0.0, 1.0),),
        functools.partial(image_ops.elastic, interpolation="nearest"),
    ),
    "shift": Form("warp", image_ops.shift, (4,), ((1, 1000),), target=image_ops.shift),
    # (image, seed, probability), in the range of the model
    "erase": Form("erase", geometry.erase, (0.25,), ((0.0, 1.0),)),
}  # fmt: on
VIEWS = 100  # sets the random numbers of a view apart from those of its steps
WARP_NUMBERS = {"affine": 6, "elastic": 18, "shift": 2}  # per image
INCEPTION = "inception_crop(0.05)|flip"
SIMCLR = "random_resized_crop(0.08)|flip|color_jitter(0.8,0.8,0.8,0.2)|grey(0.2)"
MOCO = "random_resized_crop(0.08)|color_jitter(0.4,0.4,0.2,0.1)|grey(0.2)"
PRESETS = {
    "none": "",
    "light": "inception_crop(0.3)|flip",
    "inception": INCEPTION,
    # AugReg (arXiv:2106.10270, section 3), each with the mixup of MIXUP below.
    "light1": f"{INCEPTION}|randaug(2,0)",
    "light2": f"{INCEPTION}|randaug(2,10)",
    "medium1": f"{INCEPTION}|randaug(2,15)",
    "medium2": f"{INCEPTION}|randaug(2,15)",
    "strong1": f"{INCEPTION}|randaug(2,20)",
    "strong2": f"{INCEPTION}|randaug(2,20)",
    # DeiT and the fine-tuning of MAE; DeiT-III; the pre-training of MAE.
    "deit": "random_resized_crop(0.08)|flip|rand-m9-mstd0.5-inc1|erase(0.25)",
    "deit3": "random_resized_crop(0.08)|flip|three_augment|jitter(0.3)",
    "mae": "random_resized_crop(0.2)|flip",
    # Two views of each image: SimCLR (arXiv:2002.05709, appendix A); MoCo v3
    # (arXiv:2104.02057, section 4.1), the views of BYOL.
    "simclr": f"{SIMCLR}|blur(0.5) & {SIMCLR}|blur(0.5)",
    "moco_v3": f"{MOCO}|blur(1.0)|flip & {MOCO}|blur(0.1)|solarize(0.2)|flip",
    # Digits must not be mirrored.
    "digits": "affine(0.1,15,0.2,0.2)|elastic(0.07)",
}
MIXUP = {"light2": 0.2, "medium1": 0.2, "medium2": 0.5, "strong1": 0.5, "strong2": 0.8}
KERAS_CV = {  # name after "keras_cv:" -> class in keras_cv.layers, its arguments
    "randaugment": ("RandAugment", {"value_range": (0, 255)}),
    "augmix": ("AugMix", {"value_range": (0, 255)}),
}


class Preset(NamedTuple):
    """An augmentation, read."""

    crop: Callable | None  # None: prepared as for evaluation
    changes: tuple = ()  # image by image
    warps: tuple = ()  # (function, numbers per image), of whole batches
    erase: float = 0.0  # probability
    mixup: float = 0.0  # alpha that belongs to the name
    others: tuple = ()  # presets of further views of the same image

    @property
    def views(self):
        """So many augmented copies of an image stand beside each other."""
        return 1 + len(self.others)

    @property
    def numbers(self):
        """Random numbers that all warps take, per image."""
        return sum(count for _, count in self.warps)


@functools.lru_cache
def get_preset(name):
    """Read an augmentation.

    Args:
        name: a key of PRESETS, a text of steps of FORMS and timm's "rand-...",
            joined by "|", two such texts joined by "&", or "keras_cv:" and a key of
            KERAS_CV.

    Returns:
        `Preset`; that of "light" for keras_cv, whose layer comes on top (see
        `keras_cv_layer`).

    Raises:
        ValueError: for a name, a step or a number that cannot be, with the nearest
            spelling.
    """
    if not isinstance(name, str):
        raise ValueError(f"augment: must be a name, got {name!r}. Try 'light'.")
    if name in (f"keras_cv:{key}" for key in KERAS_CV):
        name = "light"
    if "&" in PRESETS.get(name, name):
        return _read_views(PRESETS.get(name, name))
    steps = _read_steps(name)
    stages = [form.stage for form, *_ in steps]
    order = list(dict.fromkeys(form.stage for form in FORMS.values()))
    ranked = sorted(stages, key=order.index)
    if stages != ranked or stages.count("crop") > 1 or stages.count("erase") > 1:
        raise ValueError(
            "augment: one crop comes first and one erase last, got "
            f"{name!r}. Put the steps in this order: {', '.join(order)}."
        )
    return _assembled(steps)._replace(mixup=MIXUP.get(name, 0.0))


def _read_steps(name):
    """[(form, its numbers, its key)] of a name or text."""
    return [_read_step(step) for step in PRESETS.get(name, name).split("|") if step]


def _assembled(steps):
    """The `Preset` of steps in their order."""
    parts = {form.stage: [] for form in FORMS.values()}
    for step in steps:
        parts[step[0].stage].append(step)
    warps = [(partly(form, n), WARP_NUMBERS[key]) for form, n, key in parts["warp"]]
    return Preset(
        *(partly(form, n) for form, n, _ in parts["crop"] or [(None, (), "")]),
        tuple(partly(form, n) for form, n, _ in parts["change"]),
        tuple(warps),
        *([n[0] for _, n, _ in parts["erase"]] or [0.0]),
    )


def target_preset(name):
    """What an augmentation does to a target that lives in the image.

    Args:
        name: as in `get_preset`; one view, and nothing of keras_cv.

    Returns:
        `Preset` whose steps, with the seeds and numbers of the image, move a target as
        its image is moved, and leave it where only colours change.
    """

    def left(target, *_, **__):
        return target

    steps = [step for step in _read_steps(name) if step[0].stage != "erase"]
    return _assembled(
        [(form._replace(apply=form.target or left), n, key) for form, n, key in steps]
    )


def _read_views(text):
    """The preset of the first view, with those of the others."""
    first, *others = (get_preset(part.strip()) for part in text.split("&"))
    views = (first, *others)
    whole = any(view.warps or view.erase for view in views) or "keras_cv:" in text
    if len(views) != 2 or whole:
        raise ValueError(
            "augment: views are two, and take crops and changes of colour, got "
            f"{text!r}. Write 'random_resized_crop(0.08)|flip|color_jitter & ...'."
        )
    return first._replace(others=tuple(others), mixup=0.0)


def partly(form, numbers):
    """The function of a step, waiting for an image."""
    if form is None:
        return None
    if isinstance(numbers, dict):
        return functools.partial(form.apply, **numbers)
    return lambda *given: form.apply(*given, *numbers)


def _read_step(text):
    """(form, its numbers, its key) of one step."""
    text = text.strip()
    if text.startswith("rand-"):
        timm = Form("change", _timm, target=_timm_target)
        return timm, policies.read_timm(text), text
    match = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", text)
    if not match or match[1] not in FORMS:
        _refuse(text)
    form = FORMS[match[1]]
    given = match[2].split(",") if match[2] else []
    try:
        given = [int(n) if n.strip().isdigit() else float(n) for n in given]
        numbers = (*given, *form.defaults[len(given) :])
        right = all(a <= n <= b for n, (a, b) in zip(numbers, form.limits, strict=True))
    except ValueError:
        right = False
    if not right:
        limits = ", ".join(f"{a:g} to {b:g}" for a, b in form.limits) or "none"
        usual = ",".join(f"{n:g}" for n in form.defaults)
        raise ValueError(
            f"augment: {match[1]} takes these numbers: {limits}, got {text!r}. "
            f"Write {match[1]}({usual}), for example."
        )
    return form, numbers, match[1]


def _refuse(text):
    known = [*PRESETS, *FORMS, *(f"keras_cv:{key}" for key in KERAS_CV)]
    raise ValueError(
        f"augment: must be one of {', '.join(known)}, 'rand-m9-mstd0.5-inc1', or steps "
        f"joined by '|', got {text!r}.{did_you_mean(text, known)} Use 'none' for no "
        "augmentation."
    )


def keras_cv_layer(name, seed):
    """A batched keras_cv layer, or None when the name asks for none.

    keras_cv is slow (for a 224 px image on one CPU core RandAugment took 9 ms
    and AugMix 16 ms, where decoding and cropping take 2) and draws from its own
    generator: the stream is then not a function of seed and step.

    Args:
        name: augmentation. seed: for the layer.

    Raises:
        ImportError: when keras_cv is asked for and not installed.
    """
    if not name.startswith("keras_cv:"):
        return None
    try:
        import keras_cv
    except ImportError as err:
        raise ImportError(
            f"augment={name!r} needs keras_cv. Run: pip install keras-cv"
        ) from err
    layer, options = KERAS_CV[name.removeprefix("keras_cv:")]
    return getattr(keras_cv.layers, layer)(seed=seed, **options)


def draw(image, seed, preset, note):
    """What is done image by image: decode, crop, resize, change; and draw numbers.

    Args:
        image: encoded string or uint8 pixels.
        seed: (2,) int64, decides everything.
        preset: `Preset`. note: `keras_vit.Preprocessing`.

    Returns:
        (h, w, 3), uint8 or float32 of 0 to 255, or of the model's range where
        boxes are erased; and (n,) float32 in -1..1 for `change`. Without crop the
        image is prepared as for evaluation. Of two views (2, h, w, 3) uint8.
    """
    if preset.others:
        views = enumerate((preset._replace(others=()), *preset.others), VIEWS)
        drawn = [
            _cast(draw(image, tf.random.fold_in(seed, k), view, note)[0])
            for k, view in views
        ]
        return tf.stack(drawn), tf.zeros((0,))
    size = note.image_size
    if preset.crop is None:
        image = image_ops.prepare(image_ops.decode(image), note)
    else:
        image = preset.crop(image, seed, note)
    image = tf.ensure_shape(image, (*size, image_ops.CHANNELS))
    for k, apply in enumerate(preset.changes):
        image = apply(image, tf.random.fold_in(seed, 2 + k), note)
    if preset.erase:
        image = image_ops.to_range(image, note.range)
        image = geometry.erase(image, tf.random.fold_in(seed, 0), preset.erase)
    if not preset.warps:
        return image, tf.zeros((0,))
    other = tf.random.fold_in(seed, 1)
    return image, tf.random.stateless_uniform((preset.numbers,), other, -1.0, 1.0)


def change(images, numbers, preset):
    """What is done to whole batches.

    Args:
        images: (B, h, w, 3), 0 to 255. numbers: (B, n) from `draw`.
        preset: `Preset`.

    Returns:
        (B, h, w, 3), 0 to 255.
    """
    first = 0
    for apply, count in preset.warps:
        images = tf.cast(images, tf.float32)
        images = apply(images, numbers[:, first : first + count])
        first += count
    return images
