"""Asking a run for what its model may lack."""

from __future__ import annotations

__all__ = ["refuse_unable"]

from typing import TYPE_CHECKING

from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from ptheta.fitting import Run
    from ptheta.protocols import Capability


def refuse_unable(run: Run, doing: str, *needed: Capability) -> None:
    """Refuses a run whose model lacks a capability, and says which recipes have it.

    Arguments:
        run: The run.
        doing: What the model is asked for, for a person, such as ``go on with a beginning``.
        needed: What that takes; any of several will do.

    Raises:
        PthetaError: The model lacks it.
    """
    from ptheta.protocols import capabilities
    from ptheta.recipes.registry import offering

    offered = capabilities(run.model)
    if not {*needed} & {*offered}:
        raise PthetaError(
            f"{run.recipe} cannot {doing}: it offers {', '.join(offered)}. Recipes that can: "
            f"{', '.join(offering(*needed))}."
        )
