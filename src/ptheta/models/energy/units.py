"""The visible units of a Boltzmann machine: their statistics, and draws given a field."""

__all__ = ["BinaryUnits", "CategoricalUnits", "GaussianUnits", "Units", "bias_of", "coins"]

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Units(nn.Module, ABC):
    r"""Units of an exponential family, whose statistics T(v) a field f multiplies.

    .. math:: \log \tilde p(v \mid f) = \log \tilde p(v) + f^T T(v)

    Required: the statistics, the base measure with the units' own biases, and draws.

    Arguments:
        shape: The shape of one example.
        statistics_features: The number of statistics of one example.
    """

    def __init__(self, shape: tuple[int, ...], statistics_features: int) -> None:
        super().__init__()
        self.shape = shape
        self.statistics_features = statistics_features

    @abstractmethod
    def statistics(self, x: Tensor) -> Tensor:
        """T(x), with shape (batch, statistics_features)."""

    @abstractmethod
    def log_base(self, x: Tensor) -> Tensor:
        """log p(x) up to a constant where the field is zero, with shape (batch,)."""

    @abstractmethod
    def log_partition(self, field: Tensor) -> Tensor:
        """The log of the sum, or integral, of the density over all x, with shape (batch,).

        Arguments:
            field: The field, with shape (batch, statistics_features).
        """

    @abstractmethod
    def draw(self, field: Tensor) -> Tensor:
        """Draws given a field of shape (n, statistics_features), with shape (n, *shape)."""

    @abstractmethod
    def fit(self, x: Tensor) -> None:
        """Sets the biases so that, without a field, the units follow examples one by one."""

    @abstractmethod
    def fitted_field(self) -> Tensor:
        """The field that takes the units back to where they were fitted, one number a statistic."""

    def log_prob(self, x: Tensor, field: Tensor) -> Tensor:
        """log p(x) in nats given a field of shape (batch, statistics_features), normalised."""
        tilted = self.log_base(x) + (self.statistics(x) * field).sum(dim=1)
        return tilted - self.log_partition(field)

    def start(self, n: int) -> Tensor:
        """Draws of the units as they were fitted, with shape (n, *shape)."""
        return self.draw(self.fitted_field().expand(n, -1))


class BinaryUnits(Units):
    """Units of 0 and 1.

    Arguments:
        shape: The shape of one example.

    Example:
        >>> units = BinaryUnits((2,))
        >>> round(units.log_partition(torch.zeros(1, 2)).exp().item(), 4)
        4.0
    """

    fitted: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, math.prod(shape))
        self.bias = nn.Parameter(torch.zeros(self.statistics_features))
        self.register_buffer("fitted", torch.zeros(self.statistics_features))

    def statistics(self, x: Tensor) -> Tensor:
        return x.flatten(1).to(self.bias.dtype)

    def log_base(self, x: Tensor) -> Tensor:
        return self.statistics(x) @ self.bias

    def log_partition(self, field: Tensor) -> Tensor:
        return F.softplus(field + self.bias).sum(dim=-1)

    @torch.no_grad()
    def draw(self, field: Tensor) -> Tensor:
        return coins(torch.sigmoid(field + self.bias)).unflatten(1, self.shape)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        ones = self.statistics(x).sum(dim=0)
        # half a count of each value, so that no bias is infinite
        self.fitted.copy_(torch.logit((ones + 0.5) / (len(x) + 1)))
        self.bias.copy_(self.fitted)

    def fitted_field(self) -> Tensor:
        return self.fitted - self.bias

    def changes(self, x: Tensor, slope: Tensor) -> Tensor:
        """By how much a function of the statistics grows to first order, by value and its new code.

        Arguments:
            x: The examples, with shape (batch, *shape).
            slope: The gradient of the function, with shape (batch, statistics_features).

        Returns:
            The growth, with shape (batch, values, 2), zero at the code that a value has.
        """
        ones = self.statistics(x)
        return torch.stack([-ones * slope, (1 - ones) * slope], dim=2)


