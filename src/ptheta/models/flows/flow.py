"""A normalizing flow: a bijection of standard Gaussian noise."""

__all__ = ["Flow"]

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from ptheta.models.flows.bijections import Bijection
from ptheta.models.normalised import Normalised
from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Real


class Flow(Normalised):
    r"""The law of :math:`x = f(z)`, :math:`z \sim N(0, I)`, with f a bijection.

    .. math:: \log p(x) = \log N(f^{-1}(x); 0, I) + \log |\det \partial f^{-1} / \partial x|

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015),
        https://arxiv.org/abs/1505.05770

    Arguments:
        bijection: The map from noise to data.
        features: The number of values of an example.
        context_space: What the flow is conditioned on, or None.
    """

    origin: Tensor

    def __init__(
        self,
        bijection: Bijection,
        features: int,
        context_space: Categorical | Real | None = None,
    ) -> None:
        super().__init__()
        self.bijection = bijection
        self.features = features
        self.context = ContextFeatures(context_space)
        # noise is made where this lies, so that a flow without parameters has a device too
        self.register_buffer("origin", torch.zeros(features), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        return _Pushforward(self, context)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The noise of x, with shape (batch, features)."""
        return self.bijection.inverse_and_log_det(x, self.context(context, len(x)))[0]

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The example of noise z, with shape (batch, features)."""
        return self.bijection.forward_and_log_det(z, self.context(context, len(z)))[0]

    def rsample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws that carry gradient to the parameters, with shape (n, features)."""
        noise = torch.randn(n, self.features, device=self.origin.device, dtype=self.origin.dtype)
        return self.decode(noise, context)


class _Pushforward(Distribution):
    """The law of a flow given its context."""

    def __init__(self, flow: Flow, context: Tensor | None) -> None:
        self.flow = flow
        self.context = context
        batch = torch.Size() if context is None else torch.Size([len(context)])
        super().__init__(batch, torch.Size([flow.features]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        context = self.flow.context(self.context, len(value))
        z, log_det = self.flow.bijection.inverse_and_log_det(value, context)
        normaliser = 0.5 * math.log(2 * math.pi) * self.flow.features
        return log_det - 0.5 * z.square().sum(dim=1) - normaliser

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        shape = torch.Size(sample_shape) + self.batch_shape
        return self.flow.rsample(shape.numel(), self.context).reshape(*shape, self.flow.features)
