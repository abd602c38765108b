"""Langevin transitions of codes, which propose to change all values at once."""

__all__ = ["DiscreteLangevin"]

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ptheta.inference.acceptance import accepted, check_step_size, tuned
from ptheta.inference.kernels import Target
from ptheta.inference.local_proposals import LocalState, SupportsFirstOrder, drawn


@dataclass(frozen=True)
class DiscreteLangevin:
    r"""A code proposed for each value apart, all taken or refused so that p is left invariant.

    Value i is proposed to have the code s with a probability that goes with
    :math:`\exp(d_{is}(x) / 2 - [s \ne x_i] / (2 h))`, where :math:`d_{is}` is what that changes
    :math:`\log p` by to first order. One pass back serves changes of many values, by the fewer the
    smaller the step h. With a target the step is tuned as the chains run, as that of MALA is.

    References:
        A Langevin-like Sampler for Discrete Distributions (Zhang, Liu & Liu, 2022),
        https://arxiv.org/abs/2206.09914, algorithm 1, of codes as unit vectors

    Arguments:
        step_size: The step h, or where the tuning starts.
        target: The mean acceptance to tune for; None keeps the step as it is.
        rate: How fast the step is tuned.

    Raises:
        ValueError: The step is not above 0.

    Example:
        >>> from ptheta.models.energy.discrete import DiscreteEnergy
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> target = Target(DiscreteEnergy(BinaryUnits((4,)), torch.nn.Linear(4, 1)))
        >>> kernel, x = DiscreteLangevin(0.5), torch.zeros(5, 4)
        >>> kernel.step(target, kernel.init(target, x)).x.shape
        torch.Size([5, 4])
    """

    step_size: float
    target: float | None = None
    rate: float = 0.1

    def __post_init__(self) -> None:
        check_step_size(self.step_size)

    def init(
        self, target: Target[SupportsFirstOrder], x: Tensor, step_size: Tensor | None = None
    ) -> LocalState:
        """The state of chains that start at x."""
        log_prob, changes = target.model.first_order(x, target.context)
        if step_size is None:
            step_size = torch.tensor(self.step_size, dtype=log_prob.dtype, device=x.device)
        return LocalState(x, log_prob, changes, step_size, torch.ones_like(step_size))

    @torch.no_grad()
    def step(self, target: Target[SupportsFirstOrder], state: LocalState) -> LocalState:
        """One transition of every chain."""
        x = state.x.flatten(1).long()
        forth = _proposals(state.changes, x, state.step_size)
        moved = drawn(forth)
        proposed = moved.to(state.x.dtype).view_as(state.x)
        log_prob, changes = target.model.first_order(proposed, target.context)
        back = _proposals(changes, moved, state.step_size)
        ways = _log_prob(back, x) - _log_prob(forth, moved)
        taken, acceptance = accepted(log_prob - state.log_prob + ways)
        acceptance = acceptance.to(state.step_size)
        return LocalState(
            torch.where(taken[:, None], moved, x).to(state.x.dtype).view_as(state.x),
            torch.where(taken, log_prob, state.log_prob),
            torch.where(taken[:, None, None], changes, state.changes),
            tuned(state.step_size, acceptance, self.target, self.rate),
            acceptance,
        )

    def settled(self) -> "DiscreteLangevin":
        """The kernel with its step held still."""
        return self if self.target is None else replace(self, target=None)


def _proposals(changes: Tensor, x: Tensor, step_size: Tensor) -> Tensor:
    """The logits of the codes that are proposed, with shape (chains, values, codes)."""
    logits = changes / 2 - 1 / (2 * step_size)
    # at the code that a value has nothing is changed, and nothing is to pay
    return logits.scatter(2, x[:, :, None], 0.0)


def _log_prob(logits: Tensor, codes: Tensor) -> Tensor:
    return logits.log_softmax(dim=2).gather(2, codes[:, :, None]).flatten(1).sum(dim=1)
