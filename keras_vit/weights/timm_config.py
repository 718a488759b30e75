"""timm's config.json: heads, GELU, pooling, labels."""

import re

from keras_vit.errors import CheckpointError

GELUS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "gelu_erf": "gelu",
    "GELU": "gelu",
    "GELUTanh": "gelu_tanh",
}
# Names whose models timm builds with the tanh form; every other is exact.
TANH = re.compile(
    r"base_patch32_siglip|large_patch16_siglip(_gap)?_512|so400m_patch16_siglip|giantopt"
)
POOLS = {"token": "token", "avg": "gap", "map": "map"}
# Arguments that leave the network as the arrays tell it.
HARMLESS = frozenset(
    "img_size patch_size embed_dim depth num_heads num_classes in_chans global_pool "
    "mlp_ratio qkv_bias init_values class_token no_embed_class reg_tokens pre_norm "
    "final_norm fc_norm dynamic_img_size dynamic_img_pad drop_rate pos_drop_rate "
    "patch_drop_rate proj_drop_rate attn_drop_rate drop_path_rate weight_init "
    "fix_init act_layer qk_norm proj_bias pos_embed strict_img_size checkpoint_path "
    "pretrained img_size_only device dtype".split()
)


class TimmConfig:
    """timm's config.json, or an empty one.

    Args:
        arrays: `ArrayFile` whose notes may hold it.
    """

    def __init__(self, arrays):
        config = arrays.notes.get("config")
        self.config = config if isinstance(config, dict) else {}
        args = self.config.get("model_args")
        self.args = args if isinstance(args, dict) else {}
        self.where, self.name = arrays.where, str(self.config.get("architecture", ""))

    def __bool__(self):
        return bool(self.name or self.args)

    def get(self, name):
        """A value of the arguments, or of the top level."""
        value = self.args.get(name)
        return self.config.get(name) if value is None else value

    def check(self):
        """Refuse arguments of another network.

        Raises:
            CheckpointError: naming the argument.
        """
        for name, value in self.args.items():
            if name not in HARMLESS and value not in (None, False):
                self._refuse(name, "left out: it makes another network", value)
        if self.get("pos_embed") not in (None, "learn"):
            self._refuse("pos_embed", "'learn'", self.get("pos_embed"))

    def heads(self):
        """Number of heads, or None."""
        value = self.get("num_heads")
        if value is None:
            return None
        if type(value) is not int or value < 1:
            self._refuse("num_heads", "a whole number above 0", value)
        return value

    def activation(self):
        """Our name of the GELU."""
        value = self.get("act_layer")
        if value is None:
            return "gelu_tanh" if TANH.search(self.name) else "gelu"
        if str(value) not in GELUS:
            self._refuse("act_layer", f"one of {', '.join(GELUS)}", value)
        return GELUS[str(value)]

    def epsilon(self):
        """Epsilon of the norms; CLIP's are torch's default."""
        return 1e-5 if "_clip_" in f"{self.name}_" else 1e-6

    def pooling(self, class_token):
        """ "token", "gap" or "map"; None where it is not stated."""
        value = self.get("global_pool")
        if value in (None, ""):
            return None
        if value not in POOLS or (value == "token" and not class_token):
            self._refuse("global_pool", "token (with a class token), avg or map", value)
        return POOLS[value]

    def _refuse(self, name, rule, value):
        raise CheckpointError(
            f"{self.where}: config.json must give {name!r} as {rule}, got "
            f"{str(value)[:60]!r}. Run this model with timm."
        )


def labels_of(config, classes):
    """Class names in timm's or transformers' config.json.

    Args:
        config: dict. classes: K.

    Returns:
        (list or None, sentence or None). Descriptions are taken for names that they
        describe, such as "tench" for "n01440764".
    """
    nested = config.get("pretrained_cfg")
    places = [config, nested if isinstance(nested, dict) else {}]

    def first(key):
        return next((p[key] for p in places if p.get(key) is not None), None)

    names, descriptions = first("label_names"), first("label_descriptions")
    names = _ordered(names if names is not None else first("id2label"), classes)
    texts = _ordered(descriptions, classes)
    if names is None and texts is None:
        given = names is None and first("label_names") is not None
        many = f"label_names does not name each of {classes} classes; left out."
        return None, many if given else None
    if names is not None and names[0] == "LABEL_0":
        return None, None
    if texts is not None:
        return texts, None
    if isinstance(descriptions, dict) and all(name in descriptions for name in names):
        return [str(descriptions[name]) for name in names], None
    return names, None


def _ordered(names, classes):
    """A list of K names, out of a list or a dict of numbers; else None."""
    if isinstance(names, dict):
        if set(names) != set(map(str, range(classes))):
            return None
        names = [names[str(k)] for k in range(classes)]
    if not isinstance(names, list | tuple) or len(names) != classes:
        return None
    return [str(name) for name in names]
