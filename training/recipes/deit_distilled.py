"""DeiT with a distillation token, which learns from a teacher.

    keras-vit train --recipe deit_distilled --set teacher=teacher.keras --output runs/x

Cost: about 5.3e18 multiply-adds for S/16, and those of the teacher. Published, with
RegNetY-16GF (82.9 %) as the teacher: Ti 74.5, S 81.2, B 83.4 % top-1; not run here. The
teacher sees the augmented and mixed images.

Source: Touvron et al. 2020, arXiv:2012.12877, sections 4 and 5.2; hard distillation,
half and half.
"""

from keras_vit.training.recipes import deit

RECIPE = deit.RECIPE.override(
    name="deit_distilled",
    model={"variant": "DeiT-S/16", "drop_path": 0.1},
    distillation={"kind": "hard", "weight": 0.5},
)
