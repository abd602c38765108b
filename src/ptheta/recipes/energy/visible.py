"""The visible units of Boltzmann machines, by the space of an example."""

__all__ = ["visible_units"]

from itertools import groupby

from ptheta.data.bridges import Bridge
from ptheta.data.bridging import dequantising, refuse_missing, standardising
from ptheta.models.energy.joined_units import JoinedUnits
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, GaussianUnits, Units
from ptheta.spaces import Categorical, Discrete, Space, Table


def visible_units(space: Space) -> tuple[Units, Bridge]:
    """Units for examples of a space, and the bridge to what they are units of.

    They are binary on two levels, categorical on categories, and else Gaussian on standardised
    data, levels made real by uniform noise. A table has units of
    each kind that its columns are of.

    Raises:
        PthetaError: There are values that may be missing.
    """
    match space:
        case Discrete(levels=2):
            return BinaryUnits(space.shape), standardising(space)
        case Categorical():
            return CategoricalUnits(space.shape, space.categories), standardising(space)
        case Table() if any(_codes(column.space) for column in space.columns):
            refuse_missing(space)
            return _of_columns(space), standardising(space, most_levels=2)
        case _:
            return GaussianUnits((space.features,)), dequantising(space)


def _of_columns(table: Table) -> Units:
    # a run of columns of one kind is one piece
    runs = groupby(_codes(column.space) for column in table.columns)
    parts: list[Units] = []
    for codes, run in runs:
        shape = (len(list(run)),)
        if codes == 0:
            parts.append(GaussianUnits(shape))
        elif codes == 2:
            parts.append(BinaryUnits(shape))
        else:
            parts.append(CategoricalUnits(shape, codes))
    return JoinedUnits(parts)


def _codes(space: Space) -> int:
    """The number of codes of a value, 0 where it is real or made real."""
    match space:
        case Categorical():
            return space.categories
        case Discrete(levels=2):
            return 2
        case _:
            return 0
