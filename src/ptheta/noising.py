r"""What samplers and objectives ask of a path from data to noise, and of a score along it.

A path noises an example :math:`x` to

.. math:: x_t = \alpha(t) x + \sigma(t) \epsilon, \quad \epsilon \sim N(0, I),

with t in [0, 1], 0 for data and 1 for noise.
"""

__all__ = [
    "Path",
    "Predict",
    "Prediction",
    "SupportsNoisedClassify",
    "SupportsNoisedScore",
    "SupportsPredict",
    "SupportsPredictAt",
]

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class Path(Protocol):
    """A path from data to noise."""

    def alpha(self, t: Tensor) -> Tensor:
        """The scale of the data at t, shaped as t."""
        ...

    def sigma(self, t: Tensor) -> Tensor:
        """The scale of the noise at t, shaped as t."""
        ...

    def times(self) -> Tensor:
        """The levels t at which a model is trained and sampled, ascending."""
        ...


class Prediction(NamedTuple):
    r"""What an example and its noise are expected to be, given the two mixed.

    They fit together, :math:`x_t = \alpha(t) \hat x + \sigma(t) \hat \epsilon`, so each says the
    other, but for the ends of a path.

    Arguments:
        data: :math:`\hat x = \mathbb{E}[x \mid x_t]`, shaped as the examples.
        noise: :math:`\hat \epsilon = \mathbb{E}[\epsilon \mid x_t]`, shaped as the examples.
        spread: Where the variance of a step back lies between the least and the most that it can
            be, in its logarithm, from 0 to 1, shaped as the examples; None where the least is
            taken.
    """

    data: Tensor
    noise: Tensor
    spread: Tensor | None = None


Predict = Callable[[Tensor, Tensor], Prediction]
"""From noised examples, with shape (n, *shape), and their time, a scalar."""


@runtime_checkable
class SupportsPredict(Protocol):
    """A denoiser, at every t of a path."""

    @property
    def path(self) -> Path:
        """The path along which the data are noised."""
        ...

    def predict(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float) -> Prediction:
        """What the data and the noise of noised examples are expected to be.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            context: What they are conditioned on.
            t: The time of each, with shape (batch,), or of all.
        """
        ...


@runtime_checkable
class SupportsPredictAt(SupportsPredict, Protocol):
    """A denoiser that is quicker at times which it is told of beforehand."""

    def predict_at(self, times: Tensor, context: Tensor | None = None) -> Predict:
        """The same predictions, what depends on the times alone being made at once.

        Arguments:
            times: The times, with shape (n,); other times may be asked for as well.
            context: What the examples are conditioned on, a row for each.
        """
        ...


@runtime_checkable
class SupportsNoisedScore(Protocol):
    """The score of the noised data, at every t of a path."""

    @property
    def path(self) -> Path:
        """The path along which the data are noised."""
        ...

    def score(
        self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float | None = None
    ) -> Tensor:
        """The score of the data noised to t.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            context: What they are conditioned on.
            t: The time of each, with shape (batch,), or of all; None means the least level.

        Returns:
            The gradient of log p_t by x, shaped as x.
        """
        ...


@runtime_checkable
class SupportsNoisedClassify(Protocol):
    """The probabilities of the classes of a noised example, at every t of a path."""

    @property
    def path(self) -> Path:
        """The path along which the data are noised."""
        ...

    def class_log_prob(self, x: Tensor, *, t: Tensor | float) -> Tensor:
        """log p(class | x_t) in nats.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            t: The time of each, with shape (batch,), or of all.

        Returns:
            The log-probabilities, with shape (batch, classes).
        """
        ...
