r"""Markov transitions as pairs of functions, and the loop that runs one.

A `Kernel` is given a log-density in its call, never in its constructor, so that one kernel serves
any model: ``state = kernel.init(log_prob, x)``, then ``state = kernel.step(log_prob, state)``.
All chains of a batch move at once and share one step size, which is part of the state.
"""

__all__ = ["ChainState", "Kernel", "LogDensity", "run", "value_and_score"]

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
"""log p(x) up to a constant: from (chains, *shape) to (chains,)."""


class ChainState(NamedTuple):
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


class Kernel(Protocol):
    """A Markov transition on chains."""

    @property
    def step_size(self) -> float:
        """The step size with which chains start."""
        ...

    def init(self, log_prob: LogDensity, x: Tensor, step_size: Tensor | None = None) -> ChainState:
        """The state of chains that start at x, with the kernel's step size or a given one."""
        ...

    def step(self, log_prob: LogDensity, state: ChainState) -> ChainState:
        """One transition of every chain."""
        ...

    def settled(self) -> "Kernel":
        """The kernel with whatever it tunes held still, so that what it leaves invariant is."""
        ...


def run(kernel: Kernel, log_prob: LogDensity, state: ChainState, steps: int) -> ChainState:
    """Several transitions of every chain.

    Arguments:
        kernel: The transition.
        log_prob: The log-density, up to a constant.
        state: Where the chains start.
        steps: The number of transitions.

    Returns:
        Where the chains end.
    """
    for _ in range(steps):
        state = kernel.step(log_prob, state)
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
