"""Gibbs with gradients: a value of codes changed at a time, chosen by the slope of the density."""

__all__ = ["GibbsWithGradients"]

from dataclasses import dataclass

import torch
from torch import Tensor

from ptheta.inference.acceptance import accepted
from ptheta.inference.kernels import Target
from ptheta.inference.local_proposals import LocalState, SupportsFirstOrder, drawn


@dataclass(frozen=True)
class GibbsWithGradients:
    r"""Proposals of another code for one value, taken or refused so that p is left invariant.

    Value i is proposed to have the code s with a probability that goes with
    :math:`\exp(d_{is}(x) / 2)`, where :math:`d_{is}` is what that changes :math:`\log p` by to
    first order: one pass back serves all values and codes.

    References:
        Oops I Took A Gradient: Scalable Sampling for Discrete Distributions (Grathwohl, Swersky,
        Hashemi, Duvenaud & Maddison, 2021), https://arxiv.org/abs/2102.04509, algorithm 1

    Arguments:
        updates: The number of proposals of a transition.

    Raises:
        ValueError: There is none.

    Example:
        >>> from ptheta.models.energy.discrete import DiscreteEnergy
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> target = Target(DiscreteEnergy(BinaryUnits((4,)), torch.nn.Linear(4, 1)))
        >>> kernel, x = GibbsWithGradients(updates=3), torch.zeros(5, 4)
        >>> kernel.step(target, kernel.init(target, x)).x.shape
        torch.Size([5, 4])
    """

    updates: int = 1

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"a transition makes a proposal or more, got updates={self.updates}")

    @property
    def step_size(self) -> float:
        """Not looked at: a proposal changes one value."""
        return 1.0

    def init(
        self, target: Target[SupportsFirstOrder], x: Tensor, step_size: Tensor | None = None
    ) -> LocalState:
        """The state of chains that start at x."""
        one = torch.ones((), device=x.device)
        log_prob, changes = target.model.first_order(x, target.context)
        return LocalState(x, log_prob, changes, one if step_size is None else step_size, one)

    @torch.no_grad()
    def step(self, target: Target[SupportsFirstOrder], state: LocalState) -> LocalState:
        """One transition of every chain."""
        for _ in range(self.updates):
            state = _updated(target, state)
        return state

    def settled(self) -> "GibbsWithGradients":
        """The kernel itself: it tunes nothing."""
        return self


def _updated(target: Target[SupportsFirstOrder], state: LocalState) -> LocalState:
    x = state.x.flatten(1)
    codes = state.changes.shape[2]
    forth = _proposals(state.changes, x)
    place = drawn(forth)[:, None]
    value, code = place // codes, place % codes
    moved = x.scatter(1, value, code.to(x.dtype))
    log_prob, changes = target.model.first_order(moved.view_as(state.x), target.context)
    back = value * codes + x.gather(1, value).long()
    ways = _log_prob(_proposals(changes, moved), back) - _log_prob(forth, place)
    taken, acceptance = accepted(log_prob - state.log_prob + ways)
    return LocalState(
        torch.where(taken[:, None], moved, x).view_as(state.x),
        torch.where(taken, log_prob, state.log_prob),
        torch.where(taken[:, None, None], changes, state.changes),
        state.step_size,
        acceptance.to(state.step_size),
    )


def _proposals(changes: Tensor, x: Tensor) -> Tensor:
    """The logits of what is proposed, (chains, values * codes): a code that a value has not."""
    return (changes / 2).scatter(2, x.long()[:, :, None], -torch.inf).flatten(1)


def _log_prob(logits: Tensor, place: Tensor) -> Tensor:
    return logits.gather(1, place)[:, 0] - logits.logsumexp(dim=1)
