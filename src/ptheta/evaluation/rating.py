"""The rating: what a recipe is worth on a person's data, every figure measured there.

The definitions, with their reasons, are in ``docs/rating.md``.
"""

__all__ = [
    "COVERAGE_DISTANCE",
    "NATS_DISTANCE",
    "Attempt",
    "Rating",
    "Spread",
    "Stability",
    "rate",
    "spread",
]

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ptheta.evaluation.evaluate import Evaluation
from ptheta.protocols import DensityKind
from ptheta.recipes.algorithm import Freedom

# how far from the best run a run may end and still count as the same result
NATS_DISTANCE = 0.05
COVERAGE_DISTANCE = 0.1

Status = Literal["done", "diverged", "refused"]


@dataclass(frozen=True)
class Attempt:
    """One run of a comparison.

    Arguments:
        recipe: The recipe.
        seed: The seed.
        factor: What the default learning rate is multiplied by.
        status: Whether it is done, diverged, or was refused.
        message: What went wrong; empty where nothing did.
        folder: The folder of the run; empty where there is none.
        settings: The settings that differ from the recipe's defaults.
        steps: The steps of training.
        seconds: The seconds of training.
        stopped: Why training stopped.
        history: The record of training.
        examples_per_second: The examples seen a second in training, held-out looks included.
        constraints: What the family forbids.
        watched: The held-out figure of the record.
        figure: What stability is judged by, higher is better: the mean held-out log p(x) for each
            dimension, or coverage.
        evaluation: What was measured; None for runs that serve stability alone.
    """

    recipe: str
    seed: int
    factor: float
    status: Status
    message: str = ""
    folder: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    steps: int = 0
    seconds: float = 0.0
    stopped: str = ""
    history: tuple[dict[str, float], ...] = ()
    examples_per_second: float = 0.0
    constraints: tuple[Freedom, ...] = ()
    watched: str = ""
    figure: float = -math.inf
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Spread:
    """A figure over runs that differ in their seed.

    Arguments:
        mean: The mean.
        low: The least.
        high: The greatest.
        runs: The number of runs.
    """

    mean: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Stability:
    """How surely a fit comes out as well as it can.

    Arguments:
        stable: The runs that end finite and within the distance of the best.
        finite: The runs that end finite.
        runs: All runs.
        figure: What they are judged by: ``nats per dimension`` or ``coverage``.
        distance: How far below the best a run may end.
        rates: The factors of the learning rate that were tried.
    """

    stable: int
    finite: int
    runs: int
    figure: Literal["nats per dimension", "coverage"]
    distance: float
    rates: tuple[float, ...]

    @property
    def share(self) -> float:
        """The share of stable runs."""
        return self.stable / self.runs


@dataclass(frozen=True)
class Rating:
    """One row of the rating. Spreads are over the seeds at the default learning rate.

    Arguments:
        recipe: The recipe.
        status: Whether any run was done; if not, why not.
        message: What went wrong, if anything did.
        stability: How surely a fit comes out; None where the recipe refused the data.
        capacity: How far a classifier is from telling samples: 1 at chance, 0 always told.
        accuracy: The accuracy of that classifier.
        coverage: The share of held-out examples that have a sample beside them.
        modes: The number of modes covered, where they are known.
        modes_known: The number of modes that there are, 0 where it is not known.
        kind: What the density is worth.
        nats: The held-out nats for each row, the mean of -log p(x).
        bits_per_dimension: The same in bits per dimension.
        truth_error: The mean absolute error of log p, where the truth is known.
        freedom: What the family forbids; empty is the most free.
        examples_per_second: The examples seen a second in training.
        samples_per_second: The samples drawn a second.
        densities_per_second: The densities a second.
    """

    recipe: str
    status: Status
    message: str
    stability: Stability | None
    capacity: Spread | None
    accuracy: Spread | None
    coverage: Spread | None
    modes: Spread | None
    modes_known: int
    kind: DensityKind
    nats: Spread | None
    bits_per_dimension: Spread | None
    truth_error: Spread | None
    freedom: tuple[Freedom, ...]
    examples_per_second: Spread | None
    samples_per_second: Spread | None
    densities_per_second: Spread | None


def spread(values: Iterable[float | None]) -> Spread | None:
    """The mean and the ends of what is there; None where nothing is.

    Arguments:
        values: A figure for each run, None where a run has none.

    Example:
        >>> spread([1.0, None, 3.0])
        Spread(mean=2.0, low=1.0, high=3.0, runs=2)
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(sum(known) / len(known), min(known), max(known), len(known))


def rate(recipe: str, attempts: Sequence[Attempt]) -> Rating:
    """Rates a recipe by its runs.

    Arguments:
        recipe: The recipe.
        attempts: Its runs: those at the default learning rate have been evaluated.
    """
    done = [a for a in attempts if a.status == "done"]
    main = [(a, a.evaluation) for a in done if a.evaluation is not None]
    found = [evaluation for _, evaluation in main]
    likelihoods = [e.likelihood for e in found if e.likelihood is not None]
    failed = next((a for a in attempts if a.status != "done"), None)
    nats = [None if f.nats is None else f.nats.value for f in likelihoods]
    bits = [f.bits_per_dimension for f in likelihoods]
    modes = [e.quality.modes for e in found if e.quality.modes is not None]
    errors = [f.truth_error for f in likelihoods]
    return Rating(
        recipe=recipe,
        status="done" if main or failed is None else failed.status,
        message="" if failed is None else failed.message,
        stability=_stability(attempts, found[0].kind if found else "none"),
        capacity=spread(e.quality.capacity.value for e in found),
        accuracy=spread(e.quality.accuracy.value for e in found),
        coverage=spread(e.quality.coverage.value for e in found),
        modes=spread(m.covered.value for m in modes),
        modes_known=modes[0].of if modes else 0,
        kind=found[0].kind if found else "none",
        nats=spread(nats),
        bits_per_dimension=spread(None if b is None else b.value for b in bits),
        truth_error=spread(None if e is None else e.value for e in errors),
        freedom=main[0][0].constraints if main else (),
        examples_per_second=spread(a.examples_per_second for a, _ in main),
        samples_per_second=spread(e.samples_per_second for e in found),
        densities_per_second=spread(e.densities_per_second for e in found),
    )


def _stability(attempts: Sequence[Attempt], kind: DensityKind) -> Stability | None:
    if any(a.status == "refused" for a in attempts):
        return None
    normalised = kind in ("exact", "bound", "estimate")
    distance = NATS_DISTANCE if normalised else COVERAGE_DISTANCE
    finite = [a.figure for a in attempts if a.status == "done" and math.isfinite(a.figure)]
    best = max(finite, default=-math.inf)
    return Stability(
        stable=sum(figure >= best - distance for figure in finite),
        finite=len(finite),
        runs=len(attempts),
        figure="nats per dimension" if normalised else "coverage",
        distance=distance,
        rates=tuple(sorted({a.factor for a in attempts})),
    )
