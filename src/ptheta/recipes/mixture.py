"""Mixtures learnt by expectation-maximisation."""

__all__ = ["gmm"]

from typing import Annotated, Literal

from annotated_types import Ge

from ptheta.data.bridged import bridged
from ptheta.data.bridges import dequantising
from ptheta.models.latent.covariances import COVARIANCES
from ptheta.models.latent.gmm import GaussianMixture
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import Count
from ptheta.spaces import Space
from ptheta.training.em import EMLearner


def gmm(
    space: Space,
    *,
    components: Count | None = None,
    covariance: Literal["full", "tied", "diagonal", "spherical"] = "full",
    shrinkage: Annotated[float, Ge(0)] | None = None,
    floor: Annotated[float, Ge(0)] = 1e-6,
    tolerance: Annotated[float, Ge(0)] = 1e-4,
    steps: Count = 200,
) -> Algorithm:
    """Gaussian mixture, by expectation-maximisation from a k-means++ start.

    Levels are dequantised with uniform noise, drawn anew in each iteration, which makes the
    density of discrete data a lower bound.

    References:
        Maximum likelihood from incomplete data via the EM algorithm (Dempster, Laird & Rubin,
        1977), https://doi.org/10.1111/j.2517-6161.1977.tb01600.x

    Arguments:
        space: What one example is.
        components: The number of Gaussians; none means 20 for up to 16 values, and 10 for more.
        covariance: The kind of covariance matrix: full (one each), tied (one for all), diagonal,
            or spherical.
        shrinkage: The rows' worth of pull of each covariance towards that of the whole data;
            none means a third of the number of values, 0 plain maximum likelihood.
        floor: What is added to each variance, in units of the values' own variance.
        tolerance: The gain in nats per row under which an iteration counts as no gain.
        steps: The number of iterations where no budget is given.
    """
    bridge = dequantising(space)
    if components is None:
        components = 20 if space.features <= 16 else 10
    mixture = GaussianMixture(
        space.features,
        components,
        COVARIANCES[covariance],
        floor=floor,
        shrinkage=space.features / 3 if shrinkage is None else shrinkage,
    )
    return Algorithm(
        bridged(mixture, bridge, space),
        EMLearner(
            mixture, tolerance=tolerance, patience=5 if bridge.stochastic else 1, bridge=bridge
        ),
        batch_size=None,
        steps=steps,
        constraints=("parametric",),
        patience=10,
    )
