r"""What samplers and objectives ask of a path from data to noise, and of a score along it.

A path noises an example :math:`x` to

.. math:: x_t = \alpha(t) x + \sigma(t) \epsilon, \quad \epsilon \sim N(0, I),

with t in [0, 1], 0 for data and 1 for noise.
"""

__all__ = ["Path", "SupportsNoisedScore"]

from typing import Protocol, runtime_checkable

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


@runtime_checkable
class SupportsNoisedScore(Protocol):
    """The score of the noised data, at every t of a path."""

    @property
    def path(self) -> Path:
        """The path along which the data are noised."""
        ...

    def score(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float = 0.0) -> Tensor:
        """The score of the data noised to t.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            context: What they are conditioned on.
            t: The time of each, with shape (batch,), or of all.

        Returns:
            The gradient of log p_t by x, shaped as x.
        """
        ...
