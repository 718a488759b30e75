"""Rules between foreign names of weights and ours, in both directions.

A `Rule` pairs names in a file with weight paths of a model. The same table
loads and saves. `plan` accounts for every array on both sides before any is
read; nothing is matched by guessing.
"""

from typing import NamedTuple

import numpy as np

from keras_vit.errors import WeightsMismatch
from keras_vit.weights.wrapping import matcher


class Rule(NamedTuple):
    """Arrays of a file that form weights of a model.

    Several file arrays are put together along `axis` to one weight; several
    weights split one file array into equal parts.
    """

    files: tuple
    models: tuple
    arrange: str = "same"
    axis: int = -1


class Numbers(NamedTuple):
    """Shape numbers that an arrangement needs."""

    heads: int
    patch_size: tuple
    channels: int


def _split_heads(values, numbers):
    return values.reshape(*values.shape[:-1], numbers.heads, -1)


def _oihw_to_hwio(values, numbers):
    if values.ndim == 2:  # very old timm: a patch flattened as (channel, row, column)
        values = values.reshape(len(values), numbers.channels, *numbers.patch_size)
    return values.transpose(2, 3, 1, 0)


# name -> (file array to ours, ours to a file array).
ARRANGE = {
    "same": (lambda x, n: x, lambda x, n: x),
    "vector": (lambda x, n: x.reshape(-1), lambda x, n: x),
    "transpose": (lambda x, n: x.T, lambda x, n: x.T),
    "patch_hwio": (
        lambda x, n: x,
        lambda x, n: x.reshape(*n.patch_size, n.channels, -1),
    ),
    "patch_oihw": (
        _oihw_to_hwio,
        lambda x, n: x.reshape(*n.patch_size, n.channels, -1).transpose(3, 2, 0, 1),
    ),
    "conv_oihw": (
        lambda x, n: x.transpose(2, 3, 1, 0),
        lambda x, n: x.transpose(3, 2, 0, 1),
    ),
    "conv_to_dense": (  # a 1x1 convolution as a head
        lambda x, n: x.reshape(x.shape[-2:]) if x.ndim == 4 else x,
        lambda x, n: x[None, None],
    ),
    "dense_oihw": (
        lambda x, n: x.reshape(x.shape[:2]).T,
        lambda x, n: x.T[:, :, None, None],
    ),
    "heads_in": (lambda x, n: x.reshape(x.shape[0], -1), _split_heads),
    "heads_in_rows": (
        lambda x, n: x.reshape(-1, x.shape[-1]).T,
        lambda x, n: x.T.reshape(n.heads, -1, x.shape[0]),
    ),
    "heads_bias": (lambda x, n: x.reshape(-1), _split_heads),
    "heads_out": (
        lambda x, n: x.reshape(-1, x.shape[-1]),
        lambda x, n: x.reshape(n.heads, -1, x.shape[-1]),
    ),
}


def single(file, model):
    """Make the rule of one array that is one weight."""
    return Rule((file,), (model,))


def pair(rules, suffixes):
    """Repeat rules for each (file suffix, model suffix, arrangement)."""
    return [
        Rule(
            tuple(f"{name}{file}" for name in rule.files),
            tuple(f"{path}{model}" for path in rule.models),
            arrange,
            rule.axis,
        )
        for rule in rules
        for file, model, arrange in suffixes
    ]


def numbered(rules, **ranges):
    """Repeat rules for every number, such as i=range(12) for "{i}" in the names."""
    for key, values in ranges.items():
        rules = [
            rule._replace(
                files=tuple(n.replace(f"{{{key}}}", str(v)) for n in rule.files),
                models=tuple(n.replace(f"{{{key}}}", str(v)) for n in rule.models),
            )
            for rule in rules
            for v in values
        ]
    return rules


def assemble(rule, arrays, numbers):
    """Assemble file arrays to weights of the model."""
    load, _ = ARRANGE[rule.arrange]
    parts = [load(values, numbers) for values in arrays]
    whole = np.concatenate(parts, axis=rule.axis) if len(parts) > 1 else parts[0]
    if len(rule.models) == 1:
        return [whole]
    return np.split(whole, len(rule.models), axis=rule.axis)


def disassemble(rule, values, numbers):
    """Split weights of the model to file arrays; undoes `assemble`."""
    _, save = ARRANGE[rule.arrange]
    whole = np.concatenate(values, axis=rule.axis) if len(values) > 1 else values[0]
    parts = [whole]
    if len(rule.files) > 1:
        parts = np.split(whole, len(rule.files), axis=rule.axis)
    return [save(part, numbers) for part in parts]


