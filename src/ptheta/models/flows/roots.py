"""Roots of increasing functions of one number, many at once."""

__all__ = ["increasing_root"]

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from ptheta.errors import NotConverged

_STEPS = 200  # so that bisections alone would do


def increasing_root(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    low: Tensor,
    high: Tensor,
    sought: str = "the root of a function",
) -> Tensor:
    """Where an increasing function is zero, with derivatives up to the third by all it depends on.

    Newton's method, and bisections where that would leave the bracket.

    Arguments:
        function: Gives the function and its slope, for numbers of the shape of the brackets. Where
            it is not a number, neither is the root.
        low: Where the function is at most zero.
        high: Where it is at least zero.
        sought: What the roots are, for the message of the error.

    Raises:
        NotConverged: The roots are not found in so many steps.

    Example:
        >>> cube = lambda x: (x**3 - 8, 3 * x**2)
        >>> increasing_root(cube, torch.zeros(1), torch.full((1,), 9.0))
        tensor([2.])
    """
    x = _found(function, low, high, sought)
    if not torch.is_grad_enabled():
        return x
    # two steps more leave the root where it is; as the error of a step is the square of that
    # before it, what they miss of another root nearby is of the fourth order
    for _ in range(2):
        value, slope = function(x)
        x = x - value / slope
    return x


@torch.no_grad()
def _search(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], low: Tensor, high: Tensor, sought: str
) -> Tensor:
    x = (low + high) / 2
    done = torch.zeros_like(x, dtype=torch.bool)
    eps = torch.finfo(x.dtype).eps
    for i in range(_STEPS):
        value, slope = function(x)
        low, high = torch.where(value < 0, x, low), torch.where(value < 0, high, x)
        newton = x - value / slope
        # an error left by a small step of Newton's is the square of that step
        near = ((newton - x).abs() <= eps**0.6 * (1 + x.abs())) | newton.isnan()
        # a bisection now and then, since Newton's steps alone can go back and forth
        kept = (newton > low) & (newton < high) & (i % 3 < 2)
        x = torch.where(near | kept, newton, (low + high) / 2)
        # where the function is flat, the bracket closes before the steps are small
        done = near | (high - low <= 2 * eps * (1 + x.abs()))
        if bool(done.all()):
            return x
    raise NotConverged(sought, rows=int((~done).sum()), of=done.numel(), steps=_STEPS)


# it stops by what it finds, which a compiled graph cannot
_found = cast(Callable[..., Tensor], torch.compiler.disable(_search))
