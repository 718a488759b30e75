"""Description of a model, for people and for programs."""

from keras_vit.cli import saved


def counted(name):
    """Facts of a named model as `describe` gives them, without Keras; else None.

    A name is looked up in the tables, a `.keras` file read off its headers.
    """
    if name.endswith(".keras"):
        return saved.facts(name)
    from keras_vit import imagenet, variants
    from keras_vit.weights import catalog, counting, list_checkpoints

    row = catalog.find(name) if name in list_checkpoints() else None
    variant = variants.parse(name if row is None else row.variant)
    options = {} if row is None else dict(row.options)
    side = None if row is None else options.get("image_size") or row.image_size
    given = () if row is None else (side, row.classes)
    sizes = counting.outline(variant, *given, patch_size=options.get("patch_size"))
    if sizes is None:
        return None
    facts = {
        "name": variant.function if row is None else row.name,
        **{name: sizes[name] for name in ("input", "output", "parameters")},
        "size": sizes["parameters"] * 4,
        "layers": sizes["layers"],
        "preprocessing": catalog.prepared(row, variant.family),
        "labels": None,
    }
    if row is None:
        return facts
    if row.classes == len(imagenet.NAMES):
        facts["labels"] = list(imagenet.NAMES)
    return facts | {"top1": row.score, "licence": row.licence, "url": row.url}


def find(name):
    """Load a saved model, or an abstract named one: (model, row of the tables).

    A published name has the size, the classes and the head of its own row.
    """
    from keras_vit import models, weights

    if name.endswith(".keras"):
        return weights.load(name), None
    if name in weights.list_checkpoints():
        row = weights.catalog.find(name)
        return _published(row), row
    return models.outline(models.create, name), None


def _published(row):
    """Abstract model of a published checkpoint: size, classes and head."""
    from keras_vit import imagenet, models, weights

    side = row.options and dict(row.options).get("image_size") or row.image_size
    wishes = {k: v for k, v in row.options if k in ("patch_size", "activation")}
    model = models.outline(
        models.create,
        row.variant,
        input_shape=(side, side, 3),
        classes=row.classes or None,
        include_top=row.classes > 0,
        **wishes,
    )
    model.preprocessing = weights.catalog.preparation(row)
    if row.classes == len(imagenet.NAMES):
        model.labels = list(imagenet.NAMES)
    return model


def describe(model, row=None):
    """Describe a model as plain values.

    Args:
        model: Keras model. row: `Checkpoint` of a published one, or None.
    """
    from keras_vit.models.input_range import stated

    preprocessing, source = stated(model)
    facts = {
        "name": model.name if row is None else row.name,
        "input": list(model.input_shape[1:]),
        "output": _output(model),
        "parameters": model.count_params(),
        "size": model.count_params() * 4,
        "layers": len(model.layers),
        "preprocessing": None if preprocessing is None else preprocessing.get_config(),
        "labels": getattr(model, "labels", None),
    }
    if source:
        facts["note"] = source
    if row is not None:
        facts |= {"top1": row.score, "licence": row.licence, "url": row.url}
    return facts


def lines(facts):
    """Describe a model in lines for people."""
    size, labels = facts["size"] / 2**20, facts["labels"]
    names = None if labels is None else ", ".join(labels[:10])
    more = f" and {len(labels) - 10} more" if labels and len(labels) > 10 else ""
    shown = {
        **facts,
        "input": "x".join(map(str, facts["input"])) + " (H, W, C) px",
        "output": _shape(facts["output"]),
        "parameters": f"{facts['parameters']:,}",
        "size": f"{size:.1f} MiB in float32",
        "preprocessing": facts["preprocessing"] or "unknown",
        "labels": "none" if names is None else names + more,
    }
    return [f"{key:14} {value}" for key, value in shown.items() if value is not None]


def _output(model):
    """Output shape of a model; of a self-supervised one, its loss."""
    from keras_vit.models.pretraining import PretrainingModel

    if isinstance(model, PretrainingModel):
        return f"a loss of its own, without labels ({type(model).__name__})"
    shape = model.output_shape
    if isinstance(shape, list):
        return [list(one[1:]) for one in shape]
    return list(shape[1:])


def _shape(output):
    if isinstance(output, list) and len(output) == 1:
        return f"{output[0]} values"
    return output
