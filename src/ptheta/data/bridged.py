"""Models on the reals, joined to data by a bridge: what comes out offers what remains true.

An exact density across an exact bridge is an exact density. Across dequantisation it is a lower
bound, and so answers to ``elbo``. A bound stays a bound, an energy stays unnormalised.
"""

__all__ = [
    "Bridged",
    "BridgedBound",
    "BridgedChain",
    "BridgedClassifier",
    "BridgedCompletion",
    "BridgedDensity",
    "BridgedEnergy",
    "BridgedEstimate",
    "BridgedEstimatedFlow",
    "BridgedEstimatedFlowBound",
    "BridgedFlow",
    "BridgedFlowBound",
    "BridgedJoint",
    "BridgedLatentBound",
    "BridgedNormalisedEnergy",
    "BridgedSampler",
    "BridgedScore",
    "BridgedScoredEnergy",
    "BridgedScoredNormalisedEnergy",
    "bridged",
    "standardised",
]

import math
from typing import Protocol, TypeVar, overload, runtime_checkable

import torch
from torch import Tensor

from ptheta.data.bridged_estimates import (
    BridgedChain,
    BridgedEnergy,
    BridgedEstimate,
    BridgedNormalisedEnergy,
    BridgedScore,
    BridgedScoredEnergy,
    BridgedScoredNormalisedEnergy,
    Chain,
    DrawnEnergy,
    Estimated,
    NormalisedEnergy,
    estimate_across,
)
from ptheta.data.bridges import Bridge
from ptheta.data.bridging import standardising
from ptheta.data.joined import Bridged, Joined, checked, inside
from ptheta.protocols import (
    SupportsClassify,
    SupportsComplete,
    SupportsDecode,
    SupportsDrawnDensity,
    SupportsElbo,
    SupportsEncode,
    SupportsLogProb,
    SupportsLogProbEstimate,
    SupportsSample,
    SupportsSampleTempered,
    SupportsScore,
    checked_particles,
)
from ptheta.spaces import Space


@runtime_checkable
class _Completing(SupportsDrawnDensity, SupportsComplete, Protocol):
    """What a model of all conditionals offers."""


@runtime_checkable
class _Joint(SupportsDrawnDensity, SupportsClassify, Protocol):
    """What a model of examples and their classes offers."""


@runtime_checkable
class _Coded(SupportsSample, SupportsEncode, SupportsDecode, Protocol):
    """What any model with a latent offers."""


@runtime_checkable
class _Flow(_Coded, SupportsLogProb, SupportsSampleTempered, Protocol):
    """What a flow offers."""


@runtime_checkable
class _EstimatedFlow(_Flow, SupportsLogProbEstimate, Protocol):
    """What a flow offers whose exact density is dear."""


@runtime_checkable
class _Bound(_Coded, SupportsElbo, Protocol):
    """What a variational autoencoder offers."""


F = TypeVar("F", bound=_Coded)


class BridgedSampler(Bridged[SupportsSample]):
    """A sampler without a density."""


class BridgedDensity(Bridged[SupportsDrawnDensity]):
    """An exact density across an exact bridge."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats of the data, with shape (batch,)."""
        return _log_prob(self, x, context)


class BridgedClassifier(Joined[SupportsClassify]):
    """The probabilities of classes, which no exact bridge changes."""

    def class_log_prob(self, x: Tensor) -> Tensor:
        """log p(class | x) in nats, with shape (batch, classes)."""
        return _class_log_prob(self, x)


class BridgedJoint(Bridged[_Joint]):
    """An exact density of examples and their classes, across an exact bridge."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x | class) in nats of the data, with shape (batch,)."""
        return _log_prob(self, x, context)

    def class_log_prob(self, x: Tensor) -> Tensor:
        """log p(class | x) in nats, with shape (batch, classes)."""
        return _class_log_prob(self, x)


