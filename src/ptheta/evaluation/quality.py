"""How good samples are, by measures that need no download and serve every kind of data."""

__all__ = ["Quality", "quality"]

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ptheta.data.dataset import Truth
from ptheta.errors import PthetaError
from ptheta.evaluation.estimate import Estimate, share_of
from ptheta.evaluation.features import MetricFeatures
from ptheta.evaluation.modes import Modes, modes_covered
from ptheta.evaluation.prdc import overlap
from ptheta.random import seeded
from ptheta.ratios.classifier import classifier_test
from ptheta.ratios.mmd import mmd_test
from ptheta.spaces import Categorical, Real, Space

_LEAST = 20
_WIDE, _NARROW = 1024, 512  # beyond so many features trees take minutes


@dataclass(frozen=True)
class Quality:
    """Samples beside real examples. All intervals are 95%.

    Arguments:
        accuracy: How often a strong classifier tells samples from real examples; 1/2 is best.
        accuracy_p: The p-value of guessing.
        mmd: The unbiased squared maximum mean discrepancy.
        mmd_p: Its permutation p-value.
        precision: The share of samples among real examples.
        recall: The share of real examples among samples.
        density: How densely real examples lie where samples are; 1 is that of the data itself.
        coverage: The share of real examples that have a sample beside them.
        outside: The share of samples that lie outside the space.
        modes: The modes reached, where they are known.
        rows: The number of rows of each.
    """

    accuracy: Estimate
    accuracy_p: float
    mmd: float
    mmd_p: float
    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate
    outside: Estimate
    modes: Modes | None
    rows: int

    @property
    def capacity(self) -> Estimate:
        """How far a classifier is from telling samples: 1 at chance, 0 where it always can."""
        told = self.accuracy
        return Estimate(_capacity(told.value), _capacity(told.high), _capacity(told.low))


def quality(
    samples: Tensor,
    real: Tensor,
    space: Space,
    truth: Truth | None = None,
    seed: int = 0,
    *,
    contexts: tuple[Tensor, Tensor] | None = None,
    context_space: Categorical | Real | None = None,
) -> Quality:
    """Compares samples with real examples.

    Where a context is given it counts as part of an example, so that samples which ignore what
    they were conditioned on are told from real ones.

    Arguments:
        samples: The samples, with shape (n, *space.shape).
        real: Real examples that the model has not seen, with shape (m, *space.shape).
        space: The space of both.
        truth: What is known of the true distribution.
        seed: The seed of all that is random.
        contexts: What samples and real examples are conditioned on.
        context_space: The space of that.

    Raises:
        PthetaError: There are too few rows, or samples that are not finite.
    """
    if min(len(samples), len(real)) < _LEAST:
        raise PthetaError(
            f"sample quality needs at least {_LEAST} held-out rows and as many samples; there "
            f"are {len(real)} and {len(samples)}. Hold out a larger share of the data."
        )
    x, y = _features(samples, real, space, contexts, context_space, seed)
    if not x.isfinite().all():
        broken = (~x.isfinite().all(dim=1)).double().mean().item()
        raise PthetaError(
            f"{broken:.0%} of the samples hold values that are not finite: the model diverged. "
            "Fit again with a smaller learning rate."
        )
    told = classifier_test(x, y, seed=seed)
    apart = mmd_test(x, y, seed=seed)
    shared = overlap(x, y, seed=seed)
    return Quality(
        accuracy=Estimate(told.accuracy, told.low, told.high),
        accuracy_p=told.p_value,
        mmd=apart.statistic,
        mmd_p=apart.p_value,
        precision=shared.precision,
        recall=shared.recall,
        density=shared.density,
        coverage=shared.coverage,
        outside=share_of(~space.contains(samples)),
        modes=None if truth is None else modes_covered(samples, truth, seed=seed),
        rows=min(len(samples), len(real)),
    )


def _features(
    samples: Tensor,
    real: Tensor,
    space: Space,
    contexts: tuple[Tensor, Tensor] | None,
    context_space: Categorical | Real | None,
    seed: int,
) -> tuple[Tensor, Tensor]:
    features = MetricFeatures(space, real)
    x, y = features(samples), features(real)
    if contexts is not None and context_space is not None:
        given, found = contexts
        conditions = MetricFeatures(context_space, found)
        x = torch.cat([x, conditions(given)], dim=1)
        y = torch.cat([y, conditions(found)], dim=1)
    return (x, y) if x.shape[1] <= _WIDE else _narrowed(x, y, seed)


def _narrowed(x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """A random projection, which keeps distances within a few per cent (Johnson-Lindenstrauss)."""
    with seeded(seed):
        directions = torch.randn(x.shape[1], _NARROW) / math.sqrt(_NARROW)
    directions = directions.to(x.device)
    return x @ directions, y @ directions


def _capacity(accuracy: float) -> float:
    # below one half is chance: a classifier that is always wrong on new rows has learnt nothing
    return 1 - 2 * max(accuracy - 0.5, 0.0)
