"""Everything that is measured of one fitted model."""

__all__ = ["Drawn", "Evaluation", "evaluate", "head", "noise_floor", "plain", "sampled"]

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from ptheta.border import Count, Seed, checked
from ptheta.data.dataset import Data, Split
from ptheta.density import draw
from ptheta.evaluation.likelihood import Likelihood, densities_of, given, held_out
from ptheta.evaluation.quality import Quality, quality
from ptheta.evaluation.rows import head, refuse_other_space
from ptheta.fitting import Run
from ptheta.protocols import DensityKind, density_kind


@dataclass(frozen=True)
class Evaluation:
    """What is measured of a fitted model.

    Arguments:
        recipe: The recipe.
        data: The name of the data.
        seed: The seed of the samples and of the tests.
        kind: What the model's density is worth.
        likelihood: The held-out likelihood; None where the model has no density.
        quality: The samples beside held-out examples.
        reference: Training examples in the place of the samples: what a perfect model would get.
        samples_per_second: The samples drawn a second.
        densities_per_second: The densities a second, at one particle; None without a density.
    """

    recipe: str
    data: str
    seed: int
    kind: DensityKind
    likelihood: Likelihood | None
    quality: Quality
    reference: Quality
    samples_per_second: float
    densities_per_second: float | None

    def to_json(self) -> dict[str, Any]:
        """The figures as plain numbers, lists and dicts; None where a figure is infinite."""
        return plain(dataclasses.asdict(self))


@checked
def evaluate(
    run: Run,
    data: Data,
    *,
    samples: Count = 1000,
    seed: Seed = 0,
    particles: Count = 64,
    rows: Count | None = None,
    seconds: float | None = 120.0,
    reference: Quality | None = None,
    drawn: "Drawn | None" = None,
) -> Evaluation:
    """Measures a fitted model on the held-out split of the data.

    Arguments:
        run: The fitted model.
        data: The data it was fitted to.
        samples: The most samples that are drawn; there are never more than held-out rows.
        seed: The seed of the samples and of the tests.
        particles: The number of particles where the density is a bound.
        rows: The most rows whose likelihood is taken; None takes all.
        seconds: About the time for them: where a density is dear, as many rows are taken, chosen
            at random, as it allows; None takes all.
        reference: The noise floor, where it is known already.
        drawn: Samples for these rows, where they have been drawn already.

    Raises:
        PthetaError: The data are of another space, there are too few held-out rows, or samples
            are not finite.
    """
    refuse_other_space(run, data)
    real = head(data.test, samples, seed)
    drawn = drawn or sampled(run, real, seed)
    likelihood = held_out(
        run,
        data.test,
        truth=data.truth,
        particles=particles,
        rows=rows,
        seconds=seconds,
        seed=seed,
    )
    return Evaluation(
        recipe=run.recipe,
        data=data.name,
        seed=seed,
        kind=density_kind(run.model),
        likelihood=likelihood,
        quality=quality(
            drawn.samples,
            real.x[:],
            data.space,
            data.truth,
            seed,
            contexts=_contexts(real, real),
            context_space=data.context_space,
        ),
        reference=reference or noise_floor(data, samples=samples, seed=seed),
        samples_per_second=len(drawn.samples) / drawn.seconds,
        densities_per_second=_densities_per_second(run, real, likelihood),
    )


def noise_floor(data: Data, *, samples: int = 1000, seed: int = 0) -> Quality:
    """Training examples in the place of samples: the figures of a model that is the data.

    Arguments:
        data: The data.
        samples: The most rows of each.
        seed: The seed of the choice of rows, and of the tests.
    """
    real = head(data.test, samples, seed)
    seen = head(data.train, len(real), seed)
    return quality(
        seen.x[:],
        real.x[:],
        data.space,
        data.truth,
        seed,
        contexts=_contexts(seen, real),
        context_space=data.context_space,
    )


class Drawn(NamedTuple):
    """Samples, and the seconds that it took to draw them."""

    samples: Tensor
    seconds: float


def sampled(run: Run, real: Split, seed: int) -> Drawn:
    """As many samples as there are real rows, and for the same contexts."""
    started = time.perf_counter()
    samples = draw(run.model, len(real), given(run, real.context), seed=seed)
    return Drawn(samples, max(time.perf_counter() - started, 1e-9))


def plain(value: Any) -> Any:
    """Nested dataclasses' dicts and tuples as JSON can hold them; infinite figures are None."""
    match value:
        case dict():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _contexts(samples: Split, real: Split) -> tuple[Tensor, Tensor] | None:
    if samples.context is None or real.context is None:
        return None
    return samples.context, real.context


def _densities_per_second(run: Run, real: Split, likelihood: Likelihood | None) -> float | None:
    if likelihood is None:
        return None
    # no more than there was time for
    taken = head(real, likelihood.rows, seed=0)
    started = time.perf_counter()
    densities_of(run, taken)
    return len(taken) / max(time.perf_counter() - started, 1e-9)
