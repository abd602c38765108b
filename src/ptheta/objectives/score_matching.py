"""Score matching: exact, by slices, and denoising at one level of noise and at many."""

__all__ = [
    "DenoisingScoreMatching",
    "MultiScaleDenoisingScoreMatching",
    "MultiLevelDenoisingScoreMatching",
    "ScoreMatching",
    "SlicedScoreMatching",
    "at_every_level",
]

import torch
from torch import Tensor

from ptheta.broadcasting import over
from ptheta.noising import Path, SupportsNoisedScore
from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import SupportsScore


class ScoreMatching:
    r"""The Fisher divergence from the data up to a constant, by integration by parts.

    .. math:: \mathcal{L} = \mathbb{E}_{x \sim p_\text{data}} \left[
        \tfrac{1}{2} \lVert s_\theta(x) \rVert^2 + \nabla \cdot s_\theta(x) \right]

    It holds for scores without jumps: networks with smooth activations, no splines. The
    divergence takes one pass back for each value of an example.

    References:
        Estimation of Non-Normalized Statistical Models by Score Matching (Hyvärinen, 2005),
        https://jmlr.org/papers/v6/hyvarinen05a.html, theorem 1
    """

    def loss(self, model: SupportsScore, batch: Batch) -> Loss:
        """The loss: half a squared length and a divergence, summed over the example."""
        x, score = _score_with_graph(model, batch)
        columns = score.flatten(1).unbind(dim=1)
        slopes = [_gradient(column, x).flatten(1)[:, i] for i, column in enumerate(columns)]
        return _hyvarinen(score.flatten(1).square().sum(dim=1), torch.stack(slopes).sum(dim=0))


