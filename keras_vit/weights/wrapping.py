"""Wrappers around weights in training files: prefixes, copies, counters."""

import fnmatch
import re

from keras_vit.errors import CheckpointError

# Name of a model's first array, without a prefix.
ANCHORS = (
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
    "stem.conv.weight",
)
# Prefixes of PyTorch's wrappers, at any part of a name.
WITHIN = re.compile(
    r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)"
    r"(?=\.)"
)
# Of several copies, the averaged weights (EMA) are the ones that authors evaluate.
PREFERRED = ("ema", "averaged", "teacher")
# Computed arrays and counters: suffix of the name -> why they are skipped.
BUFFERS = (
    (r"(^|\.)num_batches_tracked$", "a counter of batches"),
    (r"(^|\.)n_averaged$", "a counter of averages"),
    (r"(^|\.)total_(ops|params)$", "a count of operations by a profiler"),
    (r"(^|\.)position_ids$", "numbers of positions, which are computed"),
    (r"(^|\.)relative_position_index$", "an index, which is computed"),
    (r"(^|\.)(step|epoch|global_step)$", "a counter of training steps"),
)


def matcher(patterns):
    """A function that says whether a name fits one of some shell patterns."""
    return lambda name: any(fnmatch.fnmatchcase(name, p) for p in patterns)


def unwrapped(arrays, skip=()):
    """The arrays of one model under their own names.

    Args:
        arrays: `ArrayFile`. skip: shell patterns that the caller leaves out.

    Returns:
        (`ArrayFile`, sentences). Other copies and buffers are left out, with reasons.

    Raises:
        CheckpointError: for several copies of which none is preferred.
    """
    arrays = arrays.without(_buffer).renamed(_without_wrappers)
    prefix, others, notes = _choose(arrays, matcher(skip))
    if not prefix and not others:
        return arrays, notes
    copies = tuple(other for other in others if other)
    if copies:
        reason = f"another copy of the weights; taken were those of {prefix!r}"
        arrays = arrays.without(lambda n: reason if n.startswith(copies) else None)
    return arrays.renamed(_shortening(arrays, prefix)), notes


def _without_wrappers(name):
    return WITHIN.sub("", name).removeprefix(".")


def _buffer(name):
    return next((why for end, why in BUFFERS if re.search(end, name)), None)


def _choose(arrays, skipped):
    """(prefix, prefixes of other copies, notes)."""
    for anchor in ANCHORS:
        prefixes = [n for n in arrays if n == anchor or n.endswith(f".{anchor}")]
        prefixes = [n.removesuffix(anchor) for n in prefixes if not skipped(n)]
        if not prefixes:
            continue
        if len(prefixes) == 1:
            return prefixes[0], [], []
        chosen = [p for p in prefixes if any(word in p.lower() for word in PREFERRED)]
        if len(chosen) != 1 and "" in prefixes:
            chosen = [""]
        if len(chosen) != 1:
            names = ", ".join(map(repr, sorted(prefixes)))
            raise CheckpointError(
                f"{arrays.where}: must hold one model, got copies of its weights under "
                f"{names}. Say which to leave out: skip={prefixes[-1] + '*'!r}."
            )
        others = [p for p in prefixes if p != chosen[0]]
        names = ", ".join(map(repr, others))
        said = f"several copies of the weights: took {chosen[0]!r}, left out {names}."
        return chosen[0], others, [said]
    return "", [], []


def _shortening(arrays, prefix):
    """Make a function that removes the prefix of names, or its part.

    A head often stands outside the wrapper of its backbone: "module.backbone.norm"
    goes with "module.head".
    """
    parts = prefix.split(".")[:-1]
    starts = [".".join(parts[:n]) + "." for n in range(len(parts), 0, -1)]
    taken = {n.removeprefix(prefix) for n in arrays if n.startswith(prefix)}

    def shorten(name):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
        for start in starts:
            short = name.removeprefix(start)
            if short != name and short not in taken:
                return short
        return name

    return shorten
