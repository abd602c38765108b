r"""Solutions of :math:`x = f(x)` by iteration, and their gradient.

By the implicit function theorem a gradient v by the solution becomes :math:`(I - J^T)^{-1} v`
before it goes into f, with :math:`J = \partial f / \partial x`; that too is the solution of an
equation of this kind, :math:`u = v + J^T u`, and has a gradient in the same way. No step of the
iteration is kept.

References:
    Deep Equilibrium Models (Bai, Kolter & Koltun, 2019), https://arxiv.org/abs/1909.01377,
    theorem 1
"""

__all__ = ["fixed_point", "solved_in_steps", "with_implicit_gradient"]

from collections.abc import Callable

import torch
from torch import Tensor

from ptheta.errors import NotConverged

Step = Callable[[Tensor], Tensor]


@torch.no_grad()
def fixed_point(
    step: Step, start: Tensor, *, tolerance: float, iterations: int, sought: str = "the fixed point"
) -> Tensor:
    """The x that a step leaves where it is, without gradient.

    Arguments:
        step: Maps a guess to the next, of the same shape.
        start: The first guess, with shape (batch, ...).
        tolerance: The largest change of a value in the last step, in rows with values larger than
            1 as a share of the largest, whose size the rounding of all of them has.
        iterations: The largest number of steps.
        sought: What it is, for the message of the error.

    Raises:
        ValueError: There is no step.
        NotConverged: Values still change by more than the tolerance after so many steps, or are
            not numbers.

    Example:
        >>> fixed_point(torch.cos, torch.zeros(1), tolerance=1e-6, iterations=100)
        tensor([0.7391])
    """
    if iterations < 1:
        raise ValueError(f"an iteration needs a step at least, got iterations={iterations}")
    x, change = _iterate(step, start, tolerance, iterations)
    # a change that is not a number is no small one
    _refuse_moving(~(change <= tolerance), sought, iterations, start)
    return x


@torch.no_grad()
def solved_in_steps(step: Step, start: Tensor, *, tolerance: float) -> Tensor:
    """The x that a step leaves where it is, of equations that so many steps as values solve.

    Such are those in which each value depends on the values before it.

    Arguments:
        step: Maps a guess to the next, of the same shape.
        start: The first guess, with shape (batch, values).
        tolerance: The largest change of a value in a step, as a share of itself where it is larger
            than 1, at which the steps end earlier.

    Example:
        >>> solved_in_steps(lambda x: 1 + x.roll(1) * torch.tensor([0, 2, 2]), torch.zeros(1, 3),
        ...                 tolerance=0.0)
        tensor([[1., 3., 7.]])
    """
    # each value has a rounding of its own: it may well not look at one that is far larger
    return _iterate(step, start, tolerance, start.shape[1], size=torch.abs)[0]


def with_implicit_gradient(
    step: Step, solution: Tensor, *, tolerance: float, iterations: int
) -> Tensor:
    """A solution with derivatives up to the third by all that the step depends on.

    They are those of two steps of Newton's, the first from a constant, which leave the solution
    where it is.

    Arguments:
        step: Maps a guess to the next, of the same shape.
        solution: What it leaves where it is, with shape (batch, ...).
        tolerance: The largest change in the last step of the solution of the gradient of a row, as
            a share of its largest value; 0 takes all steps, and is for equations that are
            solved by so many.
        iterations: The largest number of steps of the solution of the gradient.

    Raises:
        NotConverged: In the backward pass: the gradient still changes by more than the tolerance
            after so many steps.
    """
    if not torch.is_grad_enabled():
        return solution
    leaf = solution.detach().requires_grad_()
    first = step(leaf)
    twice = False  # whether a gradient was found that itself has one

    def solve_first(gradient: Tensor) -> Tensor:
        # in the first gradient this is zero but for rounding
        if not twice:
            return torch.zeros_like(gradient)
        return _solved(first, leaf, gradient, tolerance, iterations)

    # hooks are on views, since a look back from what they are on would call them again
    start = first.view_as(first)
    start.register_hook(solve_first)
    at = start.view_as(start)
    x = step(at)

    def solve(gradient: Tensor) -> Tensor:
        nonlocal twice
        found = _solved(x, at, gradient, tolerance, iterations)
        if not torch.is_grad_enabled():
            return found
        twice = True

        def next_(u: Tensor) -> Tensor:
            return gradient + torch.autograd.grad(x, at, u, create_graph=True)[0]

        return with_implicit_gradient(next_, found, tolerance=tolerance, iterations=iterations)

    move = (x - at).view_as(x)
    move.register_hook(solve)
    return start + move


@torch.no_grad()
def _solved(x: Tensor, at: Tensor, gradient: Tensor, tolerance: float, iterations: int) -> Tensor:
    if not gradient.numel():
        return gradient
    # the equation is linear and of each row alone: solved for gradients of size 1
    size = _largest(gradient)
    some = size.isfinite() & (size > 0)
    unit = torch.where(some, gradient / size, 0.0)

    def next_(u: Tensor) -> Tensor:
        return unit + torch.autograd.grad(x, at, u, retain_graph=True)[0]

    u, change = _iterate(next_, unit, tolerance, iterations)
    if tolerance > 0:
        sought = "the gradient of a fixed point"
        _refuse_moving(~(change <= tolerance), sought, iterations, gradient)
    return size * u


def _largest(x: Tensor) -> Tensor:
    """The largest size of the values of each row, with as many dimensions as x."""
    return x.abs().amax(dim=tuple(range(1, x.dim())), keepdim=True) if x.dim() > 1 else x.abs()


def _iterate(
    step: Step, x: Tensor, tolerance: float, iterations: int, size: Step = _largest
) -> tuple[Tensor, Tensor]:
    change = torch.zeros_like(x)
    for _ in range(iterations if x.numel() else 0):
        before, x = x, step(x)
        change = (x - before).abs() / size(x).clamp(min=1)
        if bool((change <= tolerance).all()):
            break
    return x, change


def _refuse_moving(moving: Tensor, sought: str, iterations: int, given: Tensor) -> None:
    if moving.any():
        rows = moving.reshape(len(moving), -1).any(dim=1)
        finite = bool(given[rows].isfinite().all())
        raise NotConverged(
            sought, rows=int(rows.sum()), of=len(rows), steps=iterations, finite=finite
        )
