r"""The probability flow of a denoiser: draws and densities by one differential equation.

.. math:: \frac{d x}{d t} = u(x, t)
    = \alpha'(t) \, \hat x(x, t) + \sigma'(t) \, \hat \epsilon(x, t), \qquad
    \frac{d}{d t} \log p_t(x) = - \nabla \cdot u(x, t)

It carries noise to data and back with the densities of every t. So the density at the least level,
which is what its draws follow, is exact to the tolerance of the solver, whatever the network has
learned.

References:
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021),
    https://arxiv.org/abs/2011.13456, equations 13 and 39
    Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747
"""

__all__ = ["Solver", "carried", "carried_and_change"]

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.inference.divergence import Field
from ptheta.inference.predictions import rates, to_velocity
from ptheta.noising import Path, Predict

Divergence = Callable[[Field, Tensor], tuple[Tensor, Tensor]]
"""A field at points, and its divergence there."""


@dataclass(frozen=True)
class Solver:
    """How a differential equation is solved: adaptive steps of order 5 (Dormand and Prince).

    Arguments:
        tolerance: The error that a step may make, absolute, and relative to the values; that of a
            log-density was a hundred times as much on networks tried.
        evaluations: The most evaluations of the field; a solution that asks for more is refused.

    Raises:
        ValueError: The tolerance is not above 0, or no evaluation is allowed.
    """

    tolerance: float = 1e-6
    evaluations: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < math.inf or self.evaluations < 1:
            raise ValueError(
                "expected a tolerance above 0 and an evaluation or more, got "
                f"{self.tolerance} and {self.evaluations}"
            )


def carried(
    predict: Predict, path: Path, x: Tensor, start: float, end: float, solver: Solver
) -> Tensor:
    """Where the flow carries points from one time to another.

    Arguments:
        predict: The denoiser.
        path: The path.
        x: The points, with shape (n, *shape).
        start: The time at which they are given.
        end: The time to which they are carried.
        solver: How the equation is solved.

    Returns:
        The points, shaped as x.

    Raises:
        PthetaError: The solver takes too many evaluations, or meets values that are not finite.
    """
    return _solved(lambda t, at: (_velocity(predict, path, t, at[0]),), (x,), start, end, solver)[0]


def carried_and_change(
    predict: Predict,
    path: Path,
    x: Tensor,
    start: float,
    end: float,
    solver: Solver,
    divergence: Divergence,
) -> tuple[Tensor, Tensor]:
    """Where the flow carries points, and by how much the log-density changes on the way.

    Arguments:
        predict: The denoiser.
        path: The path.
        x: The points, with shape (n, *shape).
        start: The time at which they are given.
        end: The time to which they are carried.
        solver: How the equation is solved.
        divergence: The divergence of a field, exact or estimated.

    Returns:
        The points, shaped as x, and the integral of the divergence along their way, with shape
        (n,): log p at the start, less that at the end.

    Raises:
        PthetaError: The solver takes too many evaluations, or meets values that are not finite.
    """

    def moving(t: Tensor, at: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return divergence(partial(_velocity, predict, path, t), at[0])

    change = x.new_zeros(len(x))
    ends, change = _solved(moving, (x, change), start, end, solver)
    return ends, change


def _velocity(predict: Predict, path: Path, t: Tensor, x: Tensor) -> Tensor:
    return to_velocity(predict(x, t), rates(path, t))


def _solved(
    moving: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]],
    state: tuple[Tensor, ...],
    start: float,
    end: float,
    solver: Solver,
) -> tuple[Tensor, ...]:
    if not len(state[0]):
        return state
    from torchdiffeq import odeint

    count = 0

    def counted(t: Tensor, at: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal count
        count += 1
        if count > solver.evaluations:
            raise PthetaError(
                f"the probability flow was not solved within {solver.evaluations} evaluations of "
                f"the network, at t = {t.item():.3g}; set a larger tolerance than "
                f"{solver.tolerance:g}, or train for longer: what is hardly trained is rough."
            )
        found = moving(t, at)
        if not all(part.isfinite().all() for part in found):
            raise PthetaError(
                f"the probability flow runs off to values that are not finite at t = "
                f"{t.item():.3g}; the model may not have been trained, or rows lie far outside "
                "the data."
            )
        return found

    times = torch.tensor([start, end], dtype=state[0].dtype, device=state[0].device)
    with torch.no_grad():
        solved: Any = odeint(
            counted,
            state,
            times,
            rtol=solver.tolerance,
            atol=solver.tolerance,
            method="dopri5",
            # a path may have no levels beyond the end; and no row is solved worse for its company
            options={"step_t": times[1:], "norm": _largest},
        )
    return tuple(part[-1] for part in solved)


def _largest(state: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([part.abs().max() for part in state]).max()
