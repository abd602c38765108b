"""Filling in what is missing, by draws given what is there."""

__all__ = ["impute"]

import torch
from torch import Tensor, nn

from ptheta.asking import batches, in_sentences, refuse_context, rows_at_once, rows_of
from ptheta.border import Count, Seed, checked
from ptheta.density import device_of, evaluating
from ptheta.errors import PthetaError
from ptheta.protocols import SupportsComplete, capabilities
from ptheta.random import seeded
from ptheta.recipes.registry import offering
from ptheta.spaces import Positive, Space, Table, groups, missing_values


@checked
@torch.no_grad()
def impute(
    model: nn.Module,
    x: object,
    context: Tensor | None = None,
    *,
    space: Space,
    draws: Count = 1,
    batch_size: Count | None = None,
    seed: Seed | None = 0,
) -> Tensor:
    """Rows in which what is missing is drawn given what is there.

    Several draws show how sure that is: a figure computed on each of them, and then averaged, is
    what multiple imputation asks for.

    References:
        Multiple Imputation for Nonresponse in Surveys (Rubin, 1987),
        https://doi.org/10.1002/9780470316696

    Arguments:
        model: The model.
        x: The rows: a tensor with shape (rows, *space.shape), or an array, a list or a table of
            pandas as `ptheta.load_rows` reads it. What is missing is not a number (NaN).
        context: What they are conditioned on.
        space: The space of the data.
        draws: The number of times that each row is filled in.
        batch_size: The number of rows taken at a time; None takes fewer where they are long.
        seed: The seed; the same seed and batch size give the same draws.

    Returns:
        The rows, with shape (draws, rows, *space.shape). What is there is kept as it is.

    Raises:
        PthetaError: The model cannot draw values given others, a value lies outside the space, or
            the context is not what the model was fitted with.
    """
    if not isinstance(model, SupportsComplete):
        raise PthetaError(
            "this model cannot fill in what is missing: it offers "
            f"{', '.join(capabilities(model))}. Recipes that can: "
            f"{', '.join(offering('complete'))}."
        )
    x = rows_of(x, space)
    refuse_context(context, len(x))
    device = device_of(model)
    found: list[Tensor] = []
    size = batch_size or rows_at_once(space.features)
    with seeded(seed), evaluating(model), in_sentences():
        for batch in batches(len(x), size):
            rows = x[batch]
            _refuse_outside(rows, space, batch.start)
            given = None if context is None else context[batch].to(device)
            # few rows are drawn many times together
            parts = [
                _repeated(model, rows.to(device), given, times.stop - times.start).cpu()
                for times in batches(draws, max(1, size // max(1, len(rows))))
            ]
            found.append(torch.cat(parts).to(space.dtype))
    return torch.cat(found, dim=1)


def _repeated(model: SupportsComplete, x: Tensor, context: Tensor | None, times: int) -> Tensor:
    """Rows filled in so many times, with shape (times, rows, *shape)."""
    given = None if context is None else torch.cat([context] * times)
    return _filled(model, torch.cat([x] * times), given).reshape(times, *x.shape)


def _filled(model: SupportsComplete, x: Tensor, context: Tensor | None) -> Tensor:
    missing = missing_values(x).flatten(1)
    whole = x.clone()
    # rows with the same gaps are filled in together
    patterns, which = missing.unique(dim=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        if pattern.any():
            rows = (which == i).nonzero()[:, 0]
            given = None if context is None else context[rows]
            known = ~pattern.reshape(x.shape[1:])
            whole[rows] = model.complete(x[rows], known, given).to(whole.dtype)
    return whole


def _refuse_outside(x: Tensor, space: Space, start: int) -> None:
    harmless = torch.zeros(space.features, dtype=x.dtype, device=x.device)
    for group in groups(space):
        if isinstance(group.space, Positive):
            harmless[list(group.positions)] = 1
    inside = space.contains(torch.where(missing_values(x), harmless.reshape(space.shape), x))
    if not inside.all():
        row = int((~inside).nonzero()[0])
        raise PthetaError(
            f"row {start + row + 1} holds a value outside what the model was fitted to"
            f"{_named(x[row], space)} (a level or category never seen, or a number that "
            "is infinite). Mend it, or leave it empty to have it filled in."
        )


def _named(row: Tensor, space: Space) -> str:
    """The columns of a table whose values lie outside."""
    if not isinstance(space, Table):
        return ""
    outside = [
        f"'{column.name}'"
        for value, column in zip(row, space.columns, strict=True)
        if not value.isnan() and not column.space.contains(value[None]).all()
    ]
    return f" in {', '.join(outside)}"
