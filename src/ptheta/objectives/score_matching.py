"""Denoising score matching, at one level of noise and at many."""

__all__ = ["DenoisingScoreMatching", "MultiLevelDenoisingScoreMatching"]

import torch

from ptheta.inference.paths import SupportsNoisedScore
from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import SupportsScore


class DenoisingScoreMatching:
    r"""The squared error of the score of data smoothed by Gaussian noise.

    .. math:: \mathcal{L} = \frac{\sigma^2}{2} \, \mathbb{E} \left\| s_\theta(x + \sigma \epsilon)
        + \epsilon / \sigma \right\|^2

    Its gradient is that of explicit score matching on the smoothed density, so what is fitted is
    the smoothed density, not that of the data.

    References:
        A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011),
        https://doi.org/10.1162/NECO_a_00142, equation 9

    Arguments:
        sigma: The standard deviation of the noise.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def loss(self, model: SupportsScore, batch: Batch) -> Loss:
        """The loss: half a squared error in units of the noise, summed over the example."""
        eps = torch.randn_like(batch.x)
        score = model.score(batch.x + self.sigma * eps, batch.context)
        return Loss((self.sigma * score + eps).square().flatten(1).sum(dim=1).mean() / 2)


class MultiLevelDenoisingScoreMatching:
    r"""Denoising score matching at every level of a path, each weighted by its variance.

    .. math:: \mathcal{L} = \frac{1}{2} \, \mathbb{E}_t \mathbb{E} \left\| \sigma(t) \,
        s_\theta(\alpha(t) x + \sigma(t) \epsilon, t) + \epsilon \right\|^2

    The levels of a batch are spread evenly over the path, at random.

    References:
        Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
        https://arxiv.org/abs/1907.05600, equations 5 and 6
    """

    def loss(self, model: SupportsNoisedScore, batch: Batch) -> Loss:
        """The loss: half a squared error in units of the noise, summed over the example."""
        x = batch.x
        times = model.path.times().to(x.device)
        spread = (
            torch.arange(len(x), device=x.device) + torch.rand(len(x), device=x.device)
        ) / len(x)
        t = times[(spread * len(times)).long().clamp(max=len(times) - 1)]
        wide = (-1, *[1] * (x.dim() - 1))
        alpha, sigma = model.path.alpha(t).reshape(wide), model.path.sigma(t).reshape(wide)
        eps = torch.randn_like(x)
        score = model.score(alpha * x + sigma * eps, batch.context, t=t)
        return Loss((sigma * score + eps).square().flatten(1).sum(dim=1).mean() / 2)
