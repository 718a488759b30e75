"""Tables of model variants: a row per size, a row per named model."""

import difflib
import fnmatch
import re
from typing import NamedTuple


class Size(NamedTuple):
    """One row of SIZES."""

    width: int  # D, channels per token
    depth: int  # encoder blocks
    heads: int
    mlp: int  # hidden units
    source: str


# fmt: off
SIZES = {
    #                  D  depth heads    mlp
    "mu":       Size(  32,   1,    2,   128, "big_vision models/vit.py"),
    "Ti":       Size( 192,  12,    3,   768, "arXiv:2106.10270 tab. 2"),
    "S":        Size( 384,  12,    6,  1536, "arXiv:2106.10270 tab. 2"),
    "M":        Size( 512,  12,    8,  2048, "arXiv:2204.07118 (DeiT-III); big_vision"),
    "B":        Size( 768,  12,   12,  3072, "arXiv:2010.11929 tab. 1"),
    "L":        Size(1024,  24,   16,  4096, "arXiv:2010.11929 tab. 1"),
    "So400m":   Size(1152,  27,   16,  4304, "arXiv:2305.13035; big_vision"),
    "H":        Size(1280,  32,   16,  5120, "arXiv:2010.11929 tab. 1"),
    "g":        Size(1408,  40,   16,  6144, "arXiv:2106.04560 tab. 2"),
    "g-opt":    Size(1536,  40,   16,  6144, "big_vision models/vit.py"),
    "G-opt":    Size(1536,  48,   16,  8192, "big_vision models/vit.py"),
    "G":        Size(1664,  48,   16,  8192, "arXiv:2106.04560 tab. 2"),
    "e":        Size(1792,  56,   16, 15360, "arXiv:2209.06794 tab. 2"),
}

# Public function -> (size, patch side in px).
VIT = {
    "ViT_Ti16": ("Ti", 16), "ViT_S8":  ("S",  8), "ViT_S16": ("S", 16),
    "ViT_S32":  ("S",  32), "ViT_B8":  ("B",  8), "ViT_B16": ("B", 16),
    "ViT_B32":  ("B",  32), "ViT_L16": ("L", 16), "ViT_L32": ("L", 32),
    "ViT_H14":  ("H",  14), "ViT_g14": ("g", 14), "ViT_G14": ("G", 14),
}
DEIT = {"DeiT_Ti16": ("Ti", 16), "DeiT_S16": ("S", 16), "DeiT_B16": ("B", 16)}

# Hybrids: function -> (family, size, patch px in the name, ResNet units per stage,
# side of a patch on the feature map). R+Ti/16 really is /32: its root shrinks the
# image four times, not twice (vit_jax's models_resnet.py).
HYBRIDS = {
    "R_Ti16":  ("R",   "Ti", 16, (),           8),
    "R26_S32": ("R26", "S",  32, (2, 2, 2, 2), 1),
    "R26_B32": ("R26", "B",  32, (2, 2, 2, 2), 1),
    "R50_B16": ("R50", "B",  16, (3, 4, 9),    1),
    "R50_L32": ("R50", "L",  32, (3, 4, 6, 3), 1),
}

# Big Transfer, arXiv:1912.11370: ResNet -> units per stage; function -> (ResNet,
# width factor).
RESNETS = {
    "R50": (3, 4, 6, 3), "R101": (3, 4, 23, 3), "R152": (3, 8, 36, 3),
}
BIT = {
    "BiT_R50x1":  ("R50",  1), "BiT_R50x3":  ("R50",  3), "BiT_R101x1": ("R101", 1),
    "BiT_R101x3": ("R101", 3), "BiT_R152x2": ("R152", 2), "BiT_R152x4": ("R152", 4),
}
FUNCTIONS = (*VIT, *DEIT, *HYBRIDS, *BIT)  # one per named model

# Of named models with 1,000 classes at 224 px; a test counts the built ones.
PARAMETERS = {
    "ViT-Ti/16":        5_717_416, "ViT-S/8":         22_055_272,
    "ViT-S/16":        22_050_664, "ViT-S/32":        22_878_952,
    "ViT-B/8":         86_576_872, "ViT-B/16":        86_567_656,
    "ViT-B/32":        88_224_232, "ViT-L/16":       304_326_632,
    "ViT-L/32":       306_535_400, "ViT-H/14":       632_045_800,
    "ViT-g/14":     1_012_611_432, "ViT-G/14":     1_844_440_680,
    "DeiT-Ti/16":       5_910_800, "DeiT-S/16":       22_436_432,
    "DeiT-B/16":       87_338_192, "R+ViT-Ti/16":      6_337_704,
    "R26+ViT-S/32":    36_431_912, "R26+ViT-B/32":   101_383_976,
    "R50+ViT-B/16":    98_659_112, "R50+ViT-L/32":   328_994_856,
    "BiT-R50x1":       25_549_352, "BiT-R50x3":      217_319_080,
    "BiT-R101x1":      44_541_480, "BiT-R101x3":     387_934_888,
    "BiT-R152x2":     236_335_208, "BiT-R152x4":     936_533_224,
}
# fmt: on


