r"""Markov transitions as pairs of functions, and the loop that runs one.

A `Kernel` is given what it leaves invariant in its call, never in its constructor, so that one
kernel serves any model: ``state = kernel.init(target, x)``, then
``state = kernel.step(target, state)``. Most ask of a target that it can be called for its
log-density; some ask for more, by a protocol. All chains of a batch move at once and share one step
size, which is part of the state.
"""

__all__ = ["ChainState", "Kernel", "LogDensity", "Target", "run", "value_and_score"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from ptheta.protocols import SupportsUnnormalizedLogProb

LogDensity = Callable[[Tensor], Tensor]
"""log p(x) up to a constant: from (chains, *shape) to (chains,)."""

M = TypeVar("M", bound=SupportsUnnormalizedLogProb, covariant=True)
T = TypeVar("T", contravariant=True)
A = TypeVar("A")


@dataclass(frozen=True)
class Target(Generic[M]):
    """A model given what it is conditioned on, as kernels see it: a log-density, and the model.

    Arguments:
        model: The model.
        context: What each chain is conditioned on, with a row for each, or None.
    """

    model: M
    context: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """log p(x) up to a constant, with shape (chains,)."""
        return self.model.unnormalized_log_prob(x, self.context)


class ChainState(Protocol):
    """Where chains are, and how they move; kernels keep more in it for themselves."""

    @property
    def x(self) -> Tensor:
        """The positions, with shape (chains, *shape)."""
        ...

    @property
    def step_size(self) -> Tensor:
        """The step size in force, a scalar."""
        ...

    @property
    def acceptance(self) -> Tensor:
        """The mean probability of acceptance of the last step, a scalar."""
        ...


S = TypeVar("S", bound=ChainState)


class Kernel(Protocol[T, S]):
    """A Markov transition on chains."""

    @property
    def step_size(self) -> float:
        """The step size with which chains start."""
        ...

    def init(self, target: T, x: Tensor, step_size: Tensor | None = None, /) -> S:
        """The state of chains that start at x, with the kernel's step size or a given one."""
        ...

    def step(self, target: T, state: S, /) -> S:
        """One transition of every chain."""
        ...

    def settled(self) -> "Kernel[T, S]":
        """The kernel with whatever it tunes held still, so that what it leaves invariant is."""
        ...


def run(kernel: Kernel[A, S], target: A, state: S, steps: int) -> S:
    """Several transitions of every chain.

    Arguments:
        kernel: The transition.
        target: What it leaves invariant.
        state: Where the chains start.
        steps: The number of transitions.

    Returns:
        Where the chains end.
    """
    # weights that are made from others, as those of bounded slope are, stay as they are meanwhile
    with parametrize.cached():
        for _ in range(steps):
            state = kernel.step(target, state)
    return state


def value_and_score(log_prob: LogDensity, x: Tensor) -> tuple[Tensor, Tensor]:
    """The log-density and its gradient by x, both without graph.

    Arguments:
        log_prob: The log-density, up to a constant.
        x: The points, with shape (chains, *shape).

    Returns:
        The values, with shape (chains,), and the gradients, shaped as x.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = log_prob(x)
        (score,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), score
