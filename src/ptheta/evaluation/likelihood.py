"""Held-out likelihood in the data's own units, with what the figure is worth beside it."""

__all__ = ["Likelihood", "densities_of", "given", "held_out"]

import math
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ptheta.data.bridged import BridgedChain
from ptheta.data.dataset import Split, Truth
from ptheta.density import Density, densities
from ptheta.evaluation.estimate import Estimate, mean_of, share_of
from ptheta.evaluation.rows import affordable, head
from ptheta.fitting import Run
from ptheta.protocols import (
    Bracket,
    Capability,
    DensityKind,
    SupportsBracket,
    density_verb,
)


@dataclass(frozen=True)
class Likelihood:
    """Held-out likelihood. All intervals are 95%, over rows.

    Arguments:
        verb: The method that gave it, such as ``log_prob`` or ``elbo``.
        kind: What it is worth: exact, bound, estimate or unnormalised.
        nats: The mean of -log p(x) over rows, lower is better; for a bound, the true figure is at
            most this. None where the density is unnormalised; infinite where a row is impossible.
        bits_per_dimension: ``nats / (D log 2)`` for D values in a row. For continuous data it
            depends on the unit of the data, and can be negative.
        impossible: The share of rows that the model holds impossible.
        rows: The number of rows.
        particles: The number of particles of a bound, 1 otherwise.
        one_particle: The nats of the bound with one particle; None where there is no bound, or
            particles take noise off it alone.
        loose_by: What makes the bound loose: ``dequantisation``, ``variational`` or nothing.
        truth_error: The mean absolute error of log p, in nats, where the truth is known; an
            unnormalised density is first shifted by the median difference.
        annealed: The log of the constant from below, by which the nats are given, and from above;
            None where no constant is annealed.
        nats_backwards: The nats by the constant from above, with the interval of that constant
            alone; None where no constant is annealed.
    """

    verb: Capability
    kind: DensityKind
    nats: Estimate | None
    bits_per_dimension: Estimate | None
    impossible: Estimate
    rows: int
    particles: int
    one_particle: Estimate | None
    loose_by: str
    truth_error: Estimate | None
    annealed: Bracket | None
    nats_backwards: Estimate | None


def held_out(
    run: Run,
    split: Split,
    *,
    truth: Truth | None = None,
    particles: int = 64,
    rows: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> Likelihood | None:
    """The likelihood of examples that a model has not seen.

    Arguments:
        run: The fitted model.
        split: The examples.
        truth: What is known of the true distribution.
        particles: The number of particles where the density is a bound.
        rows: The most rows that are used, chosen at random; None takes all.
        seconds: About the time for them: where a density is dear, as many are used, chosen at
            random, as it allows; None takes all.
        seed: The seed of that choice, and of the noise of a bound.

    Returns:
        The likelihood, or None where the model has no density.
    """
    if density_verb(run.model) is None:
        return None
    taken = split if rows is None or len(split) <= rows else head(split, rows, seed)
    ask = partial(densities_of, run, seed=seed)
    if seconds is not None:
        taken = affordable(partial(ask, particles=particles), taken, seconds, seed)
    x = taken.x
    found = ask(taken, particles=particles)
    bound = found.kind == "bound"
    normalised = found.kind != "unnormalised"
    tightened = bound and not isinstance(run.model, BridgedChain)
    one = ask(taken, particles=1).values if tightened else None
    nats = _mean(-found.values) if normalised else None
    unit = 1 / (run.space.features * math.log(2))
    annealed = _annealed(run)
    return Likelihood(
        verb=found.verb,
        kind=found.kind,
        nats=nats,
        bits_per_dimension=None if nats is None else nats.scaled(unit),
        impossible=share_of(found.values == -math.inf),
        rows=len(x),
        particles=particles if bound else 1,
        one_particle=None if one is None else _mean(-one),
        loose_by=_loose_by(run) if bound else "",
        truth_error=None if truth is None else _truth_error(found.values, x[:], truth, normalised),
        annealed=annealed,
        nats_backwards=None if nats is None or annealed is None else _backwards(nats, annealed),
    )


def densities_of(run: Run, split: Split, *, particles: int = 1, seed: int = 0) -> Density:
    """The densities of examples under a fitted model.

    Arguments:
        run: The fitted model.
        split: The examples; their context is not looked at where the model takes none.
        particles: The number of particles where the density is a bound.
        seed: The seed of the noise of a bound.
    """
    context = given(run, split.context)
    return densities(run.model, split.x, context, space=run.space, particles=particles, seed=seed)


def given(run: Run, context: Tensor | None) -> Tensor | None:
    """The context, where the model takes one."""
    return None if run.context_space is None else context


def _mean(values: Tensor) -> Estimate:
    if values.isfinite().all():
        return mean_of(values)
    # one impossible row makes the mean infinite: that is the figure, not an accident
    worst = values.mean().item()
    return Estimate(worst, worst, worst)


def _truth_error(values: Tensor, x: Tensor, truth: Truth, normalised: bool) -> Estimate:
    difference = values - truth.log_prob(x.flatten(1).float()).double()
    if not normalised:
        difference = difference - difference[difference.isfinite()].median()
    return _mean(difference.abs())


def _annealed(run: Run) -> Bracket | None:
    # a bridge counts its volume row by row, and so leaves the constant as it is
    within = getattr(run.model, "model", run.model)
    return within.log_partition_bracket() if isinstance(within, SupportsBracket) else None


def _backwards(nats: Estimate, annealed: Bracket) -> Estimate:
    value = nats.value + annealed.high - annealed.low
    error = 1.96 * annealed.high_error
    return Estimate(value, value - error, value + error)


def _loose_by(run: Run) -> str:
    # a bound that says nothing of itself is that of an approximate posterior
    return getattr(run.model, "loose_by", "variational")
