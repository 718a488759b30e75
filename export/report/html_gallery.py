"""The report's section of validation images with predictions."""

import html


def gallery(report):
    """Render the section's body.

    Args:
        report: `keras_vit.export.ExportReport`.

    Returns:
        HTML text; "" without pictures.
    """
    if not report.pictures:
        return ""
    cards = "".join(_card(picture, report) for picture in report.pictures)
    text = _choice(report)
    if any(picture.attention for picture in report.pictures):
        text += (
            " With each image: what the model looked at in its last step, bright for "
            "much."
        )
    if report.pictures[0].chosen is not None:
        text += " Bold: what it chooses, and the probability that it gives."
    return f'<p class="soft">{text}</p><div class="gallery">{cards}</div>'


def _choice(report):
    """Describe how the images were sampled."""
    shown, pictures = len(report.pictures), report.pictures
    text = f"{shown} of {report.validation['images']} images"
    if pictures[0].chosen is None:
        return f"{text}, the first."
    judged = pictures[0].true is not None
    kind = "classes" if judged else "classes that the Keras model chooses"
    text += f", spread evenly over the {kind}"
    wrong = sum(picture.wrong for picture in pictures)
    if not wrong:
        return f"{text}."
    return f"{text}; mistakes of the Keras model first, up to a third of the images."


def _card(picture, report):
    height, width = report.model["input"][:2]
    kind = ' class="pixels"' if height * width <= 64 * 64 else ""
    images = f'<img{kind} src="{picture.image}" alt="test image">'
    if picture.attention:
        images += f'<img src="{picture.attention}" alt="attention">'
    shape = f'style="--shape:{width}/{height}"'
    return (
        f'<figure class="card{" bad" if picture.wrong else ""}">'
        f'<div class="pair" {shape}>{images}</div>{_caption(picture, report.labels)}'
        "</figure>"
    )


def _caption(picture, labels):
    if picture.chosen is None:
        return ""

    def name(index):
        return html.escape(str(labels[index] if labels else f"class {index}"))

    true = ""
    if picture.true is not None:
        kind = "true" if picture.wrong else "true soft"
        true = f'<bdi class="{kind}">is {name(picture.true)}</bdi>'
    percent = f"{100 * picture.share:.0f}%"
    return (
        f'<figcaption><span class="soft">{percent}</span><b>{name(picture.chosen)}</b>'
        f'{true}<span class="share"><i style="width:{percent}"></i></span></figcaption>'
    )
