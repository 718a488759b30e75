"""Loading of weights: read the facts, match names, build the model, assign."""

import dataclasses

from keras_vit.errors import WeightsMismatch
from keras_vit.layers.patches import pair
from keras_vit.models.abstract_model import outline
from keras_vit.weights import mapping, resample
from keras_vit.weights.preparing import preprocessing_of
from keras_vit.weights.reading import OPEN
from keras_vit.weights.report import LoadingReport
from keras_vit.words import MODELS, check_names

POSITION = "patch_encoder/position/embedding"
PROJECTION = "patch_encoder/projection/kernel"
# Read off the arrays; another value would be another model.
FIXED = (
    "width", "depth", "mlp_dim", "class_token", "distilled", "registers",
    "position", "position_prefix", "layer_scale", "qkv_bias", "qk_norm", "patch_bias",
    "norm_input", "stem", "conv_stem", "units", "width_factor",
    "filters",
)  # fmt: skip
# Weights that exist on one side only because the caller asked -> what was asked.
CHOICES = (
    ("pre_logits/", ("representation_size", "pooling")),
    ("head", ("classes", "include_top", "representation_size")),
    ("pool/", ("pooling",)),
    ("norm/", ("norm_pooled",)),
    ("fc_norm/", ("norm_pooled", "pooling")),
)


def architecture(opened, request, patch_size=None, preprocessing=None, **overrides):
    """Record of the model's architecture, from the file and the caller's wishes.

    Raises:
        ValueError: for a wish that would be another model, or values that do
            not go together.
    """
    arrays, family, facts = opened
    options = {k: v for k, v in facts.options.items() if v is not None}
    _check_wishes(opened, overrides)
    _check_channels(facts, overrides)
    options |= {"pooling": facts.options.get("pooling"), **_top(facts, overrides)}
    if patch_size is not None:
        options["patch_size"] = pair(patch_size, "patch_size")
    size = request.image_size or options["image_size"]
    sentence = None
    if preprocessing is None:
        shown = request.usual_size or (224, 224) if size == OPEN else size
        channels = options["channels"]
        preprocessing, sentence = preprocessing_of(
            arrays, family.name, facts, shown, channels
        )
    options |= {"image_size": size, "preprocessing": preprocessing}
    return family.record(**options), sentence


def _check_wishes(opened, wishes):
    """Refuse unknown options, and values that contradict the file."""
    facts, record = opened.facts, opened.family.record
    fields = {field.name: field.default for field in dataclasses.fields(record)}
    for name, value in wishes.items():
        check_names("from_checkpoint", {name: value}, fields, MODELS)
        told = facts.options.get(name, fields[name])
        if name in FIXED and value != told:
            raise ValueError(
                f"{name}: is read off the file as {told!r}, got {value!r}. "
                "Leave it out, or build with VisionTransformer."
            )


def _check_channels(facts, wishes):
    """Refuse other channels where the patch kernel cannot be converted."""
    stored, wanted = facts.options["channels"], wishes.get("channels")
    if wanted in (None, stored):
        return
    if type(wanted) is not int or wanted < 1 or stored != 3:
        raise ValueError(
            f"channels: only kernels of 3 channels can be converted, got "
            f"{wanted!r} wanted and {stored} in the file. Use {stored}."
        )
    if facts.options.get("stem") is not None or "width_factor" in facts.options:
        raise ValueError(
            "channels: a first convolution with standardised kernels (hybrids, Big "
            "Transfer) cannot be converted to other channels, got "
            f"{wanted} wanted. Use 3 and repeat a grey image: np.repeat(x, 3, -1)."
        )


def _top(facts, wishes):
    """Wishes, completed for head, pooling and labels."""
    wishes = dict(wishes)
    if "classes" in wishes and wishes.get("include_top") is not False:
        wishes["include_top"] = True
    elif not facts.options["include_top"]:
        wishes["include_top"] = False
    if wishes.get("include_top") and facts.options.get("pooling") is None:
        wishes.setdefault("pooling", "token")
    if wishes.get("classes") not in (None, facts.options.get("classes")):
        wishes.setdefault("labels", None)
    return wishes


def requested(facts, arch):
    """(weight path) -> reason why a weight exists on one side only, or None."""
    before = facts.options

    def reason(path):
        for start, fields in CHOICES:
            if not path.startswith(start):
                continue
            for field in fields:
                old, new = before.get(field), getattr(arch, field, None)
                if old != new and not (field not in before and new in (None, False)):
                    return f"{field}: {old!r} in the file, {new!r} asked for"
        return None

    return reason


def numbers_of(facts):
    """Shape numbers of the file that arrangements need."""
    keys = ("heads", "patch_size", "channels")
    return mapping.Numbers(*(facts.options.get(key) for key in keys))


