"""At the truth the mean gradient of every objective is zero; beside it, it is not."""

from dataclasses import dataclass

import pytest
import torch
from reference import ReferenceGaussian, mean_gradient_z

from ptheta.inference.langevin import MALA
from ptheta.objectives.contrastive import PersistentContrastiveDivergence
from ptheta.objectives.likelihood import EstimatedLikelihood, MaximumLikelihood, NegativeElbo
from ptheta.objectives.reverse_kl import ReverseKL
from ptheta.objectives.score_matching import (
    DenoisingScoreMatching,
    MultiLevelDenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from ptheta.objectives.types import Batch

MEAN, STD, NOISE = [1.0, -0.5], [0.7, 1.5], 0.5
SMOOTHED = [(s**2 + NOISE**2) ** 0.5 for s in STD]


class PcdFromExactChains:
    """Chains drawn from the model at every batch, so that batches are independent."""

    def __init__(self):
        self.pcd = PersistentContrastiveDivergence(MALA(0.3), (2,), chains=256, steps=3)

    def loss(self, model, batch):
        self.pcd.chains.copy_(model.sample(256))
        return self.pcd.loss(model, batch)


@dataclass(frozen=True)
class TwoLevels:
    def alpha(self, t):
        return torch.ones_like(t)

    def sigma(self, t):
        return 0.5 + t

    def times(self):
        return torch.tensor([0.0, 1.0])


class NoisedReference(ReferenceGaussian):
    """The exact score of the reference Gaussian along a path."""

    path = TwoLevels()

    def score(self, x, context=None, *, t=0.0):
        sigma = self.path.sigma(torch.as_tensor(t)).reshape(-1, 1)
        return -(x - self.mean) / ((2 * self.log_std).exp() + sigma**2)


class EstimatedReference(ReferenceGaussian):
    """The exact log-density, and an estimate with that mean, so that its gradient is noisy too."""

    def log_prob_estimate(self, x, context=None):
        return self.log_prob(x) * (1 + 0.3 * torch.randn(len(x)))


# name, objective, the model's class, and the standard deviations that it should end with
OBJECTIVES = [
    ("maximum likelihood", MaximumLikelihood, ReferenceGaussian, STD),
    ("estimated likelihood", EstimatedLikelihood, EstimatedReference, STD),
    ("evidence lower bound", NegativeElbo, ReferenceGaussian, STD),
    ("contrastive divergence", PcdFromExactChains, ReferenceGaussian, STD),
    (
        "denoising score matching",
        lambda: DenoisingScoreMatching(NOISE),
        ReferenceGaussian,
        SMOOTHED,
    ),
    ("score matching", ScoreMatching, ReferenceGaussian, STD),
    ("sliced score matching", lambda: SlicedScoreMatching(2), ReferenceGaussian, STD),
    (
        "reverse KL",
        lambda: ReverseKL(ReferenceGaussian(MEAN, STD).log_prob),
        ReferenceGaussian,
        STD,
    ),
    ("score matching at many levels", MultiLevelDenoisingScoreMatching, NoisedReference, STD),
]
CASES = pytest.mark.parametrize(
    ("make", "kind", "std"), [case[1:] for case in OBJECTIVES], ids=[case[0] for case in OBJECTIVES]
)


def losses(objective, model, batches=300, rows=256):
    data = ReferenceGaussian(MEAN, STD)
    for _ in range(batches):
        yield objective.loss(model, Batch(data.sample(rows))).value


@CASES
def test_mean_gradient_is_zero_at_the_truth(make, kind, std):
    torch.manual_seed(0)
    model = kind(MEAN, std)
    # four parameters, 300 independent batches of 256: beyond 4 by chance once in 4000 runs
    assert mean_gradient_z(model, losses(make(), model)).abs().max() < 4


@CASES
def test_mean_gradient_is_not_zero_beside_the_truth(make, kind, std):
    torch.manual_seed(0)
    model = kind([m + 0.3 for m in MEAN], [1.2 * s for s in std])
    assert (mean_gradient_z(model, losses(make(), model)).abs() > 8).all()
