"""Gibbs with gradients: a value of codes changed at a time, chosen by the slope of the density."""

__all__ = ["GibbsWithGradients", "LocalState", "SupportsFirstOrder"]

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Categorical

from ptheta.inference.acceptance import accepted
from ptheta.inference.kernels import Target
from ptheta.protocols import SupportsUnnormalizedLogProb


@runtime_checkable
class SupportsFirstOrder(SupportsUnnormalizedLogProb, Protocol):
    """A model of codes whose log-density is a smooth function on the reals between them."""

    def first_order(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log p(x) up to a constant, and to first order by how much changes of one value move it.

        Returns:
            The log-densities, with shape (batch,), and the changes by value and code, with shape
            (batch, values, codes), zero at the codes that values have; both without graph.
        """
        ...


class LocalState(NamedTuple):
    """Where the chains are.

    Arguments:
        x: The positions, with shape (chains, *shape).
        log_prob: The log-density there, up to a constant, with shape (chains,).
        changes: By how much changes of one value move it to first order, with shape (chains,
            values, codes).
        step_size: Not looked at: a proposal changes one value.
        acceptance: The mean probability of acceptance of the last proposal, a scalar.
    """

    x: Tensor
    log_prob: Tensor
    changes: Tensor
    step_size: Tensor
    acceptance: Tensor


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
    place = forth.sample()
    value, code = (place // codes)[:, None], (place % codes)[:, None]
    before = x.gather(1, value)
    moved = x.scatter(1, value, code.to(x.dtype))
    log_prob, changes = target.model.first_order(moved.view_as(state.x), target.context)
    back = _proposals(changes, moved).log_prob((value * codes + before.long())[:, 0])
    taken, acceptance = accepted(log_prob - state.log_prob + back - forth.log_prob(place))
    return LocalState(
        torch.where(taken[:, None], moved, x).view_as(state.x),
        torch.where(taken, log_prob, state.log_prob),
        torch.where(taken[:, None, None], changes, state.changes),
        state.step_size,
        acceptance.to(state.step_size),
    )


def _proposals(changes: Tensor, x: Tensor) -> Categorical:
    """The law of what is proposed: a value, and a code that it does not have."""
    others = changes.scatter(2, x.long()[:, :, None], -torch.inf)
    return Categorical(logits=others.flatten(1) / 2, validate_args=False)
