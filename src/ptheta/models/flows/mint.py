"""Layers of MintNet: masked networks whose Jacobian is triangular."""

__all__ = ["Mint", "mint_of_images", "mint_of_vectors"]

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ptheta.errors import NotConverged
from ptheta.models.flows.bijections import Bijection, check_shape, check_sizes
from ptheta.models.flows.fixed_point import with_implicit_gradient
from ptheta.networks.monotone import Monotone, MonotoneConv2d, MonotoneLinear, MonotoneNetwork

_START = 0.1  # of the weights of a layer that would keep the variance
_TRIES = 4  # steps by which a value must come nearer by half, or else rounding keeps it from it


class Mint(Bijection):
    r"""Adds a masked network that grows with each value: :math:`z = t \odot x + h(x)`, t > 0.

    Its Jacobian is triangular, with a positive diagonal :math:`s = t + \partial h_i / \partial x_i`
    that the network gives beside its outputs. Data are found for all values at once, by

    .. math:: x \leftarrow x - \alpha \, (z(x) - z) / s(x)

    which converges near the solution for steps :math:`\alpha < 2`. From afar Newton's steps can
    miss; so the step of a value is halved whenever it missed by more than before, and grows again
    to 1. A value that is as near as rounding allows, with all before it so, moves no more: else
    the last bits of the first values would keep the later ones moving where the map is steep. The
    first value that still moves is one equation with one unknown: it stays between the nearest
    values that were too small and too large, by their middle where a step would leave them.

    References:
        MintNet: Building Invertible Neural Networks with Masked Convolutions (Song, Meng & Ermon,
        2019), https://arxiv.org/abs/1907.07945, section 3 and algorithm 1

    Arguments:
        network: The masked network h.
        shape: The shape of an example: (values,), or (channels, height, width).
        backwards: Whether the order of the values is from the last to the first.
        iterations: The largest number of steps, beyond which NotConverged is raised; None means
            1000, and 8 more for each value.

    Raises:
        ValueError: A side of the shape is less than 1.
    """

    position: Tensor

    def __init__(
        self,
        network: MonotoneNetwork,
        shape: tuple[int, ...],
        *,
        backwards: bool = False,
        iterations: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes("shape", *shape)
        self.network = network
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.turned = tuple(range(1, len(shape) + 1)) if backwards else ()
        values = self.log_scale.numel()
        self.iterations = 1000 + 8 * values if iterations is None else iterations
        # the place of each value in the order: by pixels, and by colours within one
        places = torch.arange(values).reshape(*shape[1:], shape[0]).movedim(-1, 0)
        self.register_buffer("position", places, persistent=False)

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_shape(x, self.log_scale.shape)
        z, slope = self._map(self._turn(x), context)
        return self._turn(z), slope.log().flatten(1).sum(dim=1)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._turn(self._solve(self._turn(z), context)[0])

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        x, slope = self._solve(self._turn(z), context)
        return self._turn(x), -slope.log().flatten(1).sum(dim=1)

    def _turn(self, x: Tensor) -> Tensor:
        return x.flip(self.turned) if self.turned else x

    def _map(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        y, slope = self.network(x, context)
        scale = self.log_scale.exp()
        return torch.addcmul(y, scale, x), scale + slope

    def _solve(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        check_shape(z, self.log_scale.shape)
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
        low, high = torch.full_like(z, -torch.inf), torch.full_like(z, torch.inf)
        settled, lost, steps = _Settled(self.position, z), torch.zeros_like(z).bool(), 0
        while steps < self.iterations and not bool(lost.any()):
            steps += 1
            y, slope = self._map(x, context)
            miss = y - z
            lost = ~miss.isfinite()
            move = miss / slope
            size = x.abs().clamp(min=1)
            spacing = eps * z.abs().max(size)
            # where the map is flat, rounding alone moves values by more
            near = (miss.abs() <= 16 * spacing) | (move.abs() <= eps**0.75 * size)
            if bool((settled.fixed | near).all()):
                return x - move.masked_fill(settled.fixed, 0), slope
            settled.look(miss.abs() <= 2 * spacing, miss.abs(), move.abs() <= eps**0.5 * size)
            # what misses on one side because earlier values moved is no overshoot
            overshot = (miss * before < 0) & (miss.abs() > before.abs() / 2)
            alpha = torch.where(overshot, alpha / 2, (2 * alpha).clamp(max=1))
            low = torch.where(settled.first_moving & (miss < 0), x, low)
            high = torch.where(settled.first_moving & (miss > 0), x, high)
            next_ = x - alpha * move.masked_fill(settled.fixed, 0)
            # near the solution rounding makes the sides uncertain, and steps do not miss
            far = move.abs() > eps**0.5 * size
            outside = far & ((next_ <= low) | (next_ >= high)) & (high - low).isfinite()
            x, before = torch.where(outside, (low + high) / 2, next_), miss
        left = (lost if bool(lost.any()) else ~settled.fixed).flatten(1).any(dim=1)
        raise NotConverged(
            "the inverse of a layer of MintNet",
            rows=int(left.sum()),
            of=len(z),
            steps=steps,
            finite=bool(z[left].isfinite().all()),
        )


class _Settled:
    """Which values of each row move no more: those up to some place in the order.

    Arguments:
        position: The place of each value.
        z: A batch.
    """

    def __init__(self, position: Tensor, z: Tensor) -> None:
        self.position = position
        self.first = position.new_zeros((len(z), *(1,) * position.dim()))  # that still moves
        self.best = z.new_full(self.first.shape, torch.inf)
        self.tries = torch.zeros_like(self.first)

    @property
    def fixed(self) -> Tensor:
        return self.position < self.first

    @property
    def first_moving(self) -> Tensor:
        return self.position == self.first

    def look(self, exact: Tensor, miss: Tensor, close: Tensor) -> None:
        """Fixes values that are exact, and one that is close and comes no nearer."""
        values, every = self.position.numel(), tuple(range(1, exact.dim()))
        stuck = self.first_moving & close & (self.tries >= _TRIES)
        ends = torch.where(self.fixed | exact | stuck, values, self.position)
        first = ends.amin(dim=every, keepdim=True)
        best = torch.where(first == self.first, self.best, torch.inf)
        here = torch.where(self.position == first, miss, 0.0).sum(dim=every, keepdim=True)
        # all values before it stand still, so that a value alone is to blame for what it misses
        self.tries = torch.where(here > best / 2, self.tries + 1, 0)
        self.best, self.first = torch.minimum(best, here), first


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

    Raises:
        ValueError: The kernels are not of odd width.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> map_, x = mint_of_images((1, 4, 4), [4]), torch.randn(2, 1, 4, 4)
        >>> torch.allclose(map_(map_.inverse(x)), x, atol=1e-4)
        True
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