class BridgedCompletion(Bridged[_Completing]):
    """An exact density with all its conditionals, across an exact bridge."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats of the data, with shape (batch,)."""
        return _log_prob(self, x, context)

    @torch.no_grad()
    def complete(self, x: Tensor, known: Tensor, context: Tensor | None = None) -> Tensor:
        """Examples that keep the values that are known, the others drawn given them.

        Arguments:
            x: The examples, with shape (n, *space.shape); what is not known is not looked at.
            known: Which values are known, boolean, with shape space.shape.
            context: What they are conditioned on, with n rows.

        Returns:
            The examples, shaped as x.
        """
        u, _ = self.bridge.to_reals(checked(self, x))
        drawn = self.bridge.to_data(self.model.complete(u, known, context)).to(self.space.dtype)
        # there and back again may cost a known value its last digit
        return torch.where(known, x.to(drawn.dtype), drawn)


class BridgedBound(Bridged[SupportsDrawnDensity]):
    """An exact density of dequantised data: a lower bound on the mass of the data."""

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        """A lower bound on log p(x) in nats of the data, with shape (batch,).

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            context: What they are conditioned on.
            particles: The number of noise draws; more give a tighter bound.
        """
        return _dequantised_bound(self, x, context, particles)


class _BridgedLatent(Bridged[F]):
    """A model with a latent, across any bridge."""

    @torch.no_grad()
    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The latent of x, levels taken at the centre of their cell, with shape (batch, latent).

        Raises:
            ValueError: There are examples outside the space.
        """
        outside = ~self.space.contains(checked(self, x))
        if outside.any():
            raise ValueError(
                f"{int(outside.sum())} of {len(x)} examples are no {self.space.describe()}, and "
                "have no latent"
            )
        return self.model.encode(self.bridge.at_centre(x)[0], context)

    @torch.no_grad()
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The example of latent z, with shape (batch, *space.shape).

        Raises:
            ValueError: A latent is not finite.
        """
        if not z.isfinite().all():
            raise ValueError("latents must be finite, and some are NaN or infinite")
        return self.bridge.to_data(self.model.decode(z, context)).to(self.space.dtype)


class BridgedFlow(_BridgedLatent[_Flow]):
    """A flow across an exact bridge."""

    def sample_tempered(
        self, n: int, context: Tensor | None = None, *, temperature: float
    ) -> Tensor:
        """Draws of noise scaled by a temperature, with shape (n, *space.shape), inside the space.

        Arguments:
            n: The number of draws.
            context: What they are conditioned on, with n rows.
            temperature: What the noise is multiplied by; other than 1 it changes the law.
        """
        return _tempered(self, n, context, temperature)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats of the data, with shape (batch,)."""
        return _log_prob(self, x, context)


class BridgedFlowBound(_BridgedLatent[_Flow]):
    """A flow over dequantised data: a lower bound on the mass of the data."""

    def sample_tempered(
        self, n: int, context: Tensor | None = None, *, temperature: float
    ) -> Tensor:
        """As `BridgedFlow.sample_tempered`."""
        return _tempered(self, n, context, temperature)

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        """As `BridgedBound.elbo`."""
        return _dequantised_bound(self, x, context, particles)


class BridgedEstimatedFlow(BridgedFlow):
    """A flow whose exact density is dear, across an exact bridge."""

    model: _EstimatedFlow

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `BridgedEstimate.log_prob_estimate`."""
        return estimate_across(self, x, context)


class BridgedEstimatedFlowBound(BridgedFlowBound):
    """A flow whose exact density is dear, over dequantised data."""

    model: _EstimatedFlow

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """An estimate of the bound with one particle, in nats, with shape (batch,)."""
        return estimate_across(self, x, context)


class BridgedLatentBound(_BridgedLatent[_Bound]):
    """A variational bound, across any bridge."""

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        """A lower bound on log p(x) in nats of the data, with shape (batch,)."""
        u, log_det = self.bridge.to_reals(checked(self, x))
        return inside(self, x, self.model.elbo(u, context, particles=particles) + log_det)


