"""Residual flows: a contraction added to the identity."""

__all__ = ["Residual"]

from collections.abc import Callable

import torch
from torch import Tensor

from ptheta.models.flows.bijections import Bijection, check_sizes, check_width
from ptheta.models.flows.fixed_point import fixed_point, with_implicit_gradient
from ptheta.models.flows.log_dets import Series, exact_log_det, series_log_det
from ptheta.networks.contraction import Contraction, Function

_NUMBERS = 1 << 14  # rows of Jacobians that are found at a time


class Residual(Bijection):
    r"""Adds a contraction, from data to noise: :math:`z = x + g(x)`.

    Data are found by iteration, :math:`x \leftarrow z - g(x)`, which takes as many steps as the
    slope of g asks for. The log-determinant is that of the Jacobian, in full; the estimate of it
    is a random series, for training.

    References:
        Invertible Residual Networks (Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, 2019),
        https://arxiv.org/abs/1811.00995, theorem 1 and algorithm 1
        Residual Flows for Invertible Generative Modeling (Chen, Behrmann, Duvenaud & Jacobsen,
        2019), https://arxiv.org/abs/1906.02735

    Arguments:
        network: The contraction g.
        series: The series of the estimate; None means that it is exact too.
        probes: The number of random vectors of the estimate.
        tolerance: The largest change of a value in the last step of the iteration, in rows with
            values larger than 1 as a share of the largest; None means 32 times the spacing of
            numbers near 1.
        iterations: The largest number of steps; beyond it NotConverged is raised.

    Raises:
        ValueError: The tolerance is not positive, or there are no probes or steps.

    Example:
        >>> from torch import nn
        >>> from ptheta.networks.contraction import contraction_of_vectors
        >>> _ = torch.manual_seed(0)
        >>> map_ = Residual(contraction_of_vectors(2, [8], nn.ELU, lipschitz=0.9))
        >>> x = torch.randn(3, 2)
        >>> z, log_det = map_.inverse_and_log_det(x)
        >>> torch.allclose(map_(z), x, atol=1e-4)
        True
    """

    def __init__(
        self,
        network: Contraction,
        series: Series | None = None,
        *,
        probes: int = 1,
        tolerance: float | None = None,
        iterations: int = 2000,
    ) -> None:
        super().__init__()
        if tolerance is not None and not tolerance > 0:
            raise ValueError(f"the tolerance must be positive, got {tolerance}; None chooses one")
        check_sizes("probes", probes)
        check_sizes("iterations", iterations)
        self.network = network
        self.series = series
        self.probes = probes
        self.tolerance = tolerance
        self.iterations = iterations

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        check_width(z, self.network.sizes[-1])
        g = _given(self.network.bounded(), context)
        eps = torch.finfo(z.dtype).eps
        tolerance = 32 * eps if self.tolerance is None else self.tolerance

        def step(x: Tensor) -> Tensor:
            return z - g(x)

        x = fixed_point(
            step,
            z,
            tolerance=tolerance,
            iterations=self.iterations,
            sought="the inverse of a residual layer",
        )
        return with_implicit_gradient(step, x, tolerance=tolerance, iterations=self.iterations)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        check_width(x, self.network.sizes[-1])
        return x + self.network(x, context)

    def forward_and_log_det(
        self, z: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        x = self.forward(z, context)
        return x, -self.inverse_and_log_det(x, context)[1]

    def inverse_and_log_det(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_width(x, self.network.sizes[-1])
        g = self.network.bounded()
        rows = max(1, _NUMBERS // x.shape[1:].numel())
        taken = x.split(rows)
        given = [None] * len(taken) if context is None else context.split(rows)
        parts = [
            exact_log_det(_given(g, its), part) for part, its in zip(taken, given, strict=True)
        ]
        y, log_det = (torch.cat(found) for found in zip(*parts, strict=True))
        return x + y, log_det

    def inverse_and_log_det_estimate(
        self, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if self.series is None:
            return self.inverse_and_log_det(x, context)
        check_width(x, self.network.sizes[-1])
        g = _given(self.network.bounded(), context)
        y, log_det = series_log_det(g, x, self.series.weights(), self.probes)
        return x + y, log_det


def _given(function: Function, context: Tensor | None) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x, context)
