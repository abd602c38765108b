"""Roots of increasing functions of one number, many at once."""

__all__ = ["increasing_root"]

from collections.abc import Callable

import torch
from torch import Tensor

_STEPS = 100


def increasing_root(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], low: Tensor, high: Tensor
) -> Tensor:
    """Where an increasing function is zero, with gradient to all that it depends on.

    Newton's method, and bisections where that would leave the bracket.

    Arguments:
        function: Gives the function and its slope, for numbers of the shape of the brackets.
        low: Where the function is at most zero.
        high: Where it is at least zero.

    Example:
        >>> cube = lambda x: (x**3 - 8, 3 * x**2)
        >>> increasing_root(cube, torch.zeros(1), torch.full((1,), 9.0))
        tensor([2.])
    """
    with torch.no_grad():
        x = (low + high) / 2
        for i in range(_STEPS):
            value, slope = function(x)
            low, high = torch.where(value < 0, x, low), torch.where(value < 0, high, x)
            newton = x - value / slope
            # an error left by a small step of Newton's is the square of that step
            done = (newton - x).abs() <= torch.finfo(x.dtype).eps ** 0.6 * (1 + x.abs())
            # a bisection now and then, since Newton's steps alone can go back and forth
            kept = (newton > low) & (newton < high) & (i % 3 < 2)
            x = torch.where(done | kept, newton, (low + high) / 2)
            if bool(done.all()):
                break
    if not torch.is_grad_enabled():
        return x
    # one step more has the gradient of the root, and leaves the root where it is
    value, slope = function(x)
    return x - value / slope.detach()
