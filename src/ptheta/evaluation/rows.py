"""Rows that a run is measured on: of its own space, and the same for all that is measured."""

__all__ = ["affordable", "head", "refuse_other_space"]

import time
from collections.abc import Callable

import torch

from ptheta.data.dataset import Data, Split
from ptheta.errors import PthetaError
from ptheta.fitting import Run

_FEW = 4
_MORE = 4


def head(split: Split, rows: int, seed: int) -> Split:
    """At most so many rows of a split, chosen at random and kept in order."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(split), generator=generator)[:rows].sort().values
    return Split(split.x[chosen], None if split.context is None else split.context[chosen])


def affordable(ask: Callable[[Split], object], split: Split, seconds: float, seed: int) -> Split:
    """All rows of a split, or as many as can be asked about in the time, and a few at least.

    How long they take is found out by asking about few, and then about more: some densities are
    solved for, and a row of an image then takes seconds.

    Arguments:
        ask: What is asked of rows.
        split: The rows.
        seconds: The time for all of them.
        seed: The seed of the choice.
    """
    ask(head(split, 1, seed))  # what is made once, such as a constant, is made here
    rows = _FEW
    while rows < len(split):
        started = time.perf_counter()
        ask(head(split, rows, seed))
        within = int(rows * seconds / max(time.perf_counter() - started, 1e-9))
        if within >= len(split):
            break
        if within < _MORE * rows:
            return head(split, max(rows, within), seed)
        rows *= _MORE  # a row takes less time among more, so that all may fit yet
    return split


def refuse_other_space(run: Run, data: Data) -> None:
    """Checks that data are of the space that a run was fitted to.

    Arguments:
        run: The run; where it has no context, that of the data is not looked at.
        data: The data.

    Raises:
        PthetaError: The examples or their context are of another space, or there is no context.
    """
    if run.context_space is not None and data.context_space is None:
        raise PthetaError(
            f"the run was fitted to {_spaces(run)}, and {data.name} was loaded without context. "
            "Name what it is conditioned on, as in ptheta.load_data(source, context='label')."
        )
    conditional = run.context_space is not None
    if data.space != run.space or (conditional and data.context_space != run.context_space):
        raise PthetaError(
            f"the run was fitted to {_spaces(run)}, and {data.name} is {_spaces(data)}: they "
            "differ in kind, shape, range, labels or columns. Give data of the run's own space."
        )


def _spaces(of: Run | Data) -> str:
    given = "" if of.context_space is None else f" given {of.context_space.describe()}"
    return f"{of.space.describe()}{given}"
