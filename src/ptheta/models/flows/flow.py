"""A normalizing flow: a bijection of simple noise."""

__all__ = ["EstimatedFlow", "Flow"]

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from ptheta.models.flows.bases import Base
from ptheta.models.flows.bijections import Bijection, check_shape
from ptheta.models.gradient import score_of
from ptheta.models.normalised import FromFunctions, Normalised
from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Real

_FIRST_ROWS = 2000  # of the training data, from which bijections start


class Flow(Normalised):
    r"""The law of :math:`x = f(z)`, with f a bijection and z noise of a simple law.

    .. math:: \log p(x) = \log p(f^{-1}(x)) + \log |\det \partial f^{-1} / \partial x|

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770

    Arguments:
        bijection: The map from noise to data.
        base: The law of the noise.
        shape: The shape of an example; None means a vector like the noise.
        context_space: What the flow is conditioned on, or None.

    Example:
        >>> from ptheta.models.flows.bases import Gaussian
        >>> from ptheta.models.flows.linear import LULinear
        >>> flow = Flow(LULinear(2 * torch.eye(2)), Gaussian(2))
        >>> density = torch.exp(flow.log_prob(torch.zeros(1, 2)))
        >>> round(density.item() * 2 * math.pi, 4)  # a Gaussian of variance 4 in the plane
        0.25
    """

    def __init__(
        self,
        bijection: Bijection,
        base: Base,
        shape: tuple[int, ...] | None = None,
        context_space: Categorical | Real | None = None,
    ) -> None:
        super().__init__()
        self.bijection = bijection
        self.base = base
        self.shape = torch.Size((base.features,) if shape is None else shape)
        self.context = ContextFeatures(context_space)

    def forward(self, context: Tensor | None = None) -> Distribution:
        return _Pushforward(self, context)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from data, where bijections have something to fit to them.

        Arguments:
            x: The training examples, with shape (rows, *shape).
            context: What they are conditioned on.
        """
        self._check(x, self.shape, "examples")
        rows = torch.arange(0, len(x), max(1, -(-len(x) // _FIRST_ROWS)), device=x.device)
        given = None if context is None else context[rows]
        self.bijection.initialize(x[rows], self.context(given, len(rows)))

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The noise of x, with shape (batch, base.features).

        Raises:
            ValueError: Examples have another shape or dtype than the model's, or the context is
                not what the flow is conditioned on.
        """
        self._check(x, self.shape, "examples")
        return self.bijection.inverse(x, self.context(context, len(x)))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The example of noise z, with shape (batch, *shape).

        Raises:
            ValueError: The noise has another shape or dtype than the model's, or the context is
                not what the flow is conditioned on.
        """
        self._check(z, (self.base.features,), "noise")
        return self.bijection(z, self.context(context, len(z)))

    def latent(self, n: int) -> Tensor:
        """Noise for n draws, with shape (n, base.features)."""
        return self.base.draw(n)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws, with shape (n, *shape)."""
        return self.decode(self.latent(n), context)

    @torch.no_grad()
    def sample_tempered(
        self, n: int, context: Tensor | None = None, *, temperature: float
    ) -> Tensor:
        r"""Draws at a temperature T, with shape (n, *shape).

        They follow a changed law: where the flow keeps volumes and the noise is Gaussian that is
        :math:`p(x)^{1/T^2}`, brought to sum to 1, and else what the flow makes of noise that is
        nearer to zero.

        References:
            Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
            https://arxiv.org/abs/1807.03039, section 6

        Arguments:
            n: The number of draws.
            context: What they are conditioned on, with n rows.
            temperature: What the noise is multiplied by.

        Raises:
            ValueError: The temperature is negative or not finite, or the context is not what the
                flow is conditioned on.
        """
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"the temperature must be 0 or more, got {temperature}")
        return self.decode(temperature * self.latent(n), context)

    def rsample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws that carry gradient to the parameters, with shape (n, *shape)."""
        return self.decode(self.latent(n), context)

    def rsample_and_log_prob(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws that carry gradient, with shape (n, *shape), and log p of each, in one pass."""
        z = self.latent(n)
        x, log_det = self.bijection.forward_and_log_det(z, self.context(context, n))
        return x, self.base.log_prob(z) - log_det

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The gradient of log p by x, shaped as x, itself with gradient unless under `no_grad`."""
        return score_of(lambda x: self.log_prob(x, context), x)

    def log_prob_of_rows(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats, with shape (batch,), by the change of variables.

        Raises:
            ValueError: Examples have another shape or dtype than the model's, or the context is
                not what the flow is conditioned on.
        """
        self._check(x, self.shape, "examples")
        z, log_det = self.bijection.inverse_and_log_det(x, self.context(context, len(x)))
        return self.base.log_prob(z) + log_det

    def _check(self, values: Tensor, shape: Sequence[int], what: str) -> None:
        check_shape(values, shape, what)
        if values.dtype != self.base.origin.dtype:
            raise ValueError(
                f"expected {what} of {self.base.origin.dtype}, as the model is, got {values.dtype}"
            )


class EstimatedFlow(Flow):
    """A flow whose exact density is dear, with a random estimate of it for training.

    The estimate's mean is the log-density where that of the bijection's log-determinant is exact,
    and its gradient's mean is the gradient then.
    """

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """An estimate of log p(x) in nats, with shape (batch,)."""
        self._check(x, self.shape, "examples")
        given = self.context(context, len(x))
        z, log_det = self.bijection.inverse_and_log_det_estimate(x, given)
        return self.base.log_prob(z) + log_det


class _Pushforward(FromFunctions):
    """The law of a flow given its context."""

    has_rsample = True

    def __init__(self, flow: Flow, context: Tensor | None) -> None:
        super().__init__(Real(tuple(flow.shape)), flow.log_prob_of_rows, flow.sample, context)
        self.rdraw = flow.rsample

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with gradient, with shape (*sample_shape, *batch, *shape)."""
        return self.rows(self.rdraw, sample_shape)
