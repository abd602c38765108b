"""At the truth the mean gradient of every objective is zero; beside it, it is not."""

import math
from dataclasses import dataclass

import pytest
import torch
from reference import ReferenceGaussian, mean_gradient_z

from ptheta.inference.denoising import widening
from ptheta.inference.langevin import MALA, ULA
from ptheta.inference.metropolis import RandomWalk
from ptheta.models.diffusion.paths import Straight
from ptheta.models.energy.self_normalised import SelfNormalised
from ptheta.noising import Prediction
from ptheta.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from ptheta.objectives.flow_matching import FlowMatching
from ptheta.objectives.hybrid_denoising import HybridDenoising
from ptheta.objectives.likelihood import EstimatedLikelihood, MaximumLikelihood, NegativeElbo
from ptheta.objectives.noise_contrastive import FlowContrastive, NoiseContrastive
from ptheta.objectives.reverse_kl import ReverseKL
from ptheta.objectives.score_matching import (
    DenoisingScoreMatching,
    MultiLevelDenoisingScoreMatching,
    MultiScaleDenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from ptheta.objectives.types import Batch

MEAN, STD, NOISE = [1.0, -0.5], [0.7, 1.5], 0.5
SCALES = (0.3, 0.9)
# the best Gaussian under noise of uniform scale: of variance NOISE^2 E[(s^2 + sigma^2) / sigma^2],
# and the mean of 1 / sigma^2 from a to b is 1 / (a b)
FUNNELLED = [NOISE * (1 + s**2 / (SCALES[0] * SCALES[1])) ** 0.5 for s in STD]
# chains without refusals are wider than their model, of variance s^2 / (1 - h / 2 s^2), so that it
# ends narrower than the data
ULA_STEP = 0.1
ULA_STD = [((s**2 + (s**4 - 2 * ULA_STEP * s**2) ** 0.5) / 2) ** 0.5 for s in STD]
SMOOTHED = [(s**2 + NOISE**2) ** 0.5 for s in STD]


class PcdFromSettledChains:
    """Chains drawn from what the kernel leaves invariant, so that batches are independent."""

    def __init__(self, kernel):
        self.pcd = PersistentContrastiveDivergence(kernel, (2,), chains=256, steps=3)

    def loss(self, model, batch):
        x = model.sample(256)
        if isinstance(self.pcd.kernel, ULA):
            variance = (2 * model.log_std.detach()).exp()
            wider = (1 - self.pcd.kernel.step_size / (2 * variance)).rsqrt()
            x = model.mean.detach() + wider * (x - model.mean.detach())
        self.pcd.chains.copy_(x)
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


class Normalised(SelfNormalised):
    """The reference Gaussian, with its constant as a parameter: right for the true scales."""

    def __init__(self, mean, std):
        super().__init__(ReferenceGaussian(mean, std))
        self.log_normalizer.data.fill_(math.log(2 * math.pi * STD[0] * STD[1]))


class Contrast(NoiseContrastive):
    """Contrast to a wide Gaussian."""

    def __init__(self):
        super().__init__(ReferenceGaussian([0.5, 0.0], [1.5, 2.0]).requires_grad_(False))


def flow():
    """Another Gaussian, which learns nothing here: its gradients are not looked at."""
    return ReferenceGaussian([0.5, 0.0], [1.5, 2.0])


class Predicting(ReferenceGaussian):
    """The exact predictions of the reference Gaussian along a straight path."""

    path = Straight()

    def predict(self, x, context=None, *, t):
        alpha, sigma = (scale(t)[:, None] for scale in (self.path.alpha, self.path.sigma))
        variance = (2 * self.log_std).exp()
        off = (x - alpha * self.mean) / (alpha.square() * variance + sigma.square())
        return Prediction(self.mean + alpha * variance * off, sigma * off)


class Spreading(NoisedReference):
    """The exact predictions of the reference Gaussian, and how wide its steps back are."""

    def predict(self, x, context=None, *, t):
        t = torch.as_tensor(t)
        variance = (2 * self.log_std).exp()
        noise = self.path.sigma(t)[:, None].square()
        found = -self.score(x, t=t)
        s = torch.zeros_like(t)  # of two levels the step is from the higher to the lower
        left = self.path.sigma(s)[:, None].square()
        least = left * (1 - left / noise)
        # what is not known of x moves the mean of a step by its share of the way
        wide = least + (1 - left / noise).square() * variance * noise / (variance + noise)
        ratio = widening(self.path, t, s)[:, None]
        # at the lower level there is no step
        stepping = ratio > 0
        spread = torch.where(stepping, wide, 1.0).log() - torch.where(stepping, least, 1.0).log()
        spread = spread / torch.where(stepping, ratio, 1.0)
        return Prediction(x - noise * found, noise.sqrt() * found, spread)


# name, objective, the model's class, and the standard deviations that it should end with
OBJECTIVES = [
    ("maximum likelihood", MaximumLikelihood, ReferenceGaussian, STD),
    ("estimated likelihood", EstimatedLikelihood, EstimatedReference, STD),
    ("evidence lower bound", NegativeElbo, ReferenceGaussian, STD),
    (
        "persistent contrastive divergence by MALA",
        lambda: PcdFromSettledChains(MALA(0.3)),
        ReferenceGaussian,
        STD,
    ),
    (
        "persistent contrastive divergence by a random walk",
        lambda: PcdFromSettledChains(RandomWalk(0.7)),
        ReferenceGaussian,
        STD,
    ),
    (
        "persistent contrastive divergence by ULA",
        lambda: PcdFromSettledChains(ULA(ULA_STEP)),
        ReferenceGaussian,
        ULA_STD,
    ),
    (
        "contrastive divergence",
        lambda: ContrastiveDivergence(MALA(0.3), steps=3),
        ReferenceGaussian,
        STD,
    ),
    (
        "denoising score matching",
        lambda: DenoisingScoreMatching(NOISE),
        ReferenceGaussian,
        SMOOTHED,
    ),
    ("score matching", ScoreMatching, ReferenceGaussian, STD),
    ("sliced score matching", lambda: SlicedScoreMatching(2), ReferenceGaussian, STD),
    (
        "sliced score matching, lengths too",
        lambda: SlicedScoreMatching(2, variance_reduction=False),
        ReferenceGaussian,
        STD,
    ),
    (
        "reverse KL",
        lambda: ReverseKL(ReferenceGaussian(MEAN, STD).log_prob),
        ReferenceGaussian,
        STD,
    ),
    ("noise contrast", Contrast, Normalised, STD),
    ("contrast to a flow", lambda: FlowContrastive(flow()), Normalised, STD),
    (
        "score matching at many scales",
        lambda: MultiScaleDenoisingScoreMatching(*SCALES, sigma=NOISE),
        ReferenceGaussian,
        FUNNELLED,
    ),
    ("flow matching", FlowMatching, Predicting, STD),
    # half of the weight on the widths, which a thousandth would leave in the noise
    ("denoising with widths", lambda: HybridDenoising(weight=0.5), Spreading, STD),
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
    # four or five parameters, 300 independent batches of 256: beyond 4 by chance once in 3000 runs
    assert mean_gradient_z(model, losses(make(), model)).abs().max() < 4


@CASES
def test_mean_gradient_is_not_zero_beside_the_truth(make, kind, std):
    torch.manual_seed(0)
    model = kind([m + 0.3 for m in MEAN], [1.2 * s for s in std])
    assert (mean_gradient_z(model, losses(make(), model)).abs() > 8).all()