def match(opened, arch, skip=()):
    """Match the arrays of a file with a model's weights, by name and shape.

    Returns:
        `mapping.Plan`.

    Raises:
        WeightsMismatch: listing what has no counterpart, or another shape.
    """
    arrays, family, facts = opened
    shapes = {w.path: tuple(w.shape) for w in outline(family.build, arch).weights}
    reason = requested(facts, arch)
    rules = family.rules(facts.options)
    plan = mapping.plan(rules, arrays, shapes, reason, skip)
    used, wrong = [], []
    for rule in plan.used:
        entries = [arrays[name] for name in rule.files]
        assembled = mapping.assembled_shapes(rule, entries, numbers_of(facts))
        target = [shapes[path] for path in rule.models]
        if assembled is not None and all(
            _fits(p, s, t, opened, arch)
            for p, s, t in zip(rule.models, assembled, target, strict=True)
        ):
            used.append(rule)
        elif reason(rule.models[0]) is not None:
            plan.fresh.update(dict.fromkeys(rule.models, reason(rule.models[0])))
            plan.skipped.update(dict.fromkeys(rule.files, reason(rule.models[0])))
        else:
            theirs = [f"{arrays.origin[n]} {arrays[n].shape}" for n in rule.files]
            ours = [f"{path} {shapes[path]}" for path in rule.models]
            wrong.append(f"  {', '.join(theirs)} for {', '.join(ours)}")
    if wrong:
        raise WeightsMismatch(
            f"{arrays.where}: shapes must fit, got {len(wrong)} that do not. Is an "
            "array transposed, or the number of heads wrong?\n" + "\n".join(wrong[:12])
        )
    return plan._replace(used=used)


def _fits(path, shape, target, opened, arch):
    """Whether an array has the weight's shape, or can be resized to it."""
    grid, patch = opened.facts.grid, opened.facts.options.get("patch_size")
    if len(shape) == 4 and _sees_image(path, opened.facts):
        shape = (*shape[:2], arch.channels, shape[3])
    if path == PROJECTION and len(shape) == 4:
        values = shape[2] * arch.patch_size[0] * arch.patch_size[1]
        return shape[:2] == tuple(patch) and (values, shape[3]) == target
    if path == POSITION and len(shape) == 3 and grid is not None:
        prefix = shape[1] - grid[0] * grid[1]
        rows = prefix + arch.grid[0] * arch.grid[1]
        return (shape[0], rows, shape[2]) == target
    return shape == target


def _sees_image(path, facts):
    """Whether a kernel reads the channels of the image."""
    return path == PROJECTION and facts.options.get("stem") is None


def fill(model, opened, plan, arch):
    """Read, resize and assign the arrays, one rule at a time.

    Returns:
        (weight path -> file names, weight path -> what was resized).

    Raises:
        CheckpointError: when an array is damaged or not finite.
    """
    arrays, _, facts = opened
    weights = {weight.path: weight for weight in model.weights}
    loaded, resized = {}, {}
    for rule in plan.used:
        found = [arrays.array(name) for name in rule.files]
        values = mapping.assemble(rule, found, numbers_of(facts))
        for path, value in zip(rule.models, values, strict=True):
            value, note = _adapted(path, value, facts, arch)
            weights[path].assign(value.reshape(weights[path].shape))
            if note:
                resized[path] = note
            else:
                loaded[path] = [arrays.origin[name] for name in rule.files]
    return loaded, resized


def _adapted(path, value, facts, arch):
    """Resample positions and patch kernels: (array, note or None)."""
    done = []
    if _sees_image(path, facts) and facts.options["channels"] != arch.channels:
        value, how = resample.channels(value, arch.channels)
        done.append(f"3 -> {arch.channels} channels: {how}, as timm does")
    if path == PROJECTION and value.shape[:2] != arch.patch_size:
        done.append(f"patches {value.shape[:2]} -> {arch.patch_size} px by PI-resize")
        value = resample.patch_kernel(value, arch.patch_size)
    if path == POSITION and facts.grid not in (None, arch.grid):
        prefix = value.shape[1] - facts.grid[0] * facts.grid[1]
        note = f"grid {facts.grid} -> {arch.grid} patches by {facts.kernel}"
        table = resample.positions(value, facts.grid, arch.grid, prefix, facts.kernel)
        return table, note
    return value, "; ".join(done) or None


def load(opened, request, skip=(), kernel=None, **wishes):
    """Build the model of a file and load its weights.

    Args:
        opened: `Opened`. request: `Request`. skip: patterns to leave out.
        kernel: how to resample positions instead of the family's way.
        **wishes: `patch_size`, `preprocessing` and fields of the family's record.

    Returns:
        `ImageModel` with a `loading_report`.
    """
    if kernel is not None:
        opened = opened._replace(facts=opened.facts._replace(kernel=kernel))
    arch, sentence = architecture(opened, request, **wishes)
    plan = match(opened, arch, skip)
    model = opened.family.build(arch)
    loaded, resized = fill(model, opened, plan, arch)
    arrays, family, facts = opened
    model.loading_report = LoadingReport(
        path=arrays.where,
        format=arrays.format,
        family=family.name,
        loaded=loaded,
        resized=resized,
        fresh=plan.fresh,
        skipped={
            **arrays.left_out,
            **{arrays.origin[name]: why for name, why in plan.skipped.items()},
        },
        notes=[n for n in (*facts.notes, sentence) if n],
    )
    return model
