"""Write timm_hybrids.npz: `python tests/golden/make_timm_hybrids.py`, with timm.

Weights and images come from numpy's generator, so only names, shapes and logits are
recorded. Run it only when a change of numbers is intended.
"""

import functools
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent
# case -> units per stage, patch side on the feature map, image size in px
CASES = {"root": ((), 4, (64, 64)), "stages": ((1, 2), 1, (48, 64))}


def values(names, shapes):
    """One array per name, the same wherever this runs."""
    rng = np.random.default_rng(0)
    for name, shape in zip(names, shapes, strict=True):
        around = float("norm" in name and name.endswith("weight"))
        yield (around + 0.1 * rng.standard_normal(shape)).astype("float32")


def pixels(size):
    """Two images, (2, H, W, 3)."""
    return np.random.default_rng(1).uniform(-1, 1, (2, *size, 3)).astype("float32")


def logits(units, patch, size):
    """Names, shapes and logits of timm's model."""
    import torch
    from timm.models import vision_transformer_hybrid as hybrid
    from timm.models.vision_transformer import VisionTransformer

    conv = functools.partial(hybrid.StdConv2dSame, eps=1e-8)
    stem = {"stem_type": "same", "preact": False, "conv_layer": conv}
    if units:
        top = {"channels": (256, 512), "num_classes": 0, "global_pool": ""}
        backbone = hybrid.ResNetV2(layers=units, **top, **stem)
    else:
        backbone = hybrid._resnetv2(layers=())
    embed = functools.partial(hybrid.HybridEmbed, backbone=backbone)
    model = VisionTransformer(
        img_size=size,
        patch_size=patch,
        embed_layer=embed,
        embed_dim=32,
        depth=1,
        num_heads=4,
        num_classes=5,
    ).eval()
    state = model.state_dict()
    shapes = [tuple(tensor.shape) for tensor in state.values()]
    found = zip(state, values(state, shapes), strict=True)
    model.load_state_dict({name: torch.from_numpy(x) for name, x in found})
    with torch.no_grad():
        images = torch.from_numpy(pixels(size)).permute(0, 3, 1, 2)
        return list(state), shapes, model(images).numpy()


def main():
    """Write the file."""
    import timm

    header = f"{pathlib.Path(__file__).name}, timm {timm.__version__}"
    arrays = {"header": np.array(header)}
    for case, numbers in CASES.items():
        names, shapes, found = logits(*numbers)
        arrays[f"{case}/names"] = np.array(names)
        arrays[f"{case}/shapes"] = np.array([" ".join(map(str, s)) for s in shapes])
        arrays[f"{case}/logits"] = found
    np.savez_compressed(FOLDER / "timm_hybrids.npz", **arrays)


if __name__ == "__main__":
    main()
