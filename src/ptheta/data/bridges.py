r"""Bridges: exact changes of variable between data of any kind and the reals.

A bridge maps data :math:`x` to reals :math:`u` and counts the log-determinant, so that a density
on the reals is a density of the data,

.. math:: \log p(x) = \log p(u) + \log \left| \det \frac{\partial u}{\partial x} \right| .

Levels are made real by adding uniform noise. That turns an exact density of :math:`u` into a
lower bound on the mass of :math:`x`, by Jensen's inequality; bridges that do so are `stochastic`.

References:
    A note on the evaluation of generative models (Theis, van den Oord & Bethge, 2016),
    https://arxiv.org/abs/1511.01844, section 3.1
"""

__all__ = [
    "Bridge",
    "Chain",
    "Dequantise",
    "Flatten",
    "Log",
    "Logit",
    "Scale",
    "Standardise",
]

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Bridge(nn.Module, ABC):
    """A map from data to reals and back.

    Required: `to_reals`, `to_data`. Optional: `initialize`, which fits to training data;
    `at_centre`, where `to_reals` draws noise; `at_start`, where it asks a network. Promised:
    ``to_data(to_reals(x)[0]) == x``.
    """

    stochastic: bool = False

    @abstractmethod
    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps data to reals.

        Arguments:
            x: The examples, with shape (batch, *shape).

        Returns:
            The reals, and the log-determinant with shape (batch,).
        """

    @abstractmethod
    def to_data(self, u: Tensor) -> Tensor:
        """Maps reals to data, with shape (batch, *shape); nothing is left outside the space."""

    def at_centre(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `to_reals`, with the mean of the noise in place of a draw."""
        return self.to_reals(x)

    def at_start(self, x: Tensor) -> Tensor:
        """The reals that `to_reals` gives before anything is learned, at little cost."""
        return self.to_reals(x)[0]

    def initialize(self, x: Tensor) -> None:
        """Fits what depends on the training data."""


