"""Captions and formulas of the page's sections."""

from typing import NamedTuple


class Formula(NamedTuple):
    """Title, caption, formula and source of one section.

    Attributes:
        title: of the section. lead: what to look for. text: the formula.
        source: where it comes from.
    """

    title: str
    lead: str
    text: str
    source: str


FORMULAS = {
    "rollout": Formula(
        "What it looks at",
        "The lit picture follows attention through all blocks, from what the head "
        "reads back to the patches of the image. The small ones show what each block "
        "looks at by itself: dark is little, bright is much, each on its own scale, "
        "with the top three in a hundred patches equally bright.",
        "A'_l = (mean over heads of A_l + I) / 2\n"
        "R = A'_L A'_(L-1) ... A'_1\n"
        "map = r R, without the tokens before the patches; the picture is multiplied "
        "by map / max(map).\n"
        "r: the class token; both tokens of a DeiT, half and half; the mean of the "
        "patches, or the probe's attention, where the head reads those.\n"
        "One step: r A_l, where attention pooling reads the mean of the patches.",
        "Rollout: Abnar and Zuidema 2020, arXiv:2005.00928; Dosovitskiy et al. 2021, "
        "arXiv:2010.11929, fig. 6 and appendix D.8.",
    ),
    "distance": Formula(
        "How far heads look",
        "The receptive field of attention. In a trained ViT some heads of the first "
        "blocks stay near, as a convolution does, and others already look across the "
        "whole image; deep blocks all look far.",
        "D(l, a) = 1/(B N) sum over images b and patches i, j of "
        "A(b, l, a, i, j) |p_i - p_j|\n"
        "p_i: the place of patch i in px. Tokens before the patches are dropped as "
        "queries and keys without renormalising: what goes to them counts as no "
        "distance.",
        "Dosovitskiy et al. 2021, arXiv:2010.11929, fig. 7 right and appendix D.7.",
    ),
    "position": Formula(
        "What it knows about places",
        "One tile per patch: how close its position embedding is to that of every "
        "other. A learnt table comes out like a grid, with patches of the same row or "
        "column alike, although nobody told the model that its tokens form one.",
        "S(i, j) = e_i . e_j / (|e_i| |e_j|), rows of tokens before the patches "
        "dropped, nothing centred.",
        "Dosovitskiy et al. 2021, arXiv:2010.11929, fig. 7 centre.",
    ),
    "filters": Formula(
        "What the first layer looks for",
        "Principal components of the filters that turn patches into tokens, the "
        "largest variance first. Plain colours, edges, waves and checks are a basis "
        "for what small pieces of pictures look like; a model that learnt little "
        "shows noise.",
        "X: the filters as rows, centred over the filters. X = U S V'; shown are the "
        "first rows of V', each scaled to 0 to 1 by its own least and largest value, "
        "signed so that the entry of the largest size is positive.",
        "Dosovitskiy et al. 2021, arXiv:2010.11929, fig. 7 left; centring, sign and "
        "scale are ours.",
    ),
    "norms": Formula(
        "How large tokens are",
        "In many trained models a few patches of little interest, in corners or plain "
        "background, grow many times larger than the rest: the model uses them as a "
        "notepad, and attention maps light up there. Registers take this work from the "
        "patches.",
        "n(b, l, t) = sqrt(sum over channels of x(b, l, t, channel)^2), x the tokens "
        "after block l, before the last norm.",
        "Darcet et al. 2023, arXiv:2309.16588, section 2.",
    ),
}
