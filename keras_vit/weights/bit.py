"""Weights of Big Transfer: the files of its authors, and timm's.

Both hold the same network; timm adds another epsilon to the variance of kernels.
"""

import re

from keras_vit.errors import CheckpointError
from keras_vit.weights.checkpoint_facts import Facts, Family
from keras_vit.weights.mapping import Rule, pair

WIDTH = 64  # channels of the root at width factor 1, as in models.bit
ROOT = "resnet/root_block/standardized_conv2d/kernel"
UNIT = r"resnet/block(\d{1,2})/unit(\d{1,3})/"
TIMM_ROOT = "stem.conv.weight"
TIMM_UNIT = r"stages\.(\d{1,2})\.blocks\.(\d{1,3})\."
SMALL = 224  # px; the size of pre-training, where nobody says another
GROUP_NORM = (("/gamma", "/gamma", "vector"), ("/beta", "/beta", "vector"))
TIMM_NORM = ((".weight", "/gamma", "same"), (".bias", "/beta", "same"))
PARTS = {"a": "1", "b": "2", "c": "3"}


def recognises(arrays):
    """Whether names have big_transfer's root, numbered or not."""
    return any(_plain(name) == ROOT for name in arrays)


def recognises_timm(arrays):
    """Whether names have a root without norm and pre-activation units."""
    before = "stages.0.blocks.0.norm1.weight" in arrays
    return TIMM_ROOT in arrays and before and "stem.norm.weight" not in arrays


def _plain(name):
    """Remove TensorFlow's numbers of layers of the same kind."""
    return re.sub(r"(standardized_conv2d|group_norm|conv2d)_\d+(?=/)", r"\1", name)


def normalise(arrays):
    """Normalise the spelling of each name."""
    return arrays.renamed(_plain)


def read(arrays, request):
    """`Facts` of a file of big_transfer."""
    channels, width = arrays.shape(ROOT, 4)[2:]
    units = _units(arrays, UNIT, first=1)
    kernel = "resnet/block{}/unit01/a/standardized_conv2d/kernel"
    filters = [
        arrays.shape(kernel.format(stage), 4)[3] for stage in range(1, len(units) + 1)
    ]
    options = {"epsilon": 1e-10, "include_top": "resnet/head/conv2d/kernel" in arrays}
    if options["include_top"]:
        options["classes"] = arrays.shape("resnet/head/conv2d/kernel", 4)[3]
    options |= {"units": units, "filters": tuple(filters), "channels": channels}
    return _facts(arrays, request, width, options)


def read_timm(arrays, request):
    """`Facts` of a timm state dict."""
    width, channels = arrays.shape(TIMM_ROOT, 4)[:2]
    units = _units(arrays, TIMM_UNIT, first=0)
    kernel = "stages.{}.blocks.0.conv1.weight"
    filters = [arrays.shape(kernel.format(s), 4)[0] for s in range(len(units))]
    options = {"epsilon": 1e-8, "include_top": "head.fc.weight" in arrays}
    if options["include_top"]:
        options["classes"] = arrays.shape("head.fc.weight", 4)[0]
    options |= {"units": units, "filters": tuple(filters), "channels": channels}
    return _facts(arrays, request, width, options)


def _facts(arrays, request, width, options):
    factor, rest = divmod(width, WIDTH)
    if rest or not factor:
        raise CheckpointError(
            f"{arrays.where}: the root of a Big Transfer ResNet has a multiple of "
            f"{WIDTH} channels, got {width}. Is it the right file?"
        )
    size = request.image_size or request.usual_size or (SMALL, SMALL)
    found = {"image_size": size, "width_factor": factor, "pooling": "gap"}
    return Facts({**found, **options}, None, "zoom")


def _units(arrays, pattern, first):
    """Units per stage: (3, 4, 6, 3).

    Raises:
        CheckpointError: when a stage or a unit is missing.
    """
    units = {}
    for match in filter(None, (re.match(pattern, name) for name in arrays)):
        units.setdefault(int(match[1]), set()).add(int(match[2]))
    whole = sorted(units) == list(range(first, first + len(units))) and all(
        numbers == set(range(first, first + len(numbers))) for numbers in units.values()
    )
    if not units or not whole:
        raise CheckpointError(
            f"{arrays.where}: stages and units must be numbered from {first} without a "
            f"gap, got stages {sorted(units)[:20]}. The file is incomplete; fetch it "
            "again."
        )
    return tuple(len(units[stage]) for stage in sorted(units))


