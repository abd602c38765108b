"""Draws of some values given others, as said on the command line."""

from __future__ import annotations

__all__ = ["drawn_given", "given_option"]

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ptheta.cli.able import refuse_unable
from ptheta.errors import PthetaError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.fitting import Run
    from ptheta.spaces import Column, Space

_SHOWN = 10  # categories that are named

given_option = click.option(
    "--given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value that all draws have, the others being drawn given it; may be repeated.",
)


def drawn_given(
    run: Run, count: int, given: Sequence[str], context: Tensor | None, seed: int
) -> Tensor:
    """Draws that have some values, the others drawn given these.

    Arguments:
        run: The run that they are drawn from.
        count: The number of draws.
        given: The values, as NAME=VALUE.
        context: What the draws are conditioned on, or None.
        seed: The seed.

    Returns:
        The draws, with shape (count, *run.space.shape).

    Raises:
        PthetaError: The run cannot, or a value is not one of the space.
    """
    import pandas as pd

    from ptheta.data.encoding import encode
    from ptheta.data.export import columns_of
    from ptheta.tasks.impute import impute

    refuse_unable(run, "draw some values given others (--given)", "complete")
    columns = {column.name: column for column in columns_of(run.space, run.columns)}
    values = _read(given, columns)
    frame = pd.DataFrame({name: [values.get(name)] for name in columns}, dtype=object)
    codes = encode(frame, list(columns.values()), "--given")
    for name, code in zip(columns, codes[0], strict=True):
        space = columns[name].space
        if name in values and not space.contains(code.reshape(1, *space.shape)).all():
            raise PthetaError(
                f"--given {name}={values[name]} is outside what the run was fitted to: "
                f"{_allowed(space)}."
            )
    x = codes.expand(count, -1).reshape(count, *run.space.shape)
    return impute(run.model, x, context, space=run.space, seed=seed)[0]


def _allowed(space: Space) -> str:
    from ptheta.spaces import Categorical, Discrete

    match space:
        case Categorical(labels=(_, *_) as labels):
            shown = ", ".join(labels[:_SHOWN])
            return f"one of {shown}{', ...' if len(labels) > _SHOWN else ''}"
        case Discrete():
            return f"a whole number from {space.low} to {space.low + space.levels - 1}"
        case _:
            return space.describe()


def _read(given: Sequence[str], columns: dict[str, Column]) -> dict[str, str]:
    values: dict[str, str] = {}
    for each in given:
        name, sign, value = each.partition("=")
        name, value = name.strip(), value.strip()
        if not sign or not value:
            raise PthetaError(f"--given is written NAME=VALUE, such as kind=red, and not '{each}'.")
        if name not in columns:
            raise PthetaError(f"--given {each}: no value '{name}'. {nearest(name, columns)}")
        if values.setdefault(name, value) != value:
            raise PthetaError(f"--given says both {name}={values[name]} and {name}={value}.")
    return values