class Variant(NamedTuple):
    """What a model name means."""

    family: str  # "ViT", "DeiT", or the ResNet of a hybrid: "R", "R26", "R50"
    size: str  # a key of SIZES
    patch_size: int  # px

    @property
    def stem(self):
        """Units per stage of a hybrid's ResNet, or None."""
        row = self._hybrid()
        return None if row is None else row[3]

    @property
    def patch(self):
        """Side of a patch: px of the image, or of a hybrid's feature map."""
        row = self._hybrid()
        return self.patch_size if row is None else row[4]

    @property
    def name(self):
        """As in "ViT-B/16" or "R50-B/16"."""
        return f"{self.family}-{self.size}/{self.patch_size}"

    @property
    def function(self):
        """Name of the function that builds it, such as "ViT_B16"."""
        return f"{self.family}_{self.size}{self.patch_size}"

    def _hybrid(self):
        return next((row for row in HYBRIDS.values() if row[:3] == self), None)


class BiTVariant(NamedTuple):
    """What the name of a Big Transfer model means."""

    resnet: str  # a key of RESNETS
    width_factor: int

    @property
    def family(self) -> str:
        """ "BiT", beside the families of `Variant`."""
        return "BiT"

    @property
    def units(self):
        """Residual units per stage."""
        return RESNETS[self.resnet]

    @property
    def filters(self):
        """Channels in the middle of the units, per stage."""
        return tuple(64 * self.width_factor * 2**i for i in range(len(self.units)))

    @property
    def name(self):
        """As in "BiT-R50x1"."""
        return f"BiT-{self.resnet}x{self.width_factor}"

    @property
    def function(self):
        """Name of the function that builds it, such as "BiT_R50x1"."""
        return f"BiT_{self.resnet}x{self.width_factor}"


def model_names():
    """Every named model, in the spelling of `parse`: "ViT-B/16" and so on."""
    rows = [("ViT", row) for row in VIT.values()]
    rows += [("DeiT", row) for row in DEIT.values()]
    names = [f"{family}-{size}/{patch}" for family, (size, patch) in rows]
    hybrids = [f"{r}+ViT-{size}/{patch}" for r, size, patch, *_ in HYBRIDS.values()]
    return names + hybrids + [BiTVariant(*row).name for row in BIT.values()]


def list_models(pattern: str = "*") -> list[str]:
    """Named models whose name matches a shell pattern.

    Args:
        pattern: like "*B*16*"; case does not matter.

    Returns:
        Names that `create` takes, smallest first.

    >>> list_models("ViT-B*")
    ['ViT-B/8', 'ViT-B/16', 'ViT-B/32']
    """
    pattern, names = pattern.lower(), model_names()
    return [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern)]


def parse(name):
    """Read a model name: "ViT-B/16", "B/16", "DeiT-Ti/16", "R50+B/16", "BiT-R50x1".

    Any size of SIZES with any patch side is a model, named or not; so is any ResNet
    of RESNETS with any width factor. Hybrids are those of HYBRIDS.

    Returns:
        `Variant`, or `BiTVariant`.

    Raises:
        ValueError: for a name that means nothing; the message has the nearest
            spelling.

    >>> parse("ViT_B16")
    Variant(family='ViT', size='B', patch_size=16)
    """
    for family, table in (("ViT", VIT), ("DeiT", DEIT)):
        if name in table:
            return Variant(family, *table[name])
    for function, row in HYBRIDS.items():
        family, size, patch = row[:3]
        spellings = (f"{family}+ViT-{size}/{patch}", f"{family}+{size}/{patch}")
        if name in (function, *spellings):
            return Variant(family, size, patch)
    sizes = "|".join(sorted(map(re.escape, SIZES), key=len, reverse=True))
    match = re.fullmatch(rf"(?:(ViT|DeiT)[-_])?({sizes})/([1-9]\d*)", str(name))
    if match:
        family, size, patch = match.groups()
        return Variant(family or "ViT", size, int(patch))
    match = re.fullmatch(rf"BiT[-_]({'|'.join(RESNETS)})x([1-9]\d?)", str(name))
    if match:
        return BiTVariant(match[1], int(match[2]))
    raise ValueError(_unknown(str(name)))


def _unknown(name):
    """Error text for a name that `parse` cannot read."""
    short = [known.removeprefix("ViT-") for known in model_names()]
    known = [*model_names(), *short, *VIT, *DEIT, *HYBRIDS, *BIT]
    plain = {re.sub(r"[-_/\s]", "", k).lower(): k for k in reversed(known)}
    key = re.sub(r"[-_/\s]", "", name).lower()
    near = difflib.get_close_matches(key, list(plain), n=1, cutoff=0.5)
    hint = f"Did you mean {plain[near[0]]!r}? " if near else ""
    return f"no variant {name!r}. {hint}Known sizes: {', '.join(SIZES)}."
