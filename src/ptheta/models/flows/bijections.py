"""What a bijection is, and bijections of bijections."""

__all__ = [
    "Bijection",
    "Composition",
    "Inverse",
    "Permutation",
    "Reshaped",
    "bijections_of",
    "check_shape",
    "check_sizes",
    "check_width",
]

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible, differentiable map from noise z to data x, each with a row an example.

    Required: both maps, each with its own log-determinant. Optional: `initialize`, a start that
    depends on data; `forward` and `inverse`, the maps alone, where these cost less;
    `inverse_and_log_det_estimate`, where the exact log-determinant is dear. Promised: the maps are
    inverse to each other, and their log-determinants cancel.
    """

    @abstractmethod
    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Maps noise to data.

        Arguments:
            z: The noise, with shape (batch, ...).
            context: Features of the context, with shape (batch, context_features), or None.

        Returns:
            The data, and log |det dx/dz| with shape (batch,).
        """

    @abstractmethod
    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Maps data to noise.

        Arguments:
            x: The data, with shape (batch, ...).
            context: Features of the context, with shape (batch, context_features), or None.

        Returns:
            The noise, and log |det dz/dx| with shape (batch,).
        """

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Maps noise to data, as `forward_and_log_det` does."""
        return self.forward_and_log_det(z, context)[0]

    def inverse(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Maps data to noise, as `inverse_and_log_det` does."""
        return self.inverse_and_log_det(x, context)[0]

    def inverse_and_log_det_estimate(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Maps data to noise, with a random estimate of the log-determinant for training.

        Its gradient is an estimate as well, by the parameters and by x. Here both are exact.
        """
        return self.inverse_and_log_det(x, context)

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from data, where there is something to fit to them.

        Arguments:
            x: Data as this map meets them, with shape (batch, ...).
            context: Features of the context, with shape (batch, context_features), or None.
        """


class Composition(Bijection):
    """Bijections one after the other, from noise to data.

    Arguments:
        bijections: The bijections.

    Example:
        >>> swap, back = Permutation(torch.tensor([1, 0])), Permutation(torch.tensor([1, 0]))
        >>> Composition([swap, back])(torch.tensor([[3.0, 5.0]]))
        tensor([[3., 5.]])
    """

    def __init__(self, bijections: Iterable[Bijection]) -> None:
        super().__init__()
        self.bijections = nn.ModuleList(bijections)

    @property
    def steps(self) -> tuple[Bijection, ...]:
        """The bijections, from noise to data."""
        return bijections_of(self.bijections)

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(len(z))
        for bijection in self.steps:
            z, step = bijection.forward_and_log_det(z, context)
            log_det = log_det + step
        return z, log_det

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        for bijection in reversed(self.steps):
            x, step = bijection.inverse_and_log_det(x, context)
            log_det = log_det + step
        return x, log_det

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        for bijection in self.steps:
            z = bijection(z, context)
        return z

    def inverse(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        for bijection in reversed(self.steps):
            x = bijection.inverse(x, context)
        return x

    def inverse_and_log_det_estimate(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        for bijection in reversed(self.steps):
            x, step = bijection.inverse_and_log_det_estimate(x, context)
            log_det = log_det + step
        return x, log_det

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        for bijection in reversed(self.steps):
            bijection.initialize(x, context)
            x = bijection.inverse(x, context)


def bijections_of(modules: nn.ModuleList) -> tuple[Bijection, ...]:
    """The bijections of a list of modules, which are nothing else.

    Arguments:
        modules: The modules.
    """
    return tuple(cast("Iterable[Bijection]", modules))


def check_width(x: Tensor, width: int) -> None:
    """Refuses values that are more or fewer than a layer was made for.

    Arguments:
        x: The values, with shape (batch, values) or (batch, channels, ...).
        width: The number of values, or of channels, that the layer maps.

    Raises:
        ValueError: They are more or fewer.
    """
    if x.dim() < 2 or x.shape[1] != width:
        raise ValueError(f"this layer maps {width} values or channels, got shape {tuple(x.shape)}")


def check_shape(x: Tensor, shape: Sequence[int], what: str = "values") -> None:
    """Refuses examples of another shape than a layer was made for, which broadcasting would pass.

    Arguments:
        x: The examples, with shape (batch, ...).
        shape: The shape of one.
        what: What they are, for the message of the error.

    Raises:
        ValueError: They have another shape.
    """
    if x.dim() == 0 or x.shape[1:] != tuple(shape):
        expected = ", ".join(map(str, shape))
        raise ValueError(f"expected {what} of shape (batch, {expected}), got {tuple(x.shape)}")


def check_sizes(name: str, *sizes: int) -> None:
    """Refuses sizes of which nothing can be made.

    Arguments:
        name: The name of the argument that they are given by.
        sizes: The sizes.

    Raises:
        ValueError: One is less than 1.
    """
    if min(sizes, default=1) < 1:
        raise ValueError(f"{name} must be 1 or more, got {min(sizes)}")


class Inverse(Bijection):
    """A bijection taken the other way round.

    Arguments:
        bijection: The bijection, whose data are the noise of this one.

    Example:
        >>> from ptheta.models.flows.linear import LULinear
        >>> doubling = LULinear(2 * torch.eye(2))
        >>> Inverse(doubling)(torch.ones(1, 2)).tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.bijection.inverse_and_log_det(z, context)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.bijection.forward_and_log_det(x, context)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bijection.inverse(z, context)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bijection(x, context)


class Permutation(Bijection):
    """A fixed reordering of the values, or of the channels.

    Arguments:
        order: The order: value i of the data is value order[i] of the noise; int64, with shape
            (values,).

    Raises:
        ValueError: The order is no permutation.

    Example:
        >>> Permutation(torch.tensor([2, 0, 1]))(torch.tensor([[5.0, 6.0, 7.0]]))
        tensor([[7., 5., 6.]])
    """

    order: Tensor
    back: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        whole = not (order.is_floating_point() or order.dtype == torch.bool)
        if not whole or order.sort().values.tolist() != list(range(len(order))):
            raise ValueError(f"expected an order of {len(order)} values, got {order.tolist()}")
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_width(z, len(self.order))
        return _dealt(z, self.order), z.new_zeros(len(z))

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_width(x, len(self.order))
        return _dealt(x, self.back), x.new_zeros(len(x))


def _dealt(x: Tensor, order: Tensor) -> Tensor:
    if x.dim() > 2:
        return x.index_select(1, order)
    # the examples of a value stay beside each other in memory, as couplings leave them
    return x.t().index_select(0, order).t()


class Reshaped(Bijection):
    """A bijection of images or other shapes, as one of vectors.

    Arguments:
        bijection: The bijection.
        shape: The shape of its examples, on both sides.

    Example:
        >>> from ptheta.models.flows.linear import ActNorm
        >>> of_images = ActNorm(channels=3)
        >>> Reshaped(of_images, (3, 4, 4))(torch.zeros(5, 48)).shape
        torch.Size([5, 48])
    """

    def __init__(self, bijection: Bijection, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.bijection = bijection
        self.shape = shape

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        x, log_det = self.bijection.forward_and_log_det(self._shaped(z), context)
        return x.flatten(1), log_det

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        z, log_det = self.bijection.inverse_and_log_det(self._shaped(x), context)
        return z.flatten(1), log_det

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bijection(self._shaped(z), context).flatten(1)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bijection.inverse(self._shaped(x), context).flatten(1)

    def inverse_and_log_det_estimate(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        z, log_det = self.bijection.inverse_and_log_det_estimate(self._shaped(x), context)
        return z.flatten(1), log_det

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        self.bijection.initialize(self._shaped(x), context)

    def _shaped(self, x: Tensor) -> Tensor:
        check_shape(x, (math.prod(self.shape),))
        return x.reshape(len(x), *self.shape)
