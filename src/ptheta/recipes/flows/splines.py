"""A flow that other systems take for a density they can draw from."""

__all__ = ["spline_flow"]

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Bijection, Composition
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.recipes.flows.vector import TEMPER

_BINS, _BOUND, _LAYERS = 8, 5.0, 4


def spline_flow(features: int, *, hidden_features: int = 64) -> Flow:
    """A neural spline flow of standardised vectors, of couplings where there are two values.

    Arguments:
        features: The number of values.
        hidden_features: The width of the two hidden layers in each coupling.
    """
    spline, hidden = RationalQuadratic(_BINS, _BOUND, temper=TEMPER), (hidden_features,) * 2
    if features == 1:
        maps: list[Bijection] = [MaskedAutoregressive(spline, 1, 0, hidden)]
    else:
        maps = [Coupling(spline, features, 0, hidden, flip=i % 2 == 1) for i in range(_LAYERS)]
    return Flow(Composition(maps), Gaussian(features))
