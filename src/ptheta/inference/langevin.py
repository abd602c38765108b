r"""Langevin transitions, unadjusted and Metropolis-adjusted.

Both propose a step of the discretised Langevin diffusion, whose stationary density is p,

.. math:: x' = x + h \nabla \log p(x) + \sqrt{2 h} \, \epsilon, \quad \epsilon \sim N(0, I).

References:
    Exponential convergence of Langevin distributions and their discrete approximations
    (Roberts & Tweedie, 1996), https://doi.org/10.2307/3318418
"""

__all__ = ["MALA", "ULA", "LangevinState"]

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ptheta.broadcasting import over
from ptheta.inference.acceptance import accepted, check_step_size, tuned
from ptheta.inference.kernels import LogDensity, value_and_score


class LangevinState(NamedTuple):
    """Where the chains are.

    Arguments:
        x: The positions, with shape (chains, *shape).
        log_prob: The log-density there, up to a constant, with shape (chains,).
        score: Its gradient, shaped as x.
        step_size: The step size in force, a scalar.
        acceptance: The mean probability of acceptance of the last step, a scalar.
    """

    x: Tensor
    log_prob: Tensor
    score: Tensor
    step_size: Tensor
    acceptance: Tensor


@dataclass(frozen=True)
class ULA:
    r"""Unadjusted Langevin: every proposal is taken.

    It leaves a density near p invariant: for a Gaussian of standard deviation s, one of variance
    :math:`s^2 / (1 - h / (2 s^2))`.

    Arguments:
        step_size: The step h.

    Raises:
        ValueError: The step is not above 0.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> kernel = ULA(0.1)
        >>> state = kernel.init(lambda x: -x.square().sum(1) / 2, torch.zeros(3, 2))
        >>> kernel.step(lambda x: -x.square().sum(1) / 2, state).x.shape
        torch.Size([3, 2])
    """

    step_size: float

    def __post_init__(self) -> None:
        check_step_size(self.step_size)

    def init(
        self, log_prob: LogDensity, x: Tensor, step_size: Tensor | None = None
    ) -> LangevinState:
        """The state of chains that start at x."""
        return _state(log_prob, x, _step_size(self.step_size, x, step_size))

    def step(self, log_prob: LogDensity, state: LangevinState) -> LangevinState:
        """One transition of every chain."""
        return _state(log_prob, _propose(state), state.step_size)

    def settled(self) -> "ULA":
        """The kernel itself: it tunes nothing."""
        return self


@dataclass(frozen=True)
class MALA:
    r"""Metropolis-adjusted Langevin: a proposal is taken or refused so that p is left invariant.

    With a target the step size is tuned as the chains run, :math:`\log h \leftarrow \log h +
    r (\bar a - a^*)`, to a mean acceptance of :math:`a^*`; 0.574 is the best in high dimension.
    While it is being tuned the transition leaves p invariant only nearly; `settled` stops that.

    References:
        Optimal scaling of discrete approximations to Langevin diffusions (Roberts & Rosenthal,
        1998), https://doi.org/10.1111/1467-9868.00123

    Arguments:
        step_size: The step h, or where the tuning starts.
        target: The mean acceptance to tune for; None keeps the step as it is.
        rate: How fast the step is tuned.

    Raises:
        ValueError: The step is not above 0.
    """

    step_size: float
    target: float | None = None
    rate: float = 0.1

    def __post_init__(self) -> None:
        check_step_size(self.step_size)

    def init(
        self, log_prob: LogDensity, x: Tensor, step_size: Tensor | None = None
    ) -> LangevinState:
        """The state of chains that start at x."""
        return _state(log_prob, x, _step_size(self.step_size, x, step_size))

    def step(self, log_prob: LogDensity, state: LangevinState) -> LangevinState:
        """One transition of every chain."""
        proposed = _state(log_prob, _propose(state), state.step_size)
        log_ratio = (
            proposed.log_prob
            - state.log_prob
            + _log_proposal(proposed, state.x)
            - _log_proposal(state, proposed.x)
        )
        # a proposal at which the density overflows is refused, not followed
        overflow = proposed.log_prob.isposinf()
        taken, acceptance = accepted(log_ratio.masked_fill(overflow, -torch.inf))
        wide = over(taken, state.x)
        return LangevinState(
            x=torch.where(wide, proposed.x, state.x),
            log_prob=torch.where(taken, proposed.log_prob, state.log_prob),
            score=torch.where(wide, proposed.score, state.score),
            step_size=tuned(state.step_size, acceptance, self.target, self.rate),
            acceptance=acceptance,
        )

    def settled(self) -> "MALA":
        """The kernel with its step size held still."""
        return replace(self, target=None)


def _step_size(default: float, x: Tensor, given: Tensor | None) -> Tensor:
    return torch.full((), default, device=x.device) if given is None else given


def _state(log_prob: LogDensity, x: Tensor, step_size: Tensor) -> LangevinState:
    value, score = value_and_score(log_prob, x)
    return LangevinState(x.detach(), value, score, step_size, torch.ones((), device=x.device))


def _propose(state: LangevinState) -> Tensor:
    h = state.step_size
    moved = torch.addcmul(state.x, h, state.score)
    return moved.addcmul_((2 * h).sqrt(), torch.randn_like(moved))


def _log_proposal(start: LangevinState, end: Tensor) -> Tensor:
    h = start.step_size
    return -(end - start.x - h * start.score).square().flatten(1).sum(dim=1) / (4 * h)