def assembled_shapes(rule, entries, numbers):
    """Shapes that `assemble` will give, without reading; None when it cannot."""
    load, _ = ARRANGE[rule.arrange]
    try:
        shapes = [
            list(load(np.broadcast_to(np.float32(0), entry.shape), numbers).shape)
            for entry in entries
        ]
        lengths = [shape.pop(rule.axis) for shape in shapes]
    except (ValueError, IndexError, TypeError):
        return None
    length, rest = divmod(sum(lengths), len(rule.models))
    if rest or any(shape != shapes[0] for shape in shapes):
        return None
    whole = shapes[0]
    whole.insert(len(whole) if rule.axis < 0 else rule.axis, length)
    return [tuple(whole)] * len(rule.models)


class Plan(NamedTuple):
    """Which rule fills which weights, and what stays unmatched."""

    used: list  # rules whose files and weights both exist
    fresh: dict  # weight path -> why it keeps its initial value
    skipped: dict  # file name -> why it is not used


def plan(rules, arrays, shapes, requested, skip=()):
    """Match every array of the file with every weight of the model.

    Args:
        rules: list of `Rule`.
        arrays: `ArrayFile`.
        shapes: weight path -> shape of the model.
        requested: (weight path) -> reason, or None; for weights that exist on
            one side only because the caller asked for it.
        skip: shell patterns of file names or weight paths to leave out.

    Returns:
        `Plan`.

    Raises:
        WeightsMismatch: listing what is unaccounted for on both sides.
    """
    used, fresh, skipped, missing = [], {}, {}, {}
    seen_files, seen_paths = set(), set()
    asked = matcher(skip)
    for rule in rules:
        files = [name for name in rule.files if name in arrays]
        paths = [path for path in rule.models if path in shapes]
        seen_files.update(files)
        seen_paths.update(paths)
        names = [arrays.origin.get(name, name) for name in rule.files]
        wanted = not any(map(asked, (*names, *rule.files, *rule.models)))
        reason = "skipped as asked" if not wanted else requested(rule.models[0])
        complete = len(files) == len(rule.files) and len(paths) == len(rule.models)
        if complete and wanted:
            used.append(rule)
        elif reason is not None:
            fresh.update(dict.fromkeys(paths, reason))
            skipped.update(dict.fromkeys(files, reason))
        elif files or paths:
            missing.update({n: ("the file", arrays[n].shape) for n in files})
            missing.update({p: ("the model", shapes[p]) for p in paths})
    for name in arrays.keys() - seen_files:
        if asked(name) or asked(arrays.origin[name]):
            skipped[name] = "skipped as asked"
        else:
            missing[name] = ("the file", arrays[name].shape)
    for path in shapes.keys() - seen_paths:
        reason = "skipped as asked" if asked(path) else requested(path)
        if reason is None:
            missing[path] = ("the model", shapes[path])
        else:
            fresh[path] = reason
    if missing:
        raise mismatch(arrays.where, missing)
    return Plan(used, fresh, skipped)


def fill(model, rules, arrays, numbers, requested=lambda path: None, skip=()):
    """Assign arrays of a file to weights by a model's own names.

    Args:
        model: built. rules, arrays, requested, skip: as in `plan`, with weight paths
            below the model's name. numbers: `Numbers`.

    Raises:
        WeightsMismatch: as `plan`.
    """
    own = [w for w in model.weights if w.path.startswith(f"{model.name}/")]
    weights = {weight.path.removeprefix(f"{model.name}/"): weight for weight in own}
    shapes = {path: tuple(weight.shape) for path, weight in weights.items()}
    for rule in plan(rules, arrays, shapes, requested, skip).used:
        found = [arrays.array(name) for name in rule.files]
        for path, value in zip(
            rule.models, assemble(rule, found, numbers), strict=True
        ):
            weights[path].assign(value)


def mismatch(where, missing, limit=12):
    """Error for names that exist on one side only.

    Args:
        where: path of the file.
        missing: name -> ("the file" or "the model", shape).
        limit: names shown per side.
    """
    lines = []
    for side in ("the file", "the model"):
        names = sorted((n, shape) for n, (s, shape) in missing.items() if s == side)
        if names:
            lines.append(f"only in {side}, {len(names)}:")
            lines += [f"  {name} {tuple(shape)}" for name, shape in names[:limit]]
            if len(names) > limit:
                lines.append(f"  and {len(names) - limit} more")
    return WeightsMismatch(
        f"{where}: every array of the file and of the model must have a counterpart, "
        f"got {len(missing)} without one. What is left over belongs to another "
        "architecture, whose answers need it: use the code that it came from.\n"
        + "\n".join(lines)
    )
