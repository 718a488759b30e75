"""The inspection as one self-contained HTML file."""

import html
import pathlib

import numpy as np

from keras_vit.introspect import drawing
from keras_vit.introspect.attention import draw_heads
from keras_vit.introspect.distance import plot_attention_distance
from keras_vit.introspect.embedding import image, large_enough, svg, thumbnail
from keras_vit.introspect.filters import plot_embedding_filters
from keras_vit.introspect.formulas import FORMULAS
from keras_vit.introspect.inspection import Inspection
from keras_vit.introspect.norms import outlier_ratio, plot_token_norms
from keras_vit.introspect.position import plot_position_similarity
from keras_vit.introspect.style import CSS


def render_page(inspection: Inspection, title: str | None = None) -> str:
    """Write the page.

    Args:
        inspection: of `inspect_model`. title: of the page; None takes the model's name.

    Returns:
        HTML text.

    Raises:
        ImportError: without matplotlib.
    """
    title = _text(title or inspection.facts["name"])
    body = "".join(
        (
            _header(inspection, title),
            "<section><h2>What it looks at</h2>" + _lead("rollout"),
            *(_sight(sight, inspection) for sight in inspection.sights),
            _how("rollout"),
            "</section>",
            _distance(inspection),
            _learnt("position", inspection.similarity, _similarity),
            _learnt("filters", inspection.filters, _filters),
            _norms(inspection),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Inside {title}</title><style>{CSS}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _text(value):
    return html.escape(str(value))


def _lead(name):
    return f'<p class="soft">{FORMULAS[name].lead}</p>'


def _how(name):
    """The formula of a section, folded away."""
    formula = FORMULAS[name]
    return (
        "<details><summary>How it is computed</summary>"
        f"<pre>{_text(formula.text)}</pre>"
        f'<p class="soft">{_text(formula.source)}</p></details>'
    )


def _header(inspection, title):
    facts, layout = inspection.facts, inspection.layout
    sides = " × ".join(map(str, facts["image"]))
    h, w = layout.grid
    entries = (
        (f"{facts['parameters'] / 1e6:.2f} M", "parameters"),
        (f"{facts['blocks']} × {facts['heads']}", "blocks × heads"),
        (f"{sides} px", "picture"),
        (f"{h} × {w}", "patches"),
        (", ".join(layout.prefix) or "none", "tokens before the patches"),
    )
    listed = "".join(f"<li><b>{_text(a)}</b>{b}</li>" for a, b in entries)
    return f'<header><h1>Inside {title}</h1><ul class="facts">{listed}</ul></header>'


def _sight(sight, inspection):
    """Section of one picture: predictions and attention, block by block."""
    pixels = large_enough(drawing.three_channels(sight.pixels))
    mean = sight.heads.mean(axis=1)  # (L, h, w)
    norms = inspection.layout.to_grid(sight.norms[0, -1])
    views = (
        (pixels, "as the model saw it", ""),
        (drawing.lit(pixels, sight.rollout), "attention rollout", sight.rollout),
        (drawing.heated(pixels, sight.rollout), "rollout in colours", sight.rollout),
        (drawing.heated(pixels, norms, 100), "token norms after the last block", norms),
    )
    shown = "".join(
        f"<figure>{image(view, f'{sight.name}, {what}{_peak(values)}')}"
        f"<figcaption>{what}</figcaption></figure>"
        for view, what, values in views
    )
    return (
        f'<article class="card"><h3>{_text(pathlib.PurePath(sight.name).name)}</h3>'
        f'{_guesses(sight.guesses)}<div class="views">{shown}</div>'
        f"<h4>Attention block by block, mean of the heads</h4>{_strip(sight, mean)}"
        f"<details><summary>Every head of every block</summary>{_heads(sight)}"
        "</details></article>"
    )


def _peak(values):
    """Describe where a map is largest."""
    if not isinstance(values, np.ndarray):
        return ""
    row, column = np.unravel_index(values.argmax(), values.shape)
    h, w = values.shape
    return f": largest at row {row + 1} of {h}, column {column + 1} of {w}"


def _guesses(guesses):
    if not guesses:
        return '<p class="soft">This model gives features, no classes.</p>'
    rows = "".join(
        f"<li><span>{_text(name)}</span>"
        f'<i><b style="width:{share:.1%}"></b></i><em>{_percent(share)}</em></li>'
        for name, share in guesses
    )
    return f'<ol class="guesses">{rows}</ol>'


def _percent(share):
    """Format a share in percent, small ones never as 0."""
    return f"{share:.1%}" if share >= 0.001 else "&lt; 0.1%"


def _strip(sight, mean):
    small = thumbnail(drawing.three_channels(sight.pixels))
    small = large_enough(small, 96)
    shown = "".join(
        f"<figure>{image(drawing.heated(small, weights), _of_block(sight, k, weights))}"
        f"<figcaption>{k + 1}</figcaption></figure>"
        for k, weights in enumerate(mean)
    )
    return f'<div class="strip">{shown}</div>'


def _of_block(sight, index, weights):
    return f"{sight.name}, attention of block {index + 1}{_peak(weights)}"


def _heads(sight):
    depth, heads = sight.heads.shape[:2]
    drawn = svg(
        draw_heads(sight.heads),
        f"{sight.name}: {heads} by {depth} small maps, what each head of each block "
        "looks at",
    )
    return (
        '<div><p class="soft">Each map is scaled to its own largest value.</p>'
        f"{drawn}</div>"
    )


def _distance(inspection):
    far = inspection.distances
    means, count = far.mean(axis=1), len(inspection.sights)
    alt = (
        f"Mean attention distance per head over {len(far)} blocks: {means[0]:.0f} px "
        f"on average in block 1, {means[-1]:.0f} px in block {len(far)}; the heads of "
        f"block 1 range from {far[0].min():.0f} to {far[0].max():.0f} px"
    )
    many = f"{count} pictures" if count > 1 else "one picture: more give steadier dots"
    return (
        f"<section><h2>How far heads look</h2>{_lead('distance')}"
        f'<div class="card">{svg(plot_attention_distance(far), alt)}'
        f'<p class="soft">One dot per head; the line is their mean. Averaged '
        f"over {many}.</p>{_how('distance')}</div></section>"
    )


def _learnt(name, result, draw):
    """A section on the weights alone, or the reason why it is missing."""
    inside = f'<p class="soft">{_text(result)}</p>'
    if not isinstance(result, str):
        inside = f"{draw(result)}{_how(name)}"
    return (
        f"<section><h2>{FORMULAS[name].title}</h2>{_lead(name)}"
        f'<div class="card">{inside}</div></section>'
    )


def _similarity(inspection):
    h, w = inspection.shape[:2]
    alt = (
        f"{h} by {w} tiles, each the cosine similarity of one patch's position "
        f"embedding with all others, from {inspection.min():.2f} to 1"
    )
    return svg(plot_position_similarity(inspection), alt)


def _filters(inspection):
    count, height, width, _ = inspection.shape
    alt = f"The first {count} principal components of the filters, {height}x{width} px"
    return svg(plot_embedding_filters(inspection), alt)


def _norms(inspection):
    norms = np.concatenate([sight.norms for sight in inspection.sights])
    ratio = outlier_ratio(norms, inspection.layout).max()
    figure = plot_token_norms(norms, inspection.layout)
    middle = np.median(inspection.layout.patches(norms[:, -1]))
    alt = (
        f"Norms of tokens over {norms.shape[1]} blocks; after the last the median of "
        f"the patches is {middle:.1f} and the largest is {ratio:.1f} times that of its "
        "picture"
    )
    verdict = (
        f"The largest patch norm after the last block is <b>{ratio:.1f} times</b> the "
        "median of its picture."
    )
    return (
        f"<section><h2>How large tokens are</h2>{_lead('norms')}"
        f'<div class="card">{svg(figure, alt)}'
        f'<p class="soft">{verdict}</p>{_how("norms")}</div></section>'
    )
