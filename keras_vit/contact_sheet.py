"""A contact sheet: images in a grid, each with its caption."""

import numpy as np

from keras_vit import lettering

CAPTION = 14  # px below each image
LETTERS = 10  # px
LEAST = 96  # px, side that small images are enlarged to


def sheet(images, captions):
    """Draw images in a grid, each with its caption.

    Args:
        images: (B, H, W, 3) uint8. captions: B texts, in any alphabet.

    Returns:
        (H', W', 3) uint8.
    """
    from PIL import Image, ImageDraw

    height, width = images.shape[1:3]
    scale = max(1, -(-LEAST // max(height, width)))
    height, width = height * scale, width * scale
    columns = int(np.ceil(np.sqrt(len(images))))
    rows = -(-len(images) // columns)
    size = (columns * (width + 2), rows * (height + CAPTION))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for number, (image, text) in enumerate(zip(images, captions, strict=True)):
        left = number % columns * (width + 2)
        top = number // columns * (height + CAPTION)
        tile = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
        page.paste(tile, (left, top))
        text = lettering.fitted(text, LETTERS, width)
        lettering.write(pen, (left, top + height), text, LETTERS)
    return np.asarray(page)
