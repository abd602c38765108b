"""Networks that bring any two inputs nearer to each other."""

__all__ = ["Contraction", "Function", "contraction_of_images", "contraction_of_vectors"]

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from ptheta.networks.context import ContextShift, check_features
from ptheta.networks.lipschitz import Bounded, BoundedConv2d, BoundedLinear

Function = Callable[[Tensor, Tensor | None], Tensor]


class Contraction(nn.Module):
    r"""Bounded layers with activations between them, :math:`|g(x) - g(y)| \le c \, |x - y|`.

    Features of a context shift the outputs of every layer, by as much as they like.

    Arguments:
        layers: The layers, the product of whose bounds is the constant c.
        sizes: The number of features, or of channels, that each gives.
        activation: Makes an activation whose slope is at most 1.
        context_features: The number of features of the context; 0 means that there is none.
    """

    def __init__(
        self,
        layers: Sequence[Bounded],
        sizes: Sequence[int],
        activation: Callable[[], nn.Module],
        context_features: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.steps = tuple(layers)
        self.activations = nn.ModuleList(activation() for _ in layers[1:])
        self.sizes = list(sizes)
        self.context_features = context_features
        self.given = ContextShift.of(context_features, sum(sizes))

    def bounded(self) -> Function:
        """The network as a function of x and the context, whose weights are bounded once."""
        first, *others = [layer.bounded() for layer in self.steps]

        def evaluate(x: Tensor, context: Tensor | None) -> Tensor:
            start, *shifts = self._shifts(context)
            h = _shifted(first(x), start)
            for activation, layer, shift in zip(self.activations, others, shifts, strict=True):
                h = _shifted(layer(activation(h)), shift)
            return h

        return evaluate

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Maps x, with shape (batch, ...), to the like."""
        return self.bounded()(x, context)

    def _shifts(self, context: Tensor | None) -> Sequence[Tensor | None]:
        check_features(context, self.context_features)
        if self.given is None:
            return [None] * len(self.sizes)
        return self.given(context).split(self.sizes, dim=1)


def contraction_of_vectors(
    features: int,
    hidden_features: Sequence[int],
    activation: Callable[[], nn.Module],
    *,
    lipschitz: float,
    context_features: int = 0,
) -> Contraction:
    """A multilayer perceptron that is a contraction.

    Arguments:
        features: The number of values of an example.
        hidden_features: The sizes of the hidden layers.
        activation: Makes an activation whose slope is at most 1.
        lipschitz: The largest slope that is allowed, below 1.
        context_features: The number of features of the context.

    Example:
        >>> import torch
        >>> net = contraction_of_vectors(2, [16, 16], nn.ELU, lipschitz=0.9)
        >>> net(torch.zeros(5, 2)).shape
        torch.Size([5, 2])
    """
    sizes = (*hidden_features, features)
    bound = _of_each(lipschitz, len(sizes))
    layers = [BoundedLinear(a, b, bound) for a, b in pairwise((features, *sizes))]
    return Contraction(layers, sizes, activation, context_features)


def contraction_of_images(
    shape: tuple[int, int, int],
    hidden_channels: int,
    activation: Callable[[], nn.Module],
    *,
    lipschitz: float,
    context_features: int = 0,
) -> Contraction:
    """Convolutions of 3x3, 1x1 and 3x3 that are a contraction of images.

    References:
        Invertible Residual Networks (Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, 2019),
        https://arxiv.org/abs/1811.00995, appendix, for the sizes of the kernels

    Arguments:
        shape: The channels, height and width of the images.
        hidden_channels: The number of channels of the hidden layers.
        activation: Makes an activation whose slope is at most 1.
        lipschitz: The largest slope that is allowed, below 1.
        context_features: The number of features of the context.
    """
    channels, *size = shape
    sizes = (hidden_channels, hidden_channels, channels)
    bound = _of_each(lipschitz, len(sizes))
    ends = pairwise((channels, *sizes))
    layers = [
        BoundedConv2d(a, b, kernel, (size[0], size[1]), bound)
        for (a, b), kernel in zip(ends, (3, 1, 3), strict=True)
    ]
    return Contraction(layers, sizes, activation, context_features)


def _of_each(lipschitz: float, layers: int) -> float:
    if not 0 < lipschitz < 1:
        raise ValueError(f"a contraction has a slope between 0 and 1, got {lipschitz}")
    return lipschitz ** (1 / layers)


def _shifted(h: Tensor, shift: Tensor | None) -> Tensor:
    return h if shift is None else h + shift.reshape(*shift.shape, *(1,) * (h.dim() - 2))
