"""Tractable models: densities written down at once."""

__all__ = ["independent"]

from ptheta.data.bridged import bridged
from ptheta.data.bridges import standardising
from ptheta.errors import PthetaError
from ptheta.models.heads import on_reals
from ptheta.models.tractable.independent import Independent
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import Count
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.counting import CountingLearner


def independent(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    bins: Count = 256,
) -> Algorithm:
    """Independent values, counted: the baseline that all must beat.

    Every value has its own marginal and nothing else: frequencies with half a count of smoothing
    for levels and categories, a histogram for real values. Missing values are left out of
    the counts, and marginalised.

    References:
        The performance of universal encoding (Krichevsky & Trofimov, 1981),
        https://doi.org/10.1109/TIT.1981.1056331

    Arguments:
        space: What one example is; any space.
        context_space: The categories that have marginals of their own.
        bins: The number of bins at most of the histogram of a real value, a power of two.
    """
    if isinstance(context_space, Real) or (context_space is not None and context_space.shape):
        raise PthetaError(
            "counting can be conditioned on one category, not on numbers or sequences."
        )
    if bins & (bins - 1):
        raise PthetaError(f"bins must be a power of two, such as 64 or 256, got {bins}.")
    model = Independent(on_reals(space), context_space, bins=bins)
    bridge = standardising(space)
    return Algorithm(
        model=bridged(model, bridge, space),
        learner=CountingLearner(model, bridge),
        batch_size=None,
        steps=1,
        constraints=("parametric",),
        patience=None,
    )
