"""Bounds, estimates, energies and scores without a latent, joined to data."""

__all__ = [
    "BridgedChain",
    "BridgedEnergy",
    "BridgedEstimate",
    "BridgedNormalisedEnergy",
    "BridgedScore",
    "BridgedScoredEnergy",
    "BridgedScoredNormalisedEnergy",
    "estimate_across",
]

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ptheta.broadcasting import over
from ptheta.data.joined import Bridged, checked, inside
from ptheta.protocols import (
    SupportsElbo,
    SupportsLogProbEstimate,
    SupportsSample,
    SupportsScore,
    SupportsUnnormalizedLogProb,
)


@runtime_checkable
class Chain(SupportsSample, SupportsElbo, Protocol):
    """What a chain of denoising steps offers."""


@runtime_checkable
class Estimated(SupportsSample, SupportsLogProbEstimate, Protocol):
    """What a probability flow of many values offers."""


@runtime_checkable
class DrawnEnergy(SupportsSample, SupportsUnnormalizedLogProb, Protocol):
    """What an energy joined to a sampler offers."""


@runtime_checkable
class NormalisedEnergy(DrawnEnergy, SupportsLogProbEstimate, Protocol):
    """What an energy that knows its constant offers."""


@runtime_checkable
class Scored(SupportsSample, SupportsScore, Protocol):
    """What a score joined to a sampler offers."""


class ScoredEnergy(DrawnEnergy, SupportsScore, Protocol):
    """What an energy with its gradient offers."""


class ScoredNormalisedEnergy(NormalisedEnergy, SupportsScore, Protocol):
    """What an energy offers that knows its constant, with its gradient."""


class BridgedChain(Bridged[Chain]):
    """The bound of a chain of steps, across any bridge; particles take noise off it alone."""

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        """A lower bound on log p(x) in nats of the data, with shape (batch,).

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            context: What they are conditioned on.
            particles: The number of steps that are looked at, at least.
        """
        u, log_det = self.bridge.to_reals(checked(self, x))
        return inside(self, x, self.model.elbo(u, context, particles=particles) + log_det)


class BridgedEstimate(Bridged[Estimated]):
    """An estimate of the density, across any bridge."""

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """An estimate of log p(x) in nats of the data, with shape (batch,).

        Across noise of levels it is one of the bound.
        """
        return estimate_across(self, x, context)


class BridgedEnergy(Bridged[DrawnEnergy]):
    """An energy across any bridge; levels are taken at the centre of their cell."""

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) up to a constant, in nats of the data, with shape (batch,)."""
        return _unnormalized_log_prob(self, x, context)


class BridgedNormalisedEnergy(Bridged[NormalisedEnergy]):
    """An energy that knows its constant; levels are taken at the centre of their cell."""

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) up to a constant, in nats of the data, with shape (batch,)."""
        return _unnormalized_log_prob(self, x, context)

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats of the data by the learned constant, with shape (batch,)."""
        u, log_det = self.bridge.at_centre(checked(self, x))
        return inside(self, x, self.model.log_prob_estimate(u, context) + log_det)


class BridgedScore(Bridged[Scored]):
    """A score, across an exact bridge."""

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The gradient of log p by x, shaped as x; NaN outside the space.

        Of a denoiser it is that of data with the least noise.
        """
        return _score(self, x, context)


class BridgedScoredEnergy(BridgedEnergy):
    """An energy with its gradient, across an exact bridge."""

    model: ScoredEnergy

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `BridgedScore.score`."""
        return _score(self, x, context)


class BridgedScoredNormalisedEnergy(BridgedNormalisedEnergy):
    """An energy that knows its constant, with its gradient, across an exact bridge."""

    model: ScoredNormalisedEnergy

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `BridgedScore.score`."""
        return _score(self, x, context)


def estimate_across(self: Bridged[Any], x: Tensor, c: Tensor | None) -> Tensor:
    """What a model estimates of the log-density, across any bridge, with shape (batch,)."""
    u, log_det = self.bridge.to_reals(checked(self, x))
    return inside(self, x, self.model.log_prob_estimate(u, c) + log_det)


def _unnormalized_log_prob(
    self: "BridgedEnergy | BridgedNormalisedEnergy", x: Tensor, c: Tensor | None
) -> Tensor:
    u, log_det = self.bridge.at_centre(checked(self, x))
    return inside(self, x, self.model.unnormalized_log_prob(u, c) + log_det)


def _score(
    self: "BridgedScore | BridgedScoredEnergy | BridgedScoredNormalisedEnergy",
    x: Tensor,
    c: Tensor | None,
) -> Tensor:
    followed = torch.is_grad_enabled()
    x = checked(self, x).to(self.space.dtype)
    with torch.enable_grad():
        if not (followed and x.requires_grad):
            x = x.detach().requires_grad_()
        u, log_det = self.bridge.to_reals(x)
    # by the chain rule; the model's own score need not be the gradient of anything at hand
    score = self.model.score(u if followed else u.detach(), c)
    with torch.enable_grad():
        (found,) = torch.autograd.grad(
            u, x, grad_outputs=score, create_graph=followed, retain_graph=True
        )
        if log_det.requires_grad:
            found = found + torch.autograd.grad(log_det.sum(), x, create_graph=followed)[0]
    outside = ~self.space.contains(x.detach())
    return found.masked_fill(over(outside, x), torch.nan)