class CategoricalUnits(Units):
    """Units of one of several categories, each with a statistic for each category.

    Arguments:
        shape: The shape of one example.
        categories: The number of categories.

    Example:
        >>> units = CategoricalUnits((2,), categories=3)
        >>> round(units.log_partition(torch.zeros(1, 6)).exp().item(), 4)
        9.0
    """

    fitted: Tensor

    def __init__(self, shape: tuple[int, ...], categories: int) -> None:
        super().__init__(shape, math.prod(shape) * categories)
        self.categories = categories
        self.bias = nn.Parameter(torch.zeros(self.statistics_features))
        self.register_buffer("fitted", torch.zeros(self.statistics_features))

    def statistics(self, x: Tensor) -> Tensor:
        return F.one_hot(x.flatten(1).long(), self.categories).flatten(1).to(self.bias.dtype)

    def log_base(self, x: Tensor) -> Tensor:
        return self.statistics(x) @ self.bias

    def log_partition(self, field: Tensor) -> Tensor:
        return self._logits(field).logsumexp(dim=-1).sum(dim=-1)

    @torch.no_grad()
    def draw(self, field: Tensor) -> Tensor:
        logits = self._logits(field)
        # the largest of logits with Gumbel noise follows their softmax
        gumbel = -torch.empty_like(logits).exponential_().log()
        return (logits + gumbel).argmax(dim=-1).unflatten(1, self.shape)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        self.fitted.copy_((self.statistics(x).sum(dim=0) + 0.5).log())
        self.bias.copy_(self.fitted)

    def fitted_field(self) -> Tensor:
        return self.fitted - self.bias

    def changes(self, x: Tensor, slope: Tensor) -> Tensor:
        """As `BinaryUnits.changes`, with shape (batch, values, categories)."""
        each = slope.unflatten(1, (-1, self.categories))
        return each - each.gather(2, x.flatten(1).long()[:, :, None])

    def _logits(self, field: Tensor) -> Tensor:
        return (field + self.bias).unflatten(-1, (-1, self.categories))


class GaussianUnits(Units):
    r"""Real units, with a mean and a standard deviation of their own.

    .. math:: \log \tilde p(v) = - \sum_i \frac{(v_i - b_i)^2}{2 \sigma_i^2},
        \qquad T_i(v) = \frac{v_i}{\sigma_i}

    References:
        Improved Learning of Gaussian-Bernoulli Restricted Boltzmann Machines (Cho, Ilin & Raiko,
        2011), https://doi.org/10.1007/978-3-642-21735-7_2, with :math:`v / \sigma` as the statistic

    Arguments:
        shape: The shape of one example.

    Example:
        >>> units = GaussianUnits((2,))
        >>> round(units.log_partition(torch.zeros(1, 2)).exp().item() / (2 * math.pi), 4)
        1.0
    """

    fitted: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, math.prod(shape))
        self.mean = nn.Parameter(torch.zeros(self.statistics_features))
        self.log_scale = nn.Parameter(torch.zeros(self.statistics_features))
        self.register_buffer("fitted", torch.zeros(self.statistics_features))

    def statistics(self, x: Tensor) -> Tensor:
        return x.flatten(1) * (-self.log_scale).exp()

    def log_base(self, x: Tensor) -> Tensor:
        z = (x.flatten(1) - self.mean) * (-self.log_scale).exp()
        return -z.square().sum(dim=1) / 2

    def log_partition(self, field: Tensor) -> Tensor:
        # the field moves the mean by a standard deviation for each unit of it
        shift = field * self.mean * (-self.log_scale).exp() + field.square() / 2
        return (shift + self.log_scale + math.log(2 * math.pi) / 2).sum(dim=-1)

    @torch.no_grad()
    def draw(self, field: Tensor) -> Tensor:
        z = field + torch.randn_like(field)
        return torch.addcmul(self.mean, self.log_scale.exp(), z).unflatten(1, self.shape)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        flat = x.flatten(1)
        self.fitted.copy_(flat.mean(dim=0))
        self.mean.copy_(self.fitted)
        self.log_scale.copy_(flat.std(dim=0, correction=0).clamp(min=1e-3).log())

    def fitted_field(self) -> Tensor:
        return (self.fitted - self.mean) * (-self.log_scale).exp()


def bias_of(units: Units) -> Tensor:
    """The biases of units that are known to be binary, as those of hidden layers are."""
    assert isinstance(units, BinaryUnits)
    return units.bias


def coins(probabilities: Tensor) -> Tensor:
    """Draws of 0 and 1, shaped as their probabilities."""
    # on the processor a comparison takes a third of the time of torch.bernoulli
    return (torch.rand_like(probabilities) < probabilities).to(probabilities.dtype)
