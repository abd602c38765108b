"""What a bijection is, and bijections of bijections."""

__all__ = ["Bijection", "Composition", "Permutation"]

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible, differentiable map from noise z to data x, both of shape (batch, features).

    Required: both maps, each with its own log-determinant. Promised: they are inverse to each
    other, and their log-determinants cancel.
    """

    @abstractmethod
    def forward_and_log_det(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Maps noise to data.

        Arguments:
            z: The noise, with shape (batch, features).
            context: Features of the context, with shape (batch, context_features), or None.

        Returns:
            The data, and log |det dx/dz| with shape (batch,).
        """

    @abstractmethod
    def inverse_and_log_det(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Maps data to noise.

        Returns:
            The noise, and log |det dz/dx| with shape (batch,).
        """


class Composition(Bijection):
    """Bijections one after the other, from noise to data.

    Arguments:
        bijections: The bijections.
    """

    def __init__(self, bijections: Sequence[Bijection]) -> None:
        super().__init__()
        self.bijections = nn.ModuleList(bijections)
        self.steps = tuple(bijections)

    def forward_and_log_det(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(len(z))
        for bijection in self.steps:
            z, step = bijection.forward_and_log_det(z, context)
            log_det = log_det + step
        return z, log_det

    def inverse_and_log_det(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        for bijection in reversed(self.steps):
            x, step = bijection.inverse_and_log_det(x, context)
            log_det = log_det + step
        return x, log_det


class Permutation(Bijection):
    """A fixed reordering of the values.

    Arguments:
        order: The order: value i of the data is value order[i] of the noise.
    """

    order: Tensor
    back: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def forward_and_log_det(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z.index_select(1, self.order), z.new_zeros(len(z))

    def inverse_and_log_det(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return x.index_select(1, self.back), x.new_zeros(len(x))
