"""Tempered transitions: away from a mode and back to any, by way of flatter densities."""

__all__ = ["TemperedTransitions"]

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ptheta.broadcasting import over
from ptheta.inference.acceptance import accepted
from ptheta.inference.gibbs import GibbsState, SupportsTempering, Sweeps
from ptheta.inference.kernels import Target
from ptheta.protocols import SupportsUnnormalizedLogProb


@dataclass(frozen=True)
class TemperedTransitions(Sweeps[Target[SupportsTempering]]):
    r"""A sweep of the model, then one at each of ever flatter densities and back, taken as one.

    Through densities :math:`f_0, \dots, f_K`, of which the first is the model, up by
    :math:`\hat x_0 = x, \hat x_k \sim T_k(\cdot \mid \hat x_{k-1})` and down by
    :math:`\check x_{k-1} \sim T_k(\cdot \mid \check x_k), \check x_K = \hat x_K`, the end
    :math:`\check x_0` is taken with the probability

    .. math:: \min \left(1, \prod_{k=0}^{K-1} \frac{f_{k+1}(\hat x_k)}{f_k(\hat x_k)}
        \frac{f_k(\check x_k)}{f_{k+1}(\check x_k)} \right) .

    and else :math:`x` stays. Each :math:`T_k` is to be reversible, as sweeps over two blocks are.

    References:
        Sampling from multimodal distributions using tempered transitions (Neal, 1996),
        https://doi.org/10.1007/BF00143556
        Learning in Markov Random Fields using Tempered Transitions (Salakhutdinov, 2009),
        https://papers.nips.cc/paper/2009/hash/b7ee6f5f9aa5cd17ca1aea43ce848496-Abstract.html

    Arguments:
        betas: How much of the model there is in each density, descending from just below 1.

    Raises:
        ValueError: There are no betas, or they do not descend, or one is not from 0 to 1.

    Example:
        >>> from ptheta.models.energy.rbm import RBM
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> target = Target(RBM(BinaryUnits((4,)), hidden_features=3))
        >>> kernel = TemperedTransitions([0.9, 0.8])
        >>> kernel.step(target, kernel.init(target, torch.zeros(5, 4))).x.shape
        torch.Size([5, 4])
    """

    betas: Sequence[float]

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in pairwise([1.0, *self.betas]))
        if not self.betas or not falling or self.betas[-1] < 0:
            raise ValueError(
                f"expected betas that descend from below 1 to 0 at least, got {list(self.betas)}"
            )

    @torch.no_grad()
    def step(self, target: Target[SupportsTempering], state: GibbsState) -> GibbsState:
        """One transition of every chain: a sweep of the model, then one up and down."""
        model, context = target.model, target.context
        levels = [model, *(model.tempered(beta) for beta in self.betas)]
        x = begun = model.gibbs(state.x, context)
        log_ratio = x.new_zeros(len(x), dtype=torch.float64)
        for before, after in pairwise(levels):
            log_ratio += _gain(before, after, x, context)
            x = after.gibbs(x, context)
        for after, before in pairwise(reversed(levels)):
            x = after.gibbs(x, context)
            log_ratio += _gain(after, before, x, context)
        taken, acceptance = accepted(log_ratio)
        return GibbsState(
            torch.where(over(taken, x), x, begun), state.step_size, acceptance.to(state.step_size)
        )


def _gain(
    of: SupportsUnnormalizedLogProb,
    to: SupportsUnnormalizedLogProb,
    x: Tensor,
    context: Tensor | None,
) -> Tensor:
    return to.unnormalized_log_prob(x, context) - of.unnormalized_log_prob(x, context)
