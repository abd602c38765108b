r"""Products with weights whose zeros form a staircase, as those of an order of values do.

.. math:: y_r = \sum_{c \le s(r)} W_{rc} x_c + b_r

Rows are taken in a few bands, and of each band only the columns that some row of it sees are
multiplied. Of a triangle four bands multiply five eighths, forwards and in both products of the
gradient.
"""

__all__ = ["Band", "bands_of", "staircase_linear"]

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# on a CPU, products of fewer weights cost more to begin than bands save; more bands save no more
_LARGE, _BANDS = 2**17, 4


class Band(NamedTuple):
    """Rows that see about the same columns.

    Arguments:
        start: The first row.
        end: The row after the last.
        whole: The number of first columns that every row sees.
        columns: The number of first columns after which no row sees any.
    """

    start: int
    end: int
    whole: int
    columns: int


def bands_of(mask: Tensor) -> tuple[Band, ...]:
    """The bands of a mask; none where a product in bands would save too little.

    Arguments:
        mask: Which weights may differ from zero, boolean, with shape (outputs, inputs).

    Example:
        >>> bands_of(torch.ones(512, 512, dtype=torch.bool).tril())[0]
        Band(start=0, end=128, whole=1, columns=128)
        >>> bands_of(torch.ones(512, 512, dtype=torch.bool))
        ()
    """
    if mask.numel() < _LARGE:
        return ()
    edges = torch.linspace(0, len(mask), _BANDS + 1).round().long().tolist()
    bands = tuple(_band(mask, start, end) for start, end in pairwise(edges))
    multiplied = sum((band.end - band.start) * band.columns for band in bands)
    return bands if multiplied < 0.8 * mask.numel() else ()


def staircase_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, bands: Sequence[Band]
) -> Tensor:
    """A linear map by weights that are masked already, whose gradient is masked too.

    Arguments:
        x: The inputs, with shape (batch, inputs).
        weight: The weights, zero where they are masked, with shape (outputs, inputs).
        bias: The biases, with shape (outputs,), or None.
        mask: Which weights may differ from zero, as numbers.
        bands: The bands of the mask.

    Returns:
        The outputs, with shape (batch, outputs).
    """
    found: Tensor = _Staircase.apply(x, weight, bias, mask, bands)  # pyright: ignore[reportAssignmentType]
    return found


def _band(mask: Tensor, start: int, end: int) -> Band:
    rows = mask[start:end]
    seen, hidden = rows.any(dim=0).nonzero(), rows.logical_not().any(dim=0).nonzero()
    columns = int(seen.max()) + 1 if len(seen) else 0
    return Band(start, end, int(hidden.min()) if len(hidden) else columns, columns)


class _Staircase(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, bands: Sequence[Band]
    ) -> Tensor:
        y = x.new_empty(len(x), len(weight))
        for start, end, _, columns in bands:
            product = x[:, :columns], weight[start:end, :columns].t()
            if bias is None:
                torch.mm(*product, out=y[:, start:end])
            else:
                torch.addmm(bias[start:end], *product, out=y[:, start:end])
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, bias, mask, ctx.bands = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, weight, mask)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mask = ctx.saved_tensors
        (gradient,) = gradients
        of_bias = gradient.sum(dim=0) if ctx.has_bias else None
        if torch.is_grad_enabled():  # the gradient has a gradient of its own
            of_x, of_weight = gradient @ (weight * mask), (gradient.t() @ x) * mask
            return of_x, of_weight, of_bias, None, None
        of_x = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        of_weight = torch.empty_like(weight)
        for start, end, whole, columns in ctx.bands:
            rows = gradient[:, start:end]
            of_weight[start:end, columns:].zero_()
            torch.mm(rows.t(), x[:, :columns], out=of_weight[start:end, :columns])
            of_weight[start:end, whole:columns].mul_(mask[start:end, whole:columns])
            if of_x is not None:
                of_x[:, :columns].addmm_(rows, weight[start:end, :columns])
        return of_x, of_weight, of_bias, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return torch.vmap(_whole, in_dims[:4])(*inputs[:4]), 0


def _whole(x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor) -> Tensor:
    return F.linear(x, weight * mask, bias)