def _log_prob(
    self: "Bridged[SupportsDrawnDensity] | Bridged[_Flow] | Bridged[_Completing] | Bridged[_Joint]",
    x: Tensor,
    c: Tensor | None,
) -> Tensor:
    u, log_det = self.bridge.to_reals(checked(self, x))
    return inside(self, x, self.model.log_prob(u, c) + log_det)


@torch.no_grad()
def _tempered(
    self: "BridgedFlow | BridgedFlowBound", n: int, c: Tensor | None, temperature: float
) -> Tensor:
    drawn = self.model.sample_tempered(n, c, temperature=temperature)
    return self.bridge.to_data(drawn).to(self.space.dtype)


def _class_log_prob(self: "BridgedClassifier | BridgedJoint", x: Tensor) -> Tensor:
    return self.model.class_log_prob(self.bridge.to_reals(checked(self, x))[0])


def _dequantised_bound(
    self: "Bridged[SupportsDrawnDensity] | Bridged[_Flow]",
    x: Tensor,
    c: Tensor | None,
    particles: int,
) -> Tensor:
    draws = torch.stack([_log_prob(self, x, c) for _ in range(checked_particles(particles))])
    return draws.logsumexp(dim=0) - math.log(particles)


@overload
def bridged(model: SupportsSample, bridge: Bridge, space: Space) -> Bridged[SupportsSample]: ...
@overload
def bridged(model: SupportsClassify, bridge: Bridge, space: Space) -> BridgedClassifier: ...
def bridged(
    model: SupportsSample | SupportsClassify, bridge: Bridge, space: Space
) -> Bridged[SupportsSample] | BridgedClassifier:
    """Joins a model on the reals to data.

    Arguments:
        model: The model on the reals.
        bridge: The bridge from the data to the reals.
        space: The space of the data.

    Returns:
        A model of the data, which offers what remains true across the bridge. What is only of
        use on the reals (`rsample`, the score at any level of noise) stays with ``.model``.
    """
    smooth = space.continuous and not bridge.stochastic and isinstance(model, SupportsScore)
    # the classes are tried from the richest
    if isinstance(model, _EstimatedFlow):
        kind = BridgedEstimatedFlowBound if bridge.stochastic else BridgedEstimatedFlow
    elif isinstance(model, _Flow):
        kind = BridgedFlowBound if bridge.stochastic else BridgedFlow
    elif isinstance(model, _Bound):
        kind = BridgedLatentBound
    elif isinstance(model, _Completing) and not bridge.stochastic:
        kind = BridgedCompletion
    elif isinstance(model, _Joint) and not bridge.stochastic:
        kind = BridgedJoint
    elif isinstance(model, SupportsDrawnDensity):
        kind = BridgedBound if bridge.stochastic else BridgedDensity
    elif isinstance(model, Chain):
        kind = BridgedChain
    elif isinstance(model, NormalisedEnergy):
        kind = BridgedScoredNormalisedEnergy if smooth else BridgedNormalisedEnergy
    elif isinstance(model, Estimated):
        kind = BridgedEstimate
    elif isinstance(model, DrawnEnergy):
        kind = BridgedScoredEnergy if smooth else BridgedEnergy
    elif isinstance(model, SupportsSample):
        kind = BridgedScore if smooth else BridgedSampler
    else:
        kind = BridgedClassifier
    return kind(model, bridge, space)  # type: ignore[arg-type]


def standardised(model: SupportsSample, space: Space) -> Bridged[SupportsSample]:
    """Joins a model on the reals to data by the usual bridge, which standardises what is real.

    Arguments:
        model: The model on the reals; levels and categories it takes as they are.
        space: The space of the data.
    """
    return bridged(model, standardising(space), space)
