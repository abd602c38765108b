r"""Annealed importance sampling: the constant of a density, by chains from one that is known.

Along densities :math:`f_0, \dots, f_K` up to constants, of which the first can be drawn from,

.. math:: w = \prod_{k=1}^{K} \frac{f_k(x_{k-1})}{f_{k-1}(x_{k-1})}, \qquad
    x_k \sim T_k(\cdot \mid x_{k-1}), \qquad \mathbb{E} \, w = Z_K / Z_0 ,

where T_k leaves f_k invariant. Backwards from draws of the last, 1 / w has the mean
:math:`Z_0 / Z_K`. So the mean of log w bounds :math:`\log Z_K / Z_0` from below, and backwards from
above.

References:
    Annealed importance sampling (Neal, 2001), https://doi.org/10.1023/A:1008923215028
    Accurate and conservative estimates of MRF log-likelihood using reverse annealing (Burda,
    Grosse & Salakhutdinov, 2015), https://arxiv.org/abs/1412.8566
"""

__all__ = ["LogRatio", "annealed_importance"]

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from ptheta.inference.kernels import ChainState, Kernel, LogDensity

T = TypeVar("T", bound=LogDensity)
S = TypeVar("S", bound=ChainState)


@dataclass(frozen=True)
class LogRatio:
    """The log of the ratio of two constants, estimated by weights of chains.

    Arguments:
        log_weights: The logs of the weights, with shape (chains,).
    """

    log_weights: Tensor

    @property
    def value(self) -> float:
        """The estimate: the log of the mean weight, whose own mean lies below the truth."""
        return self.log_weights.logsumexp(dim=0).item() - math.log(len(self.log_weights))

    @property
    def error(self) -> float:
        """The standard error of the estimate, by the spread of the weights; of one, infinite."""
        if len(self.log_weights) < 2:
            return math.inf
        weights = (self.log_weights - self.log_weights.max()).exp()
        return (weights.std() / weights.mean()).item() / math.sqrt(len(weights))


@torch.no_grad()
def annealed_importance(
    target_at: Callable[[float], T],
    kernel: Kernel[T, S],
    x: Tensor,
    betas: Sequence[float],
    *,
    step_size: Tensor | None = None,
) -> LogRatio:
    """The log of the ratio of the last density's constant to that of the first.

    Arguments:
        target_at: The density at a beta.
        kernel: A transition that leaves it invariant.
        x: Draws of the density at the first beta, with shape (chains, *shape).
        betas: The betas, in order: ascending to the density that is sought, or descending from it.
        step_size: The step size of the kernel; None means the one with which its chains start.

    Raises:
        ValueError: There are fewer than two betas, one is not from 0 to 1, they are in no order,
            or there are no chains.
    """
    if len(betas) < 2:
        raise ValueError(f"annealing goes from one beta to another, and got {len(betas)}")
    if not all(0 <= beta <= 1 for beta in betas):
        raise ValueError("betas are from 0, where annealing starts, to 1, the density itself")
    if list(betas) not in (sorted(betas), sorted(betas, reverse=True)):
        raise ValueError("betas are in order, ascending or descending, and these turn back")
    if not len(x):
        raise ValueError("expected a chain at least, got none")
    log_weights = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    target = target_at(betas[0])
    # weights that are made from others stay as they are meanwhile
    with parametrize.cached():
        for beta in betas[1:]:
            before, target = target, target_at(beta)
            log_weights += target(x) - before(x)
            x = kernel.step(target, kernel.init(target, x, step_size)).x
    return LogRatio(log_weights)
