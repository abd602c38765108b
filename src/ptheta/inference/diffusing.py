"""Adapters that join a denoiser to a way of drawing from it, and to the density of that way."""

__all__ = [
    "Sampler",
    "WithDenoising",
    "WithEstimatedProbabilityFlow",
    "WithProbabilityFlow",
    "WithReverseChain",
    "WithScoredDenoising",
    "along_flow",
]

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from ptheta.broadcasting import over
from ptheta.inference.denoising import ancestral, spaced
from ptheta.inference.divergence import estimated, exact
from ptheta.inference.probability_flow import Divergence, Solver, carried, carried_and_change
from ptheta.inference.variational import variational_bound
from ptheta.noising import (
    Path,
    Predict,
    SupportsNoisedScore,
    SupportsPredict,
    SupportsPredictAt,
)
from ptheta.protocols import checked_particles

Sampler = Callable[[Predict, Path, Tensor, Tensor], Tensor]
"""From a denoiser, its path, noise and descending times to draws, as in `inference.denoising`."""


class WithDenoising(nn.Module):
    """A denoiser, drawn from by steps from noise to data.

    Arguments:
        model: The denoiser, a module.
        shape: The shape of one example.
        sampler: The way of drawing.
        steps: The number of its steps.
    """

    origin: Tensor

    def __init__(
        self,
        model: SupportsPredict,
        shape: tuple[int, ...],
        *,
        sampler: Sampler = ancestral,
        steps: int = 250,
    ) -> None:
        super().__init__()
        self.model = model
        self.shape = shape
        self.sampler = sampler
        self.steps = steps
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # where noise is made

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws, with shape (n, *shape)."""
        path = self.model.path
        noise = _last_noise(path, n, self.shape, self.origin)
        times = spaced(path, self.steps).to(noise)
        return self.sampler(_given(self.model, context, times), path, noise, times)


class _Scored(SupportsPredict, SupportsNoisedScore, Protocol):
    """A denoiser that tells the score of noised data."""


class WithScoredDenoising(WithDenoising):
    """A denoiser that tells its score, drawn from by steps from noise to data.

    Arguments:
        model: The denoiser, a module.
        shape: The shape of one example.
        sampler: The way of drawing.
        steps: The number of its steps.
    """

    model: _Scored

    def score(
        self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float | None = None
    ) -> Tensor:
        """The score of the data noised to t, None meaning the least level, shaped as x."""
        return self.model.score(x, context, t=t)


class WithReverseChain(WithDenoising):
    """A denoiser as a chain of Gaussian steps through its levels, whose density has a bound.

    Arguments:
        model: The denoiser, a module.
        shape: The shape of one example.
        sampler: The way of drawing, which ends at the mean of the data given the least level.
        steps: The number of its steps.
        levels: The number of levels, drawn at random, by which the bound is estimated.
        chain: The path of the denoiser with the levels of the chain whose bound is given; None
            means as it is trained.
    """

    def __init__(
        self,
        model: SupportsPredict,
        shape: tuple[int, ...],
        *,
        sampler: Sampler = ancestral,
        steps: int = 250,
        levels: int = 16,
        chain: Path | None = None,
    ) -> None:
        super().__init__(model, shape, sampler=sampler, steps=steps)
        self.levels = levels
        self.chain = model.path if chain is None else chain

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        """A bound on log p(x) in nats that holds in expectation, with shape (batch,).

        Arguments:
            x: The examples, with shape (batch, *shape).
            context: What they are conditioned on.
            particles: The number of levels that are drawn at least: more take noise off the
                bound, and make it no tighter.

        Raises:
            ValueError: There are no particles.
        """
        levels = max(self.levels, checked_particles(particles))
        predict = _given(self.model, context)
        near, lost, far = _within_reach(x)
        bound = variational_bound(predict, self.chain, near, levels=levels)
        return bound.masked_fill(lost, torch.nan).masked_fill(far, -torch.inf)


class _Flow(WithDenoising):
    def __init__(
        self,
        model: SupportsPredict,
        shape: tuple[int, ...],
        *,
        solver: Solver | None = None,
        sampler: Sampler | None = None,
        steps: int = 250,
    ) -> None:
        self.solver = solver or Solver()
        super().__init__(model, shape, sampler=sampler or along_flow(self.solver), steps=steps)

    @torch.no_grad()
    def _log_prob(self, x: Tensor, context: Tensor | None, divergence: Divergence) -> Tensor:
        path = self.model.path
        start, predict = path.times()[0].item(), _given(self.model, context)
        # the equation is solved for all rows together, and must not fail for one
        near, lost, far = _within_reach(x)
        ends, change = carried_and_change(predict, path, near, start, 1.0, self.solver, divergence)
        scale = _last_scale(path, self.origin)
        z = (ends / scale).flatten(1)
        constant = z.shape[1] * (0.5 * math.log(2 * math.pi) + scale.log())
        found = change - 0.5 * z.square().sum(dim=1) - constant
        return found.masked_fill(lost, torch.nan).masked_fill(far, -torch.inf)


class WithProbabilityFlow(_Flow):
    """A denoiser as the flow of its velocities, with the exact density of what that draws.

    The density is exact to the tolerance of the solver, by as many passes back at each evaluation
    as an example has values.

    Arguments:
        model: The denoiser, a module.
        shape: The shape of one example.
        solver: How the flow is solved.
        sampler: The way of drawing; None means along the flow. What others draw has its density
            only as far as the scores are right.
        steps: The number of steps of such a sampler.
    """

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats without gradient, to the solver's tolerance, with shape (batch,)."""
        return self._log_prob(x, context, exact)


