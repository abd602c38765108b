"""Rows that a model is asked about: read, checked, and taken so many at a time."""

__all__ = ["batches", "in_sentences", "refuse_context", "rows_at_once", "rows_of"]

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor

from ptheta.data.dataset import Rows
from ptheta.data.load import load_rows
from ptheta.errors import PthetaError
from ptheta.spaces import Space

_ROWS = 1000
_LEAST = 50  # rows with several particles: fewer hardly save memory, and are slow
_VALUES = 2**18  # of a model of sound each takes about 5 kB


def rows_of(x: object, space: Space) -> Rows:
    """Examples in their space, from what a person has at hand.

    Arguments:
        x: The examples as codes of the space: a tensor with shape (rows, *space.shape), or rows
            that stay on disk. Or the examples as they were written, which are read as
            `ptheta.load_rows` reads them: an array, a list or a table of pandas.
        space: Their space.

    Raises:
        PthetaError: They cannot be read, or have another shape.

    Example:
        >>> from ptheta.spaces import Discrete
        >>> rows_of([[3, 5], [4, 3]], Discrete((2,), levels=3, low=3))
        tensor([[0, 2],
                [1, 0]], dtype=torch.uint8)
    """
    if isinstance(x, str | Path):
        raise PthetaError(
            f"x cannot be {str(x)!r}: rows are needed here, not where they lie. Read them by "
            "ptheta.load_rows(source, run.space, run.columns) and give what it returns as x."
        )
    if _as_written(x):
        return load_rows(x, space).x
    if not isinstance(x, Rows):
        raise PthetaError(
            f"x cannot be a {type(x).__name__}. Give a tensor, an array, a list or a table of "
            "pandas, with a row for each example."
        )
    found = tuple(x.shape) if isinstance(x, Tensor) else (len(x), *x[:0].shape[1:])
    if not found or found[1:] != space.shape:
        raise PthetaError(
            f"expected rows of {space.describe()}, with shape {_shape(space)}, got shape {found}. "
            "Give as many values a row as the model was fitted to."
        )
    return x


def refuse_context(context: Tensor | None, rows: int) -> None:
    """Checks that there is one context for each row, or none at all.

    Arguments:
        context: The context.
        rows: The number of rows.

    Raises:
        PthetaError: There are more or fewer.
    """
    if context is not None and (context.dim() == 0 or len(context) != rows):
        raise PthetaError(
            f"expected {rows} rows of context, one for each row or draw, got a context of shape "
            f"{tuple(context.shape)}."
        )


def rows_at_once(features: int, particles: int = 1) -> int:
    """The rows that are taken at a time: fewer where rows are long, and one at least.

    Arguments:
        features: The number of values in a row.
        particles: The number of particles that each row has.

    Example:
        >>> rows_at_once(2), rows_at_once(1024), rows_at_once(10**9)
        (1000, 256, 1)
    """
    return min(max(_ROWS // particles, _LEAST), max(1, _VALUES // features))


def batches(rows: int, size: int) -> Iterator[slice]:
    """Slices of so many rows, one after the other; of no rows, one empty slice.

    Example:
        >>> list(batches(5, 3)), list(batches(0, 3))
        ([slice(0, 3, None), slice(3, 5, None)], [slice(0, 0, None)])
    """
    for start in range(0, max(rows, 1), size):
        yield slice(start, min(start + size, rows))


@contextmanager
def in_sentences() -> Generator[None]:
    """A block in which what a model refuses is raised as a sentence for a person."""
    try:
        yield
    except PthetaError:
        raise
    except ValueError as error:
        raise PthetaError(f"{str(error).rstrip('.')}.") from error


def _as_written(x: object) -> bool:
    if isinstance(x, Tensor):
        return False
    if isinstance(x, np.ndarray | Sequence | Mapping):
        return True
    import pandas as pd

    return isinstance(x, pd.DataFrame)


def _shape(space: Space) -> str:
    return f"({', '.join(map(str, ('rows', *space.shape)))})"
