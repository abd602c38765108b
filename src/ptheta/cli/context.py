"""What draws are conditioned on, as said on the command line."""

from __future__ import annotations

__all__ = ["beside_context", "context_of"]

from typing import TYPE_CHECKING

from ptheta.errors import PthetaError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.fitting import Run
    from ptheta.spaces import Categorical, Space


def context_of(run: Run, count: int, given: str | None) -> Tensor | None:
    """The context of so many draws, or None where a run has none."""
    import torch

    from ptheta.spaces import Categorical

    space = run.context_space
    if space is None:
        if given is not None:
            raise PthetaError(f"the run in {run.folder} was fitted without context.")
        return None
    if not isinstance(space, Categorical):
        raise PthetaError(
            "a run conditioned on numbers is sampled from Python: model.sample(n, context)."
        )
    if space.shape:
        return _sentences(given, space, count)
    if given is None:
        # each class in turn, so that a grid shows all of them
        return torch.arange(count) % space.categories
    if given not in space.names:
        raise PthetaError(f"there is no context '{given}'. {nearest(given, space.names)}")
    return torch.full((count,), space.names.index(given))


def beside_context(run: Run, drawn: Tensor, context: Tensor | None) -> tuple[Tensor, Space]:
    """Draws in a table in which the class that each was drawn for is one more column.

    Arguments:
        run: The run that they are drawn from.
        drawn: The draws, with shape (n, *run.space.shape).
        context: What they were conditioned on, or None.

    Returns:
        The draws and their space: as they are, where there is no class.
    """
    import torch

    from ptheta.data.export import columns_of
    from ptheta.spaces import Categorical, Column, Table

    space, given = run.space, run.context_space
    if context is None or not isinstance(given, Categorical) or given.shape:
        return drawn, space
    columns = columns_of(space, run.columns)
    name = run.origin.get("context") or "label"
    if name in [column.name for column in columns]:
        return drawn, space
    x = torch.cat([drawn.flatten(1).double(), context[:, None].double()], dim=1)
    return x, Table((*columns, Column(name, given)))


def _sentences(given: str | None, space: Categorical, count: int) -> Tensor:
    from ptheta.data.sentences import known_sentences
    from ptheta.spaces import END

    if END not in space.labels:
        raise PthetaError(
            "a run conditioned on sequences is sampled from Python: model.sample(n, context)."
        )
    if given is None:
        raise PthetaError(
            "the run is conditioned on a sentence: say which with --context 'a sentence'."
        )
    return known_sentences([given], space, "--context").expand(count, -1)
