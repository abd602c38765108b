"""Gibbs transitions of models that know their own conditionals."""

__all__ = [
    "BlockGibbs",
    "GibbsState",
    "SupportsGibbs",
    "SupportsStart",
    "SupportsTempering",
    "Sweeps",
]

from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

from ptheta.inference.kernels import Target
from ptheta.protocols import SupportsUnnormalizedLogProb

T = TypeVar("T", contravariant=True)


@runtime_checkable
class SupportsStart(SupportsUnnormalizedLogProb, Protocol):
    """A model that knows where its chains begin."""

    def start(self, n: int) -> Tensor:
        """Where n chains begin, with shape (n, *shape)."""
        ...


@runtime_checkable
class SupportsGibbs(SupportsStart, Protocol):
    """A model that can draw its variables in blocks, each given the others."""

    def gibbs(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """One sweep over all blocks, which leaves the model invariant, shaped as x."""
        ...


@runtime_checkable
class SupportsTempering(SupportsGibbs, Protocol):
    """A model, and flatter ones on the way to one whose variables are independent."""

    def tempered(self, beta: float) -> SupportsGibbs:
        """The model at beta, from 0, where its variables are independent, to 1."""
        ...


class GibbsState(NamedTuple):
    """Where the chains are.

    Arguments:
        x: The positions, with shape (chains, *shape).
        step_size: Not looked at: Gibbs transitions have none.
        acceptance: The share of what was proposed that was taken: 1 of sweeps alone.
    """

    x: Tensor
    step_size: Tensor
    acceptance: Tensor


class Sweeps(Generic[T]):
    """What kernels share that have no steps of a size, and remember nothing but where chains are.

    Required: the transition.
    """

    @property
    def step_size(self) -> float:
        """Not looked at: there are no steps of a size."""
        return 1.0

    def init(self, target: T, x: Tensor, step_size: Tensor | None = None) -> GibbsState:
        """The state of chains that start at x."""
        one = torch.ones((), device=x.device)
        return GibbsState(x, one if step_size is None else step_size, one)

    def settled(self) -> Self:
        """The kernel itself: it tunes nothing."""
        return self


@dataclass(frozen=True)
class BlockGibbs(Sweeps[Target[SupportsGibbs]]):
    """A sweep of the model's own: each block of variables drawn given the others.

    References:
        Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images (Geman &
        Geman, 1984), https://doi.org/10.1109/TPAMI.1984.4767596

    Example:
        >>> from ptheta.models.energy.rbm import RBM
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> target, kernel = Target(RBM(BinaryUnits((4,)), hidden_features=3)), BlockGibbs()
        >>> kernel.step(target, kernel.init(target, torch.zeros(5, 4))).x.shape
        torch.Size([5, 4])
    """

    def step(self, target: Target[SupportsGibbs], state: GibbsState) -> GibbsState:
        """One sweep of every chain."""
        return state._replace(x=target.model.gibbs(state.x, target.context))
