r"""The divergence of a field, whole or by random directions.

.. math:: \nabla \cdot u(x) = \sum_i \frac{\partial u_i}{\partial x_i}
    = \mathbb{E}_v \, v^T \frac{\partial u}{\partial x} v, \qquad \mathbb{E} \, v v^T = I
"""

__all__ = ["Field", "estimated", "exact"]

from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor], Tensor]
"""From points, with shape (n, *shape), to vectors there, each of its own point alone."""


def exact(field: Field, x: Tensor) -> tuple[Tensor, Tensor]:
    """A field and its divergence, by one pass back for each value of a point.

    Arguments:
        field: The field.
        x: The points, with shape (n, *shape).

    Returns:
        The vectors, shaped as x, and the divergence, with shape (n,).
    """
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        found = field(at)
        columns = found.flatten(1).unbind(dim=1)
        last = len(columns) - 1
        slopes = [
            torch.autograd.grad(column.sum(), at, retain_graph=i < last)[0].flatten(1)[:, i]
            for i, column in enumerate(columns)
        ]
    return found.detach(), torch.stack(slopes).sum(dim=0)


def estimated(field: Field, x: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """A field and an estimate of its divergence, by one pass back for each direction.

    References:
        A Stochastic Estimator of the Trace of the Influence Matrix for Laplacian Smoothing Splines
        (Hutchinson, 1990), https://doi.org/10.1080/03610919008812866

    Arguments:
        field: The field.
        x: The points, with shape (n, *shape).
        directions: Random vectors whose values are uncorrelated and of variance 1, with shape
            (directions, n, *shape).

    Returns:
        The vectors, shaped as x, and the estimate, with shape (n,).
    """
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        found = field(at)
        last = len(directions) - 1
        slopes = [
            (torch.autograd.grad(found, at, v, retain_graph=i < last)[0] * v).flatten(1).sum(dim=1)
            for i, v in enumerate(directions)
        ]
    return found.detach(), torch.stack(slopes).mean(dim=0)
