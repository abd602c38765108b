r"""Adversarial play: a pair of losses on a critic's values, and penalties on the critic.

A critic :math:`f` gives a value to data :math:`x` and to draws :math:`\tilde x`. A `Divergence`
says what the critic and the generator each minimise of those values; a penalty is a function of
(critic, data, draws).
"""

__all__ = ["NON_SATURATING", "R1", "CriticFunction", "Divergence", "Penalty"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus

CriticFunction = Callable[[Tensor], Tensor]
"""A critic with its context filled in: from (batch, *shape) to (batch,)."""


@dataclass(frozen=True)
class Divergence:
    """What is minimised by the critic, and what by the generator.

    Arguments:
        critic: The critic's loss, from its values of data and of draws, each with shape (batch,).
        generator: The generator's loss, from the critic's values of draws.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


class Penalty(Protocol):
    """What is added to the critic's loss."""

    def __call__(self, critic: CriticFunction, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar."""
        ...


def _non_saturating_critic(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _non_saturating_generator(fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


NON_SATURATING = Divergence(_non_saturating_critic, _non_saturating_generator)
r"""The logistic loss of telling data from draws, and the generator's against it.

.. math:: \mathcal{L}_f = \mathbb{E} \log(1 + e^{-f(x)}) + \mathbb{E} \log(1 + e^{f(\tilde x)}),
    \quad \mathcal{L}_g = \mathbb{E} \log(1 + e^{-f(\tilde x)})

At the best critic, :math:`f = \log p / q`, the critic's loss is :math:`\log 4 - 2 \, \text{JSD}`.

References:
    Generative Adversarial Networks (Goodfellow et al., 2014), https://arxiv.org/abs/1406.2661,
    section 3
"""


@dataclass(frozen=True)
class R1:
    r"""The squared slope of the critic on data.

    .. math:: \frac{w}{2} \, \mathbb{E}_{x \sim p_\text{data}} \| \nabla f(x) \|^2

    References:
        Which Training Methods for GANs do actually Converge? (Mescheder, Geiger & Nowozin, 2018),
        https://arxiv.org/abs/1801.04406, equation 9

    Arguments:
        weight: The weight w.

    Example:
        >>> R1(2.0)(lambda x: x.square().sum(1), torch.ones(4, 1), torch.zeros(4, 1)).item()
        4.0
    """

    weight: float = 1.0

    def __call__(self, critic: CriticFunction, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar."""
        real = real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
        return self.weight / 2 * slope.square().flatten(1).sum(dim=1).mean()
