"""Noisy Student: learn from a teacher's labels of more images, under noise.

    keras-vit pseudo-label teacher.keras more/ --labelled folder:photos/ --output p.npz
    keras-vit train --recipe noisy_student --data pseudo:p.npz --output runs/student

Then the student is the next teacher: three rounds in the paper, with students as large
as their teacher or larger. Cost: that of training on all images. Published: 88.4 %
top-1 on ImageNet for EfficientNet-L2 with 300 million more images; not run here.

Source: Xie et al. 2019, arXiv:1911.04252, section 3.1: RandAugment of two changes at
strength 27, stochastic depth up to 0.2 in the last block, dropout, 350 epochs, 2,048
labelled images per step. Theirs is an EfficientNet with dropout 0.5 before its head and
RMSProp at 0.128 that falls by 0.97 every 2.4 epochs; ours is a Vision Transformer with
dropout 0.1 everywhere and the optimiser of `vit_s16_i1k`.
"""

from keras_vit.training.recipes.base import Recipe

RECIPE = Recipe(
    name="noisy_student",
    model={"variant": "ViT-B/16", "dropout": 0.1, "drop_path": 0.2},
    image_size=224,
    preprocessing={"resize": "short_side", "crop": 0.875},
    epochs=350,
    batch_size=2048,
    scaling="linear",
    optimizer="adamw",
    learning_rate=2e-3,
    schedule="cosine",
    warmup="10000 steps",
    weight_decay=0.1,
    clipnorm=1.0,
    label_smoothing=0.1,
    augment="random_resized_crop(0.08)|flip|randaug(2,27)",
)
