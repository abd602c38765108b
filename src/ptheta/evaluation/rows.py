"""Rows that a run is measured on: of its own space, and the same for all that is measured."""

__all__ = ["head", "refuse_other_space"]

import torch

from ptheta.data.dataset import Data, Split
from ptheta.errors import PthetaError
from ptheta.fitting import Run


def head(split: Split, rows: int, seed: int) -> Split:
    """At most so many rows of a split, chosen at random and kept in order."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(split), generator=generator)[:rows].sort().values
    return Split(split.x[chosen], None if split.context is None else split.context[chosen])


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
