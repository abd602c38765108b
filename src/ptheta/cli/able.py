"""Asking a run for what its model may lack."""

from __future__ import annotations

__all__ = ["refuse_unable"]

from typing import TYPE_CHECKING

from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from ptheta.fitting import Run
    from ptheta.protocols import Capability


def refuse_unable(run: Run, capability: Capability, doing: str) -> None:
    """Refuses a run whose model lacks a capability, and says which recipes have it.

    Arguments:
        run: The run.
        capability: What the model is asked for.
        doing: What that is, for a person, such as ``go on with a beginning``.

    Raises:
        PthetaError: The model lacks it.
    """
    from ptheta.protocols import capabilities
    from ptheta.recipes.registry import offering

    offered = capabilities(run.model)
    if capability not in offered:
        raise PthetaError(
            f"{run.recipe} cannot {doing}: it offers {', '.join(offered)}. Recipes that can: "
            f"{', '.join(offering(capability))}."
        )