class Chain(Bridge):
    """Bridges one after the other.

    Arguments:
        bridges: The bridges, from the data's side to the reals' side.
    """

    def __init__(self, bridges: Sequence[Bridge]) -> None:
        super().__init__()
        self.bridges = nn.ModuleList(bridges)
        self.steps = tuple(bridges)
        self.stochastic = any(bridge.stochastic for bridge in bridges)

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = torch.zeros((), device=x.device)
        for bridge in self.steps:
            x, step = bridge.to_reals(x)
            log_det = log_det + step
        return x, log_det.expand(len(x))

    def at_centre(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = torch.zeros((), device=x.device)
        for bridge in self.steps:
            x, step = bridge.at_centre(x)
            log_det = log_det + step
        return x, log_det.expand(len(x))

    def to_data(self, u: Tensor) -> Tensor:
        for bridge in reversed(self.steps):
            u = bridge.to_data(u)
        return u

    def at_start(self, x: Tensor) -> Tensor:
        for bridge in self.steps:
            x = bridge.at_start(x)
        return x

    def initialize(self, x: Tensor) -> None:
        for bridge in self.steps:
            bridge.initialize(x)
            x = bridge.at_start(x)


class Flatten(Bridge):
    """From any shape to a vector.

    Arguments:
        shape: The shape of one example.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), torch.zeros((), device=x.device)

    def to_data(self, u: Tensor) -> Tensor:
        return u.reshape(len(u), *self.shape)


class Dequantise(Bridge):
    r"""Adds noise to levels: :math:`u = x + \epsilon`, :math:`\epsilon \sim U[0, 1)` or learned.

    The log-determinant of noise of another density than 1 is minus its log-density. Back, a real
    falls to the level below it, and beyond the ends to the last level.

    Arguments:
        levels: The number of levels of each value, with the shape of one example; 0 where a
            value is real already and is left alone.
        dtype: The dtype of the data, for the way back.
        noise: What draws noise in [0, 1] given examples all of whose values are levels, with its
            log-density, and starts uniform; None means uniform noise.
    """

    stochastic = True
    levels: Tensor

    def __init__(self, levels: Tensor, dtype: torch.dtype, noise: nn.Module | None = None) -> None:
        super().__init__()
        self.noise = noise
        self.register_buffer("levels", levels, persistent=False)
        self.dtype = dtype
        self.everywhere = bool((levels > 0).all())

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.noise is not None:
            noise, log_density = self.noise(x)
            return x + noise, -log_density
        return self._shift(x, torch.rand(x.shape, device=x.device))

    def at_start(self, x: Tensor) -> Tensor:
        return self._shift(x, torch.rand(x.shape, device=x.device))[0]

    def at_centre(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._shift(x, torch.full(x.shape, 0.5, device=x.device))

    def _shift(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        noise = noise if self.everywhere else noise * (self.levels > 0)
        return x + noise, torch.zeros((), device=x.device)

    def to_data(self, u: Tensor) -> Tensor:
        top = (self.levels - 1).clamp(min=0).to(u.dtype)
        floored = torch.minimum(u.floor().clamp(min=0), top)
        return (floored if self.everywhere else floored.where(self.levels > 0, u)).to(self.dtype)


class Logit(Bridge):
    r"""Maps an interval to the reals.

    .. math:: u = \mathrm{logit}(\alpha + (1 - 2 \alpha) \, x / \text{levels})

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803, section 4.1

    Arguments:
        levels: The upper end of the interval.
        alpha: How far the ends are kept from 0 and 1: from 1e-6, below which they round to them,
            and below 0.5.

    Raises:
        ValueError: alpha is none of these.
    """

    def __init__(self, levels: int, alpha: float = 0.05) -> None:
        super().__init__()
        if not 1e-6 <= alpha < 0.5:
            raise ValueError(f"the margin of a logit is from 1e-6 to below 0.5, got {alpha}")
        self.levels = levels
        self.alpha = alpha

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        p = self.alpha + (1 - 2 * self.alpha) * x / self.levels
        u = torch.log(p) - torch.log1p(-p)
        slope = math.log((1 - 2 * self.alpha) / self.levels) - torch.log(p) - torch.log1p(-p)
        return u, slope.flatten(1).sum(dim=1)

    def to_data(self, u: Tensor) -> Tensor:
        return (torch.sigmoid(u) - self.alpha) * (self.levels / (1 - 2 * self.alpha))


class Log(Bridge):
    r"""Maps positive numbers to the reals, :math:`u = \log x`.

    Arguments:
        where: Which values are positive numbers, with the shape of one example; the others are
            left alone.
    """

    where: Tensor

    def __init__(self, where: Tensor) -> None:
        super().__init__()
        self.register_buffer("where", where, persistent=False)

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = torch.where(self.where, x.log(), x)
        log_det = torch.where(self.where, -u, torch.zeros_like(u)).nan_to_num(nan=0.0)
        return u, log_det.flatten(1).sum(dim=1)

    def to_data(self, u: Tensor) -> Tensor:
        # what overflows is put at the end of what a number can be
        limits = torch.finfo(torch.float32)
        return torch.where(self.where, u.exp().clamp(min=limits.tiny, max=limits.max), u)


class Scale(Bridge):
    r"""Divides positive values by their mean, :math:`u = x / \mu`, by the training data.

    Arguments:
        where: Which values to scale, with the shape of one example; the others are left alone.
        dtype: The dtype of the data, for the way back.
    """

    where: Tensor
    scale: Tensor
    reals: Tensor

    def __init__(self, where: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        # empty: it follows the dtype of the model, as weights do
        self.register_buffer("reals", torch.empty(0), persistent=False)
        self.register_buffer("where", where, persistent=False)
        self.register_buffer("scale", torch.ones(where.shape, dtype=torch.float64))
        self.dtype = dtype

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = (x / self.scale).to(self.reals.dtype)
        log_det = -self.scale.log().to(self.reals.dtype).expand_as(u).masked_fill(u.isnan(), 0.0)
        return u, log_det.flatten(1).sum(dim=1)

    def to_data(self, u: Tensor) -> Tensor:
        # what underflows is put at the end of what a positive number can be
        x = torch.where(self.where, u.clamp(min=torch.finfo(torch.float32).tiny), u) * self.scale
        return x.to(self.dtype)

    def initialize(self, x: Tensor) -> None:
        mean = x.double().nanmean(dim=0)
        usable = self.where & mean.isfinite() & (mean > 0)
        self.scale.copy_(torch.where(usable, mean, torch.ones_like(mean)))


class Standardise(Bridge):
    r"""Centres and scales each value, :math:`u = (x - \mu) / \sigma`, by the training data.

    The arithmetic is in float64, so that data far from the origin keep their digits. A missing
    value (NaN) stays missing, and counts nothing.

    Arguments:
        shape: The shape of one example.
        where: Which values to standardise; the others are left alone. None means all.
        dtype: The dtype of the data, for the way back.
        reals: The dtype of the reals, until the bridge is brought to another.
        together: Whether all values share one mean and one scale, those of all of them.
    """

    mean: Tensor
    scale: Tensor
    where: Tensor
    reals: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        where: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        reals: torch.dtype = torch.float32,
        *,
        together: bool = False,
    ) -> None:
        super().__init__()
        self.together = together
        everything = torch.ones(shape, dtype=torch.bool)
        self.register_buffer("where", everything if where is None else where, persistent=False)
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(shape, dtype=torch.float64))
        # empty: it follows the dtype of the model, as weights do
        self.register_buffer("reals", torch.empty(0, dtype=reals), persistent=False)
        self.dtype = dtype

    def to_reals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = ((x - self.mean) / self.scale).to(self.reals.dtype)
        log_det = -self.scale.log().to(self.reals.dtype).expand_as(u).masked_fill(u.isnan(), 0.0)
        return u, log_det.flatten(1).sum(dim=1)

    def to_data(self, u: Tensor) -> Tensor:
        return (u * self.scale + self.mean).to(self.dtype)

    def initialize(self, x: Tensor) -> None:
        x = x.double()
        if self.together:
            x = x.reshape(-1, *[1] * len(self.mean.shape))
        seen = ~x.isnan()
        count = seen.sum(dim=0).clamp(min=1)
        mean = x.nan_to_num(nan=0.0).sum(dim=0) / count
        spread = ((x - mean).nan_to_num(nan=0.0).square().sum(dim=0) / count).sqrt()
        scale = torch.where(spread > 0, spread, torch.ones_like(spread))
        self.mean.copy_(torch.where(self.where, mean, torch.zeros_like(mean)))
        self.scale.copy_(torch.where(self.where, scale, torch.ones_like(scale)))
