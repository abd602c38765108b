"""Units of several kinds side by side, as one layer."""

__all__ = ["JoinedUnits"]

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ptheta.models.energy.units import Units


class JoinedUnits(Units):
    """Units of several kinds side by side; an example is one row of all their values.

    Arguments:
        parts: The units. One that comes twice is two copies with the same biases.

    Example:
        >>> from ptheta.models.energy.units import BinaryUnits, CategoricalUnits
        >>> units = JoinedUnits([BinaryUnits((2, 2)), CategoricalUnits((1,), categories=3)])
        >>> round(units.log_partition(torch.zeros(1, 7)).exp().item(), 4)
        48.0
    """

    def __init__(self, parts: Sequence[Units]) -> None:
        sizes = [math.prod(part.shape) for part in parts]
        statistics = [part.statistics_features for part in parts]
        super().__init__((sum(sizes),), sum(statistics))
        self._sizes = sizes
        self._statistics = statistics
        self.parts: Sequence[Units] = nn.ModuleList(parts)  # pyright: ignore

    def statistics(self, x: Tensor) -> Tensor:
        return torch.cat([part.statistics(own) for part, own in self._each(x)], dim=1)

    def log_base(self, x: Tensor) -> Tensor:
        return torch.stack([part.log_base(own) for part, own in self._each(x)]).sum(dim=0)

    def log_partition(self, field: Tensor) -> Tensor:
        each = [part.log_partition(own) for part, own in self._fields(field)]
        return torch.stack(each).sum(dim=0)

    def draw(self, field: Tensor) -> Tensor:
        return self.join([part.draw(own) for part, own in self._fields(field)])

    def fit(self, x: Tensor) -> None:
        for part, own in self._each(x):
            part.fit(own)

    def fitted_field(self) -> Tensor:
        return torch.cat([part.fitted_field() for part in self.parts])

    def join(self, values: Sequence[Tensor]) -> Tensor:
        """Rows of all values, from those of each part with shape (n, *its shape)."""
        return torch.cat([own.flatten(1) for own in values], dim=1)

    def take_apart(self, x: Tensor) -> list[Tensor]:
        """The values of each part, with shape (n, *its shape), from rows of all."""
        flat = x.split(self._sizes, dim=1)
        return [own.unflatten(1, part.shape) for part, own in zip(self.parts, flat, strict=True)]

    def _each(self, x: Tensor) -> Iterator[tuple[Units, Tensor]]:
        return zip(self.parts, self.take_apart(x), strict=True)

    def _fields(self, field: Tensor) -> Iterator[tuple[Units, Tensor]]:
        return zip(self.parts, field.split(self._statistics, dim=-1), strict=True)
