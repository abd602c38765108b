r"""The likeliest sequences, found by keeping a few of the best beginnings.

At each place all ways to go on with the beginnings that are kept are ranked, and the best ones
kept in their stead. They are ranked by

.. math:: \frac{\log p(x_1, \dots, x_t)}{((5 + t) / 6)^\alpha},

where a sentence that has ended counts the symbols up to its end.
"""

__all__ = ["beam_search"]

import math

import torch
from torch import Tensor

from ptheta.models.autoregressive.reading import Reading


def beam_search(
    reading: Reading,
    start: Tensor,
    *,
    length: int,
    end: int | None,
    length_penalty: float,
) -> Tensor:
    """The best sequence that is found for each row.

    References:
        Sequence to Sequence Learning with Neural Networks (Sutskever, Vinyals & Le, 2014),
        https://arxiv.org/abs/1409.3215, section 3.2
        Google's Neural Machine Translation System (Wu et al., 2016),
        https://arxiv.org/abs/1609.08144, equation 14 for the length

    Arguments:
        reading: The logits of the next symbol; its rows are the beams of the first sequence, then
            those of the second, and so on.
        start: No symbols for each sequence and beam, with shape (n, beams, 0).
        length: The symbols of a sequence.
        end: The symbol that ends a sentence and fills what follows, or None.
        length_penalty: The exponent alpha; 0 ranks by the probability alone.

    Returns:
        The codes, with shape (n, length).
    """
    n, beams, _ = start.shape
    codes = start
    # at first all beams are alike, and one of them is enough
    scores = torch.full((n, beams), -math.inf, device=start.device)
    scores[:, 0] = 0
    lengths = torch.zeros_like(scores)
    ended = torch.zeros_like(scores, dtype=torch.bool)
    origins = beams * torch.arange(n, device=start.device)[:, None]
    for _ in range(length):
        log_p = _next(reading(codes.flatten(0, 1)).unflatten(0, (n, beams)), ended, end)
        lengths = lengths + ~ended
        totals = scores[:, :, None] + log_p
        ranked = totals / _penalty(lengths, length_penalty)[:, :, None]
        best = ranked.flatten(1).topk(beams).indices
        beam, symbol = best // log_p.shape[2], best % log_p.shape[2]
        scores = totals.flatten(1).gather(1, best)
        lengths, ended = lengths.gather(1, beam), ended.gather(1, beam)
        codes = codes.gather(1, beam[:, :, None].expand_as(codes))
        codes = torch.cat([codes, symbol[:, :, None]], dim=2)
        if end is not None:
            ended = ended | (symbol == end)
            if _settled(scores, lengths, ended, length, length_penalty):
                break
        reading.select((origins + beam).flatten())
    whole = codes.new_full((n, length), 0 if end is None else end)
    whole[:, : codes.shape[2]] = codes[:, 0]
    return whole


def _next(logits: Tensor, ended: Tensor, end: int | None) -> Tensor:
    """The log-probabilities of the next symbols; after the end nothing but the end follows."""
    log_p = logits.log_softmax(dim=-1)
    if end is None:
        return log_p
    only = torch.full_like(log_p[0, 0], -math.inf)
    only[end] = 0
    return torch.where(ended[:, :, None], only, log_p)


def _penalty(lengths: Tensor, exponent: float) -> Tensor:
    return ((5 + lengths) / 6) ** exponent


def _settled(scores: Tensor, lengths: Tensor, ended: Tensor, length: int, exponent: float) -> bool:
    """Whether the first beams have ended, and no other can still come before them."""
    first = scores[:, 0] / _penalty(lengths[:, 0], exponent)
    # probabilities only fall, and no sequence can count more symbols than the longest
    others = (scores / _penalty(torch.full_like(lengths, length), exponent)).masked_fill(
        ended, -math.inf
    )
    return bool((ended[:, 0] & (first >= others.amax(dim=1))).all())
