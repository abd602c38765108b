"""The Metropolis random walk, which asks for no gradient."""

__all__ = ["RandomWalk", "WalkState"]

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ptheta.broadcasting import over
from ptheta.inference.acceptance import accepted, check_step_size, tuned
from ptheta.inference.kernels import LogDensity


class WalkState(NamedTuple):
    """Where the chains are.

    Arguments:
        x: The positions, with shape (chains, *shape).
        log_prob: The log-density there, up to a constant, with shape (chains,).
        step_size: The standard deviation of a proposal, a scalar.
        acceptance: The mean probability of acceptance of the last step, a scalar.
    """

    x: Tensor
    log_prob: Tensor
    step_size: Tensor
    acceptance: Tensor


@dataclass(frozen=True)
class RandomWalk:
    """Gaussian proposals around where a chain is, taken or refused so that p is left invariant.

    With a target the step size is tuned as the chains run; 0.234 is the best in high dimension.

    References:
        Equation of State Calculations by Fast Computing Machines (Metropolis et al., 1953),
        https://doi.org/10.1063/1.1699114
        Weak convergence and optimal scaling of random walk Metropolis algorithms (Roberts, Gelman &
        Gilks, 1997), https://doi.org/10.1214/aoap/1034625254

    Arguments:
        step_size: The standard deviation of a proposal, or where the tuning starts.
        target: The mean acceptance to tune for; None keeps the step as it is.
        rate: How fast the step is tuned.

    Raises:
        ValueError: The step is not above 0.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> normal = lambda x: -x.square().sum(1) / 2
        >>> kernel = RandomWalk(0.5)
        >>> kernel.step(normal, kernel.init(normal, torch.zeros(3, 2))).x.shape
        torch.Size([3, 2])
    """

    step_size: float
    target: float | None = None
    rate: float = 0.1

    def __post_init__(self) -> None:
        check_step_size(self.step_size)

    @torch.no_grad()
    def init(self, log_prob: LogDensity, x: Tensor, step_size: Tensor | None = None) -> WalkState:
        """The state of chains that start at x."""
        size = torch.full((), self.step_size, device=x.device) if step_size is None else step_size
        return WalkState(x.detach(), log_prob(x), size, torch.ones((), device=x.device))

    @torch.no_grad()
    def step(self, log_prob: LogDensity, state: WalkState) -> WalkState:
        """One transition of every chain."""
        x = state.x + state.step_size * torch.randn_like(state.x)
        value = log_prob(x)
        # a proposal at which the density overflows is refused, not followed
        taken, acceptance = accepted(
            (value - state.log_prob).masked_fill(value.isposinf(), -torch.inf)
        )
        return WalkState(
            x=torch.where(over(taken, x), x, state.x),
            log_prob=torch.where(taken, value, state.log_prob),
            step_size=tuned(state.step_size, acceptance, self.target, self.rate),
            acceptance=acceptance,
        )

    def settled(self) -> "RandomWalk":
        """The kernel with its step size held still."""
        return replace(self, target=None)
