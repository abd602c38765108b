r"""The log-determinant of :math:`x + g(x)` where g is a contraction: exact, and by random series.

With J the Jacobian of g and v a random vector of independent signs,

.. math:: \log \det(I + J) = \sum_{k \ge 1} \frac{(-1)^{k+1}}{k} \, \mathbb{E} \, v^T J^k v,
    \qquad
    \partial \log \det(I + J) = \sum_{k \ge 0} (-1)^k \, \mathbb{E} \, v^T J^k (\partial J) v .

Term k is weighted by 1 where it is always taken and by 1 over the probability that it is where it
is taken at random, so that the mean is that of the whole series. The second series needs one pass
with gradient, however many terms there are, and so no more memory than that.

References:
    Invertible Residual Networks (Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, 2019),
    https://arxiv.org/abs/1811.00995, section 3.2
    Residual Flows for Invertible Generative Modeling (Chen, Behrmann, Duvenaud & Jacobsen, 2019),
    https://arxiv.org/abs/1906.02735, theorems 1 and 2, equations 6 and 8
"""

__all__ = ["PowerSeries", "RussianRoulette", "Series", "exact_log_det", "series_log_det"]

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]

_AT_ONCE = 2**21  # values of directions that are pulled back together, for the sake of memory


class Series(ABC):
    """How many terms of the series are taken, and what each weighs."""

    @abstractmethod
    def weights(self) -> list[float]:
        """The weights of the terms, as many as are taken this time."""


@dataclass(frozen=True)
class PowerSeries(Series):
    """The first terms, whose mean is off by what the others would add.

    Arguments:
        terms: The number of terms.

    Raises:
        ValueError: There is no term.

    Example:
        >>> PowerSeries(terms=3).weights()
        [1.0, 1.0, 1.0]
    """

    terms: int = 10

    def __post_init__(self) -> None:
        _refuse_none(self.terms)

    def weights(self) -> list[float]:
        return [1.0] * self.terms


@dataclass(frozen=True)
class RussianRoulette(Series):
    """A number of terms drawn anew each time, whose mean is that of the whole series.

    After those that are always taken, each further one is followed by the next with a fixed
    probability. Its variance is finite for certain where that probability exceeds the square of
    the Lipschitz constant.

    Arguments:
        terms: The number of terms that are always taken.
        stop: The probability that no further term is taken.

    Raises:
        ValueError: There is no term, or the probability is not between 0 and 1.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> RussianRoulette(terms=2, stop=0.5).weights()[:2]
        [1.0, 1.0]
    """

    terms: int = 2
    stop: float = 0.5

    def __post_init__(self) -> None:
        _refuse_none(self.terms)
        if not 0 < self.stop < 1:
            raise ValueError(f"the probability to stop is between 0 and 1, got {self.stop}")

    def weights(self) -> list[float]:
        # the number of trials up to the first that succeeds, so one term at least
        further = int(torch.empty(()).geometric_(self.stop)) - 1
        rarer = [(1 - self.stop) ** -k for k in range(1, further + 1)]
        return [1.0] * self.terms + rarer


def exact_log_det(g: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """The function and the log-determinant of x + g(x), by the Jacobian of every row.

    Arguments:
        g: A contraction, which maps each row alone.
        x: The inputs, with shape (batch, ...).

    Returns:
        The function, shaped as x, and the log-determinant with shape (batch,).
    """
    y, pull = torch.func.vjp(g, x)[:2]
    values = x.shape[1:].numel()
    basis = torch.eye(values, dtype=x.dtype, device=x.device)
    directions = basis.reshape(values, 1, *x.shape[1:]).expand(values, *x.shape)
    together = max(1, _AT_ONCE // max(1, x.numel()))
    pulled = torch.vmap(pull, chunk_size=min(values, together))(directions)[0]
    jacobian = pulled.flatten(2).transpose(0, 1)
    return y, torch.linalg.slogdet(basis + jacobian).logabsdet


def series_log_det(
    g: Function, x: Tensor, weights: Sequence[float], probes: int = 1
) -> tuple[Tensor, Tensor]:
    """The function and an estimate of the log-determinant of x + g(x), by a random series.

    Its gradient is an estimate of the gradient, and not that of the estimate; it has no second.

    Arguments:
        g: A contraction, which maps each row alone.
        x: The inputs, with shape (batch, ...).
        weights: The weights of the terms.
        probes: The number of random vectors of each row.

    Returns:
        The function, shaped as x, and the estimate with shape (batch,).

    Raises:
        ValueError: In the backward pass: a gradient of the gradient is asked for.
    """
    with torch.enable_grad():
        at = x if x.requires_grad else x.detach().requires_grad_()
        y = g(at)
    found = torch.stack([_probe(y, at, weights) for _ in range(probes)]).mean(dim=0)
    return (y, found) if torch.is_grad_enabled() else (y.detach(), found)


def _probe(y: Tensor, at: Tensor, weights: Sequence[float]) -> Tensor:
    v = torch.empty_like(at).bernoulli_(0.5).mul_(2).sub_(1)
    term, row = v, torch.zeros_like(v)
    value = v.new_zeros(len(v))
    for k, weight in enumerate(weights, 1):
        row = row - (-1) ** k * weight * term
        (term,) = torch.autograd.grad(y, at, term, retain_graph=True)
        value = value - (-1) ** k * weight / k * _inner(term, v)
    if not torch.is_grad_enabled():
        return value
    (pulled,) = torch.autograd.grad(y, at, row, create_graph=True)
    carrier = _inner(pulled, v)
    carrier.register_hook(_refuse_second)
    return value + carrier - carrier.detach()


def _refuse_second(gradient: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        raise ValueError(
            "the estimate of a log-determinant has no second derivative; take the exact one, by "
            "log_prob or inverse_and_log_det"
        )
    return gradient


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(dim=1)


def _refuse_none(terms: int) -> None:
    if terms < 1:
        raise ValueError(f"a series takes at least one term, got {terms}")
