"""Rows of a source for a run, and figures told of each of them."""

from __future__ import annotations

__all__ = ["rows_for", "save_told", "told"]

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptheta.data.dataset import Split
    from ptheta.fitting import Run


def rows_for(
    run: Run, source: str, context: str | None = None, image_size: int | None = None
) -> Split:
    """All rows of a source in the space of a run, read as the data of its fit were.

    Arguments:
        run: The run.
        source: The source.
        context: The column that the run was conditioned on; None takes that of the fit.
        image_size: The side to scale images to; None takes that of the fit.

    Raises:
        PthetaError: The source cannot be read in the space of the run.
    """
    from ptheta.data.load import load_rows

    return load_rows(
        source,
        run.space,
        run.columns,
        run.context_space,
        context or run.origin.get("context"),
        image_size=image_size or run.origin.get("image_size"),
    )


def told(names: Mapping[str, Sequence[Any]], values: Sequence[str], heading: str = "") -> str:
    """A line for each row: what it is called, where it has a name, and a value.

    Arguments:
        names: What tells the rows apart, by column, as in `Split.names`.
        values: The values.
        heading: What the values are; where it is empty, no line says so.
    """
    lines = io.StringIO()
    write = csv.writer(lines, lineterminator="\n").writerow
    if heading:
        write([*names, heading])
    for row in zip(*names.values(), values, strict=True):
        write(row)
    return lines.getvalue().removesuffix("\n")


def save_told(names: Mapping[str, Sequence[Any]], values: Mapping[str, Any], out: Path) -> None:
    """Writes a table of what rows are called, where they have names, and their values.

    Arguments:
        names: What tells the rows apart, by column.
        values: The values, by column.
        out: The file.
    """
    import pandas as pd

    from ptheta.data.export import save_table

    save_table(pd.DataFrame({**names, **values}), out)
