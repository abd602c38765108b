"""Which symbols are drawn from, and how sharply: temperature, top-k and top-p."""

__all__ = ["Choice"]

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Choice:
    r"""Changes the distribution of the next symbol.

    With :math:`p_i \propto e^{l_i / T}` the likeliest `top_k` symbols are kept, and of these the
    fewest whose share of what was kept is at least `top_p`, the likeliest first.

    References:
        A Learning Algorithm for Boltzmann Machines (Ackley, Hinton & Sejnowski, 1985),
        https://doi.org/10.1207/s15516709cog0901_7, for the temperature
        Hierarchical Neural Story Generation (Fan, Lewis & Dauphin, 2018),
        https://arxiv.org/abs/1805.04833, section 5.4, for top-k
        The Curious Case of Neural Text Degeneration (Holtzman et al., 2020),
        https://arxiv.org/abs/1904.09751, equations 2-3, for top-p

    Arguments:
        temperature: What logits are divided by; 0 takes the likeliest symbol.
        top_k: The number of likeliest symbols that are drawn from; None takes all.
        top_p: The probability of the likeliest symbols that are drawn from.

    Raises:
        ValueError: The temperature is negative or not finite, top-k is less than 1, or top-p is
            not above 0 and at most 1.

    Example:
        >>> Choice(temperature=0.5, top_k=2)(torch.tensor([1.0, 3.0, 2.0]))
        tensor([-inf, 0., -2.])
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"the temperature must be 0 or more, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top-k must be at least 1, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top-p must be above 0 and at most 1, got {self.top_p}")

    def __call__(self, logits: Tensor) -> Tensor:
        """The logits of what is drawn from, minus infinity for what is not.

        Arguments:
            logits: The logits, with shape (..., symbols).
        """
        if self.temperature == 0:
            likeliest = logits.argmax(dim=-1, keepdim=True)
            return torch.full_like(logits, -math.inf).scatter(-1, likeliest, 0.0)
        if self.temperature != 1:
            # less the largest, which then stays finite at any temperature
            logits = (logits - logits.amax(dim=-1, keepdim=True)) / self.temperature
        if self.top_k is None and self.top_p == 1:
            return logits
        ranked, order = logits.sort(dim=-1, descending=True, stable=True)
        ranked = _likeliest(ranked[..., : self.top_k], self.top_p)
        changed = torch.full_like(logits, -math.inf)
        return changed.scatter(-1, order[..., : self.top_k], ranked)


def _likeliest(ranked: Tensor, share: float) -> Tensor:
    """Logits in descending order, cut off once so large a share of probability is reached."""
    if share == 1:
        return ranked
    p = ranked.softmax(dim=-1)
    # what stands before a symbol decides, so that one at least is kept
    return ranked.masked_fill(p.cumsum(dim=-1) - p >= share, -math.inf)
