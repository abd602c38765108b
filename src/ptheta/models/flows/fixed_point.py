r"""Solutions of :math:`x = f(x)` by iteration, and their gradient.

By the implicit function theorem a gradient v by the solution becomes :math:`(I - J^T)^{-1} v`
before it goes into f, with :math:`J = \partial f / \partial x`; that too is the solution of an
equation of this kind, :math:`u = v + J^T u`. No step of the iteration is kept.

References:
    Deep Equilibrium Models (Bai, Kolter & Koltun, 2019), https://arxiv.org/abs/1909.01377,
    theorem 1
"""

__all__ = ["fixed_point", "with_implicit_gradient"]

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor], Tensor]


@torch.no_grad()
def fixed_point(step: Step, start: Tensor, *, tolerance: float, iterations: int) -> Tensor:
    """The x that a step leaves where it is, without gradient.

    Arguments:
        step: Maps a guess to the next, of the same shape.
        start: The first guess.
        tolerance: The largest change of a value in the last step, where values are larger than 1
            as a share of them.
        iterations: The largest number of steps.

    Raises:
        RuntimeError: Values still change by more than the tolerance after so many steps.

    Example:
        >>> fixed_point(torch.cos, torch.zeros(1), tolerance=1e-6, iterations=100)
        tensor([0.7391])
    """
    x, change = _iterate(step, start, tolerance, iterations)
    if change > tolerance:
        raise RuntimeError(
            f"the fixed point was not reached: values still change by {change:.1g} after "
            f"{iterations} steps, and {tolerance:.1g} is asked for"
        )
    return x


def with_implicit_gradient(
    step: Step, solution: Tensor, *, tolerance: float, iterations: int
) -> Tensor:
    """A solution with its gradient to all that the step depends on.

    Arguments:
        step: Maps a guess to the next, of the same shape.
        solution: What it leaves where it is.
        tolerance: The largest change in the last step of the solution of the gradient, as a share
            of its length.
        iterations: The largest number of steps of the solution of the gradient.
    """
    if not torch.is_grad_enabled():
        return solution
    at = solution.detach().requires_grad_()
    x = step(at)

    def solve(gradient: Tensor) -> Tensor:
        # the equation is linear: solved for a gradient of size 1
        scale = torch.linalg.vector_norm(gradient).clamp(min=torch.finfo(gradient.dtype).tiny)
        unit = gradient / scale

        def next_(u: Tensor) -> Tensor:
            return unit + torch.autograd.grad(x, at, u, retain_graph=True)[0]

        return scale * _iterate(next_, unit, tolerance, iterations)[0]

    # the hook is on a view, since a look back from x itself would call it again
    found = x.view_as(x)
    found.register_hook(solve)
    return found


def _iterate(step: Step, x: Tensor, tolerance: float, iterations: int) -> tuple[Tensor, float]:
    change = 0.0
    for _ in range(iterations if x.numel() else 0):
        before, x = x, step(x)
        change = ((x - before).abs() / x.abs().clamp(min=1)).max().item()
        if change <= tolerance:
            break
    return x, change
