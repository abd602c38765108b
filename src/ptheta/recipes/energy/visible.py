"""The visible units of Boltzmann machines, by the space of an example."""

__all__ = ["visible_units"]

from ptheta.data.bridges import Bridge
from ptheta.data.bridging import dequantising, standardising
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, GaussianUnits, Units
from ptheta.spaces import Categorical, Discrete, Space


def visible_units(space: Space) -> tuple[Units, Bridge]:
    """Units for examples of a space, and the bridge to what they are units of.

    They are binary on two levels, categorical on categories, and else Gaussian on standardised
    data, levels made real by uniform noise.
    """
    match space:
        case Discrete(levels=2):
            return BinaryUnits(space.shape), standardising(space)
        case Categorical():
            return CategoricalUnits(space.shape, space.categories), standardising(space)
        case _:
            return GaussianUnits((space.features,)), dequantising(space)
