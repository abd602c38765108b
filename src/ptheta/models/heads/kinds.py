r"""Distributions of one kind of value, as functions of unconstrained parameters.

Parameters have shape ``(..., size, n)`` for n values of a kind: the short dimension, over which
softmax and mixtures reduce, is never the last, so that the arithmetic runs along the n values.
Parameters and values broadcast over what stands before.
"""

__all__ = ["Kind", "choose", "count_codes", "covering", "inside", "inverse_softplus", "pick"]

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ptheta.spaces import missing_values


class Kind(ABC):
    """The distribution of one kind of value.

    Required: `size`, `log_prob`, `draw`, `centre`, `fit`. Promised: `draw` follows `log_prob`,
    and is a deterministic function of its uniform noise.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of parameters of one value."""

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """The log-mass or log-density of each value.

        Arguments:
            parameters: The parameters, with shape (..., size, n).
            x: The values, with shape (..., n).

        Returns:
            The figures in nats, with shape (..., n).
        """

    @abstractmethod
    def draw(self, parameters: Tensor, uniforms: Tensor) -> Tensor:
        """One draw of each value.

        Arguments:
            parameters: The parameters, with shape (..., size, n).
            uniforms: Noise from [0, 1), with shape (2, ..., n).

        Returns:
            The draws, with shape (..., n).
        """

    @abstractmethod
    def centre(self, parameters: Tensor) -> Tensor:
        """The mean of each value, as a level where there are levels; or the likeliest category."""

    @abstractmethod
    def fit(self, x: Tensor) -> Tensor:
        """Parameters near the marginal of each value: where a network starts from.

        Arguments:
            x: The values, with shape (rows, n); NaN is missing.

        Returns:
            The parameters, with shape (size, n).
        """


def count_codes(x: Tensor, categories: int) -> Tensor:
    """How often each code occurs among each value.

    Arguments:
        x: The codes, with shape (rows, n); NaN is missing.
        categories: The number of codes.

    Returns:
        The counts, with shape (categories, n), in float64.
    """
    seen = ~missing_values(x)
    codes = x.nan_to_num(nan=0.0).long() if x.is_floating_point() else x.long()
    counts = torch.zeros(categories, x.shape[1], dtype=torch.float64, device=x.device)
    return counts.scatter_add_(0, codes, seen.double())


def pick(parameters: Tensor, index: Tensor) -> Tensor:
    """The entry along dimension -2 at an index of shape (..., n), with broadcasting."""
    index = index.unsqueeze(-2)
    lead = torch.broadcast_shapes(parameters.shape[:-2], index.shape[:-2])
    parameters = parameters.expand(*lead, *parameters.shape[-2:])
    return parameters.gather(-2, index.expand(*lead, *index.shape[-2:])).squeeze(-2)


def choose(logits: Tensor, uniforms: Tensor) -> Tensor:
    """A category for each uniform, by inversion of the distribution function."""
    if logits.shape[-2] == 1:
        return torch.zeros_like(uniforms, dtype=torch.long)
    cumulative = logits.softmax(dim=-2).cumsum(dim=-2)
    # of what the sum comes to, which rounding may leave short of 1: the last category may be
    # one of no probability, and is not to be drawn
    share = uniforms.unsqueeze(-2) * cumulative[..., -1:, :]
    return (cumulative[..., :-1, :] <= share).sum(dim=-2)


def inside(uniforms: Tensor) -> Tensor:
    """Uniforms kept off 0 and 1, where quantile functions are infinite."""
    tiny = torch.finfo(uniforms.dtype).eps / 2
    return uniforms.clamp(tiny, 1 - tiny)


def inverse_softplus(y: Tensor) -> Tensor:
    """The number whose softplus is y."""
    return y + torch.log(-torch.expm1(-y))


def covering(x: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Quantiles of each value, with shape (components, n), and a scale that covers the gaps."""
    rows = max(64, min(4096, 2**23 // max(1, x.shape[1])))  # torch's quantile takes 2**24 values
    if x.shape[0] > rows:
        x = x[torch.linspace(0, x.shape[0] - 1, rows, device=x.device).long()]
    x = torch.where((~missing_values(x)).any(dim=0), x, torch.zeros_like(x))
    shares = (torch.arange(components, device=x.device) + 0.5) / components
    centres = x.nanquantile(shares, dim=0)
    if components == 1:
        centres = x.nanmean(dim=0, keepdim=True)
    variance = (x - x.nanmean(dim=0)).square().nanmean(dim=0)
    return centres, (variance / components).sqrt().clamp(min=1e-2)
