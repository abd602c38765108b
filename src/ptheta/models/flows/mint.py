"""Layers of MintNet: masked networks whose Jacobian is triangular."""

__all__ = ["Mint", "mint_of_images", "mint_of_vectors"]

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ptheta.models.flows.bijections import Bijection
from ptheta.models.flows.fixed_point import with_implicit_gradient
from ptheta.networks.monotone import Monotone, MonotoneConv2d, MonotoneLinear, MonotoneNetwork

_START = 0.1  # of the weights of a layer that would keep the variance


class Mint(Bijection):
    r"""Adds a masked network that grows with each value: :math:`z = t \odot x + h(x)`, t > 0.

    Its Jacobian is triangular, with a positive diagonal :math:`s = t + \partial h_i / \partial x_i`
    that the network gives beside its outputs. Data are found for all values at once, by

    .. math:: x \leftarrow x - \alpha \, (z(x) - z) / s(x)

    which converges near the solution for steps :math:`\alpha < 2`. From afar Newton's steps can
    miss; so the step of a value is halved whenever it missed by more than before, and grows again
    to 1.

    References:
        MintNet: Building Invertible Neural Networks with Masked Convolutions (Song, Meng & Ermon,
        2019), https://arxiv.org/abs/1907.07945, section 3 and algorithm 1

    Arguments:
        network: The masked network h.
        shape: The shape of an example: (values,), or (channels, height, width).
        backwards: Whether the order of the values is from the last to the first.
        iterations: The largest number of steps; beyond it RuntimeError is raised.
    """

    def __init__(
        self,
        network: MonotoneNetwork,
        shape: tuple[int, ...],
        *,
        backwards: bool = False,
        iterations: int = 1000,
    ) -> None:
        super().__init__()
        self.network = network
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.turned = tuple(range(1, len(shape) + 1)) if backwards else ()
        self.iterations = iterations

    def inverse_and_log_det(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, slope = self._map(self._turn(x), context)
        return self._turn(z), slope.log().flatten(1).sum(dim=1)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._turn(self._solve(self._turn(z), context)[0])

    def forward_and_log_det(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, slope = self._solve(self._turn(z), context)
        return self._turn(x), -slope.log().flatten(1).sum(dim=1)

    def _turn(self, x: Tensor) -> Tensor:
        return x.flip(self.turned) if self.turned else x

    def _map(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        y, slope = self.network(x, context)
        scale = self.log_scale.exp()
        return torch.addcmul(y, scale, x), scale + slope

    def _solve(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, slope = self._iterate(z, context)
        if not torch.is_grad_enabled():
            return x, slope

        def step(x: Tensor) -> Tensor:
            return x - (self._map(x, context)[0] - z) / slope

        # values depend on earlier ones only, which solves for gradients in as many steps
        x = with_implicit_gradient(step, x, tolerance=0.0, iterations=z[0].numel() if len(z) else 0)
        return x, self._map(x, context)[1]

    @torch.no_grad()
    def _iterate(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, alpha, before = z, torch.ones_like(z), torch.zeros_like(z)
        eps = torch.finfo(z.dtype).eps
        left = torch.zeros((), dtype=torch.long)
        for _ in range(self.iterations):
            y, slope = self._map(x, context)
            miss = y - z
            move = miss / slope
            size = x.abs().clamp(min=1)
            # where the map is flat, rounding alone moves values by more
            settled = (move.abs() <= eps**0.75 * size) | (
                miss.abs() <= 16 * eps * z.abs().max(size)
            )
            left = (~settled).sum()
            if not left:
                return x - move, slope
            # what misses on one side because earlier values moved is no overshoot
            overshot = (miss * before < 0) & (miss.abs() > before.abs() / 2)
            alpha = torch.where(overshot, alpha / 2, (2 * alpha).clamp(max=1))
            x, before = x - alpha * move, miss
        raise RuntimeError(
            f"the inverse was not reached: {left.item()} of {z.numel()} values still change after "
            f"{self.iterations} steps"
        )


def mint_of_vectors(
    features: int,
    hidden_features: Sequence[int],
    context_features: int = 0,
    *,
    backwards: bool = False,
) -> Mint:
    """A layer of MintNet for vectors.

    Arguments:
        features: The number of values.
        hidden_features: The number of units of each value, in each hidden layer.
        context_features: The number of features of the context.
        backwards: Whether the order of the values is from the last to the first.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> map_, x = mint_of_vectors(3, [4, 4]), torch.randn(2, 3)
        >>> torch.allclose(map_(map_.inverse(x)), x, atol=1e-4)
        True
    """
    values = torch.arange(features)
    owners = [values.repeat_interleave(units) for units in (1, *hidden_features, 1)]
    layers = [MonotoneLinear(a, b, context_features) for a, b in pairwise(owners)]
    return _mint(layers, owners, (features,), backwards)


def mint_of_images(
    shape: tuple[int, int, int],
    hidden_channels: Sequence[int],
    context_features: int = 0,
    *,
    kernel_size: int = 3,
    backwards: bool = False,
) -> Mint:
    """A layer of MintNet for images.

    Arguments:
        shape: The channels, height and width.
        hidden_channels: The number of channels of each colour, in each hidden layer.
        context_features: The number of features of the context.
        kernel_size: The width of the kernels, an odd number.
        backwards: Whether the order of the values is from the last to the first.
    """
    colours = torch.arange(shape[0])
    owners = [colours.repeat_interleave(channels) for channels in (1, *hidden_channels, 1)]
    layers = [MonotoneConv2d(a, b, kernel_size, context_features) for a, b in pairwise(owners)]
    return _mint(layers, owners, shape, backwards)


def _mint(
    layers: Sequence[Monotone], owners: Sequence[Tensor], shape: tuple[int, ...], backwards: bool
) -> Mint:
    with torch.no_grad():
        # the map starts near the identity: many far from it have heavy tails
        layers[-1].get_parameter("layer.weight").mul_(_START)
    sizes = [len(owner) for owner in owners[1:-1]]
    return Mint(MonotoneNetwork(layers, sizes), shape, backwards=backwards)
