"""Energies that learn their constant."""

__all__ = ["SelfNormalised"]

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from ptheta.protocols import SupportsDrawnDensity, SupportsScore, SupportsUnnormalizedLogProb


class _Energy(SupportsUnnormalizedLogProb, SupportsScore, Protocol):
    """What a constant is learned for."""


class SelfNormalised(nn.Module):
    r"""An energy with a number beside it that stands for the log of its constant.

    .. math:: \log \hat p(x) = \log \tilde p(x) - c

    Noise-contrastive objectives bring c to :math:`\log Z`; others leave it where it is.

    References:
        Noise-contrastive estimation: A new estimation principle for unnormalized statistical models
        (Gutmann & Hyvärinen, 2010), https://proceedings.mlr.press/v9/gutmann10a.html

    Arguments:
        energy: The energy, a module.

    Example:
        >>> from ptheta.models.energy.energy import Energy
        >>> model = SelfNormalised(Energy(nn.Linear(2, 1)))
        >>> model.log_prob_estimate(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def __init__(self, energy: _Energy) -> None:
        super().__init__()
        self.energy = energy
        self.log_normalizer = nn.Parameter(torch.zeros(()))

    @torch.no_grad()
    def normalise(
        self, noise: SupportsDrawnDensity, context: Tensor | None, n: int = 10_000
    ) -> None:
        """Sets the constant by importance sampling.

        Arguments:
            noise: A density that covers the energy's.
            context: What the draws are conditioned on, with n rows, or None.
            n: The number of its draws.
        """
        x = noise.sample(n).to(self.log_normalizer)
        log_weights = self.unnormalized_log_prob(x, context) - noise.log_prob(x)
        self.log_normalizer.copy_(log_weights.logsumexp(dim=0) - math.log(n))

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        return self.energy.unnormalized_log_prob(x, context)

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats by the learned constant, with shape (batch,)."""
        return self.unnormalized_log_prob(x, context) - self.log_normalizer

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The gradient of log p by x, shaped as x."""
        return self.energy.score(x, context)