def rules(options):
    """Rules of big_transfer's names, for one architecture."""
    table = [
        Rule((ROOT,), ("root/kernel",)),
        *pair([Rule(("resnet/group_norm",), ("norm",))], GROUP_NORM),
        Rule(("resnet/head/conv2d/kernel",), ("head/kernel",), "conv_to_dense"),
        Rule(("resnet/head/conv2d/bias",), ("head/bias",), "vector"),
    ]
    for stage, unit in _numbers(options):
        theirs, ours = f"resnet/block{stage}/unit{unit:02}", f"stage{stage}_unit{unit}"
        for letter, part in PARTS.items():
            kernel = f"{theirs}/{letter}/standardized_conv2d/kernel"
            table.append(Rule((kernel,), (f"{ours}/conv{part}/kernel",)))
            norm = Rule((f"{theirs}/{letter}/group_norm",), (f"{ours}/norm{part}",))
            table += pair([norm], GROUP_NORM)
        kernel = f"{theirs}/a/proj/standardized_conv2d/kernel"
        table.append(Rule((kernel,), (f"{ours}/conv_proj/kernel",)))
    return table


def timm_rules(options):
    """Rules of timm's names, for one architecture."""
    table = [
        Rule((TIMM_ROOT,), ("root/kernel",), "conv_oihw"),
        *pair([Rule(("norm",), ("norm",))], TIMM_NORM),
        Rule(("head.fc.weight",), ("head/kernel",), "dense_oihw"),
        Rule(("head.fc.bias",), ("head/bias",)),
    ]
    for stage, unit in _numbers(options):
        theirs, ours = (
            f"stages.{stage - 1}.blocks.{unit - 1}",
            f"stage{stage}_unit{unit}",
        )
        kernels = {f"conv{part}": f"conv{part}" for part in PARTS.values()}
        kernels["downsample.conv"] = "conv_proj"
        for file, model in kernels.items():
            names = (f"{theirs}.{file}.weight",), (f"{ours}/{model}/kernel",)
            table.append(Rule(*names, "conv_oihw"))
        norms = [
            Rule((f"{theirs}.norm{part}",), (f"{ours}/norm{part}",))
            for part in PARTS.values()
        ]
        table += pair(norms, TIMM_NORM)
    return table


def _numbers(options):
    """(stage, unit), both counted from 1."""
    for stage, count in enumerate(options["units"], start=1):
        yield from ((stage, unit) for unit in range(1, count + 1))


def facts_of(model):
    """Read the architecture from the layers of a model, for `save_checkpoint`.

    Returns:
        Fields of `BiTArchitecture` that matter to a file, or None when it is no
        Big Transfer model.
    """
    from keras_vit.layers import PreactivationUnit  # Keras

    layers = {layer.name: layer for layer in model.layers}
    units = [n for n, x in layers.items() if isinstance(x, PreactivationUnit)]
    if not units or "root" not in layers:
        return None
    stages = [name.removeprefix("stage").split("_unit")[0] for name in units]
    head = layers.get("head")
    return {
        "image_size": tuple(model.input_shape[1:3]),
        "channels": model.input_shape[3],
        "units": tuple(stages.count(stage) for stage in dict.fromkeys(stages)),
        "width_factor": layers["root"].filters // WIDTH,
        "filters": tuple(
            layers[f"stage{stage}_unit1"].filters for stage in dict.fromkeys(stages)
        ),
        "epsilon": layers["root"].epsilon,
        "pooling": "gap" if "pool" in layers else None,
        "classes": None if head is None else head.units,
    }


GOOGLE = Family("bit", recognises, normalise, read, rules, "bit")
TIMM = Family(
    "timm_bit",
    recognises_timm,
    lambda arrays: arrays,
    read_timm,
    timm_rules,
    "bit",
)
FAMILIES = (GOOGLE, TIMM)
