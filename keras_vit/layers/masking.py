"""Random token masking: split, gather and restore tokens."""

from keras import ops


def choose(noise, kept):
    """Split the tokens of each sample at random into kept and masked ones.

    Those with the smallest noise are kept, in the order of their noise.

    Args:
        noise: (B, N) float, one draw per token.
        kept: number of tokens to keep, 0..N.

    Returns:
        kept_ids (B, kept) int, places of the kept tokens; restore_ids (B, N) int,
        where each place's token stands after shuffling; mask (B, N) float32, 1 where
        the token is hidden.

    Source:
        He et al. 2021, arXiv:2111.06377, section 3 "Simple implementation".
    """
    shuffled = ops.argsort(noise, axis=1)
    restore_ids = ops.argsort(shuffled, axis=1)
    mask = ops.cast(restore_ids >= kept, "float32")
    return shuffled[:, :kept], restore_ids, mask


def take(tokens, ids):
    """Gather tokens at given indices.

    Args:
        tokens: (B, T, D). ids: (B, K) int.

    Returns:
        (B, K, D).
    """
    return ops.take_along_axis(tokens, ops.expand_dims(ids, -1), axis=1)


def restore(tokens, filler, restore_ids):
    """Put kept tokens back in order, with the mask token in the gaps.

    Args:
        tokens: (B, K, D), the kept tokens in shuffled order.
        filler: (1, 1, D), what stands for a hidden token.
        restore_ids: (B, N) int, see `choose`.

    Returns:
        (B, N, D).
    """
    hidden = restore_ids.shape[1] - tokens.shape[1]
    gaps = ops.broadcast_to(filler, (ops.shape(tokens)[0], hidden, tokens.shape[-1]))
    return take(ops.concatenate([tokens, gaps], axis=1), restore_ids)