class WithEstimatedProbabilityFlow(_Flow):
    """A denoiser as the flow of its velocities, with an estimate of the density.

    It takes one pass back at each evaluation, along a random direction that a row keeps.

    Arguments:
        model: The denoiser, a module.
        shape: The shape of one example.
        solver: How the flow is solved.
        sampler: As `WithProbabilityFlow`.
        steps: As `WithProbabilityFlow`.
    """

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """An estimate of log p(x) in nats that is right in the mean, with shape (batch,)."""
        signs = torch.randint(0, 2, (1, *x.shape), device=x.device).to(x.dtype) * 2 - 1
        return self._log_prob(x, context, partial(estimated, directions=signs))


def along_flow(solver: Solver) -> Sampler:
    """Draws along the probability flow, in as many steps as a solver takes.

    Arguments:
        solver: How the flow is solved.
    """

    def sampler(predict: Predict, path: Path, x: Tensor, times: Tensor) -> Tensor:
        return carried(predict, path, x, times[0].item(), times[-1].item(), solver)

    return sampler


def _given(model: SupportsPredict, context: Tensor | None, times: Tensor | None = None) -> Predict:
    if times is not None and isinstance(model, SupportsPredictAt):
        return model.predict_at(times, context)
    return lambda x, t: model.predict(x, context, t=t)


def _within_reach(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows that can be reckoned with, zeros in the place of others; which are no numbers; and far.

    Far are those whose distance has no finite square: their Gaussian density is zero.
    """
    rows = x.flatten(1)
    lost = ~rows.isfinite().all(dim=1)
    far = ~lost & rows.square().sum(dim=1).isinf()
    return torch.where(over(lost | far, x), 0.0, x), lost, far


def _last_scale(path: Path, like: Tensor) -> Tensor:
    """The standard deviation of standardised data at t = 1."""
    one = torch.ones_like(like)
    return (path.alpha(one).square() + path.sigma(one).square()).sqrt()


def _last_noise(path: Path, n: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    noise = torch.randn(n, *shape, device=like.device, dtype=like.dtype)
    return _last_scale(path, like) * noise