class SlicedScoreMatching:
    r"""Score matching with the divergence estimated along random directions, without bias.

    .. math:: \mathcal{L} = \mathbb{E} \left[ \tfrac{1}{2} \lVert s_\theta(x) \rVert^2
        + v^T \nabla \left( v^T s_\theta(x) \right) \right], \qquad \mathbb{E} \, v v^T = I

    That is the form of reduced variance; without it the squared length is sliced as well, as
    :math:`(v^T s_\theta(x))^2`, which has the same mean.

    References:
        Sliced Score Matching: A Scalable Approach to Density and Score Estimation (Song, Garg, Shi
        & Ermon, 2019), https://arxiv.org/abs/1905.07088, equations 7 and 8, with signs as
        directions

    Arguments:
        projections: The number of directions for each example.
        variance_reduction: Whether the squared length is taken whole.

    Raises:
        ValueError: There is no direction.
    """

    def __init__(self, projections: int = 1, *, variance_reduction: bool = True) -> None:
        if projections < 1:
            raise ValueError(f"expected a direction or more for each example, got {projections}")
        self.projections = projections
        self.variance_reduction = variance_reduction

    def loss(self, model: SupportsScore, batch: Batch) -> Loss:
        """The loss: half a squared length and a divergence, summed over the example."""
        x, score = _score_with_graph(model, batch)
        slopes: list[Tensor] = []
        squares: list[Tensor] = []
        for _ in range(self.projections):
            v = torch.randint(0, 2, x.shape, device=x.device).to(x.dtype) * 2 - 1
            along = v * score
            slopes.append((v * _gradient(along, x)).flatten(1).sum(dim=1))
            if not self.variance_reduction:
                squares.append(along.flatten(1).sum(dim=1).square())
        if self.variance_reduction:
            squares = [score.flatten(1).square().sum(dim=1)]
        return _hyvarinen(torch.stack(squares).mean(dim=0), torch.stack(slopes).mean(dim=0))


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

    Raises:
        ValueError: It is not above 0.
    """

    def __init__(self, sigma: float) -> None:
        if not sigma > 0:
            raise ValueError(f"the standard deviation of noise is above 0, got {sigma}")
        self.sigma = sigma

    def loss(self, model: SupportsScore, batch: Batch) -> Loss:
        """The loss: half a squared error in units of the noise, summed over the example."""
        eps = torch.randn_like(batch.x)
        score = model.score(batch.x + self.sigma * eps, batch.context)
        return Loss((self.sigma * score + eps).square().flatten(1).sum(dim=1).mean() / 2)


class MultiScaleDenoisingScoreMatching:
    r"""One score, told of no level, that takes the noise of many levels off (MDSM).

    .. math:: \mathcal{L} = \frac{1}{2} \, \mathbb{E}_{\sigma \sim U(a, b)} \mathbb{E} \left\|
        \frac{\sigma_0^2}{\sigma} s_\theta(x + \sigma \epsilon) + \epsilon \right\|^2

    In many dimensions how far an example is from the data tells its level, so that one energy can
    hold the shells of all: near the data it is that of data with noise :math:`\sigma_0`, and
    further out a funnel towards them. In few dimensions the levels lie over each other, and what
    is fitted is the score of no density; take `DenoisingScoreMatching` there.

    References:
        Learning Energy-Based Models in High-Dimensional Spaces with Multi-scale Denoising Score
        Matching (Li, Chen & Sommer, 2019), https://arxiv.org/abs/1910.07762

    Arguments:
        sigma_min: The least standard deviation of the noise, a.
        sigma_max: The largest, b.
        sigma: The level whose score the energy has near the data, :math:`\sigma_0`.

    Raises:
        ValueError: The standard deviations are not above 0, or the least is not below the largest.
    """

    def __init__(
        self, sigma_min: float = 0.05, sigma_max: float = 1.2, *, sigma: float = 0.1
    ) -> None:
        if not 0 < sigma_min < sigma_max or not sigma > 0:
            raise ValueError(
                "expected 0 < sigma_min < sigma_max and sigma above 0, got "
                f"{sigma_min}, {sigma_max} and {sigma}"
            )
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.sigma = sigma

    def loss(self, model: SupportsScore, batch: Batch) -> Loss:
        """The loss: half a squared error in units of the noise, summed over the example."""
        x = batch.x
        share = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device, dtype=x.dtype)
        sigma = self.sigma_min + (self.sigma_max - self.sigma_min) * share
        eps = torch.randn_like(x)
        score = model.score(x + sigma * eps, batch.context)
        errors = self.sigma**2 / sigma * score + eps
        return Loss(errors.square().flatten(1).sum(dim=1).mean() / 2)


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
        noised, eps, t = at_every_level(model.path, batch.x)
        score = model.score(noised, batch.context, t=t)
        sigma = over(model.path.sigma(t), eps)
        return Loss((sigma * score + eps).square().flatten(1).sum(dim=1).mean() / 2)


def at_every_level(path: Path, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Examples at levels of a path, spread evenly over it at random.

    Arguments:
        path: The path.
        x: The examples, with shape (batch, *shape).

    Returns:
        The noised examples and their noise, both shaped as x, and their times, with shape (batch,).
    """
    times = path.times().to(x.device)
    spread = (torch.arange(len(x), device=x.device) + torch.rand(len(x), device=x.device)) / len(x)
    t = times[(spread * len(times)).long().clamp(max=len(times) - 1)]
    eps = torch.randn_like(x)
    return over(path.alpha(t), x) * x + over(path.sigma(t), x) * eps, eps, t


def _score_with_graph(model: SupportsScore, batch: Batch) -> tuple[Tensor, Tensor]:
    x = batch.x.detach().requires_grad_()
    return x, model.score(x, batch.context)


def _gradient(of: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(of.sum(), x, create_graph=True)[0]


def _hyvarinen(squared_length: Tensor, divergence: Tensor) -> Loss:
    terms = {"squared score": squared_length.mean() / 2, "divergence": divergence.mean()}
    value = terms["squared score"] + terms["divergence"]
    return Loss(value, {name: term.detach() for name, term in terms.items()})
