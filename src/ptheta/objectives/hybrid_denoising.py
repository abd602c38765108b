"""Denoising with variances that are learned too."""

__all__ = ["HybridDenoising"]

import torch

from ptheta.inference.variational import step_divergence
from ptheta.noising import SupportsPredict
from ptheta.objectives.score_matching import at_every_level
from ptheta.objectives.types import Batch, Loss


class HybridDenoising:
    r"""Denoising at every level of a path, with a little of the bound to learn variances by.

    .. math:: \mathcal{L} = \frac{1}{2} \, \mathbb{E} \| \hat \epsilon(x_t, t) - \epsilon \|^2
        + w \, T \, \mathbb{E} \operatorname{KL}(q(x_s \mid x_t, x) \,\|\, p(x_s \mid x_t))

    The second term is that of one of the T steps between the path's levels. Its mean is held still,
    so that only the variances learn by it. The denoiser says them, as `SpreadDenoiser` does.

    References:
        Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
        https://arxiv.org/abs/2102.09672, equation 16, with its weight

    Arguments:
        weight: The weight w.
    """

    def __init__(self, weight: float = 0.001) -> None:
        self.weight = weight

    def loss(self, model: SupportsPredict, batch: Batch) -> Loss:
        """The loss: the first term in units of the noise, summed over the example.

        Raises:
            ValueError: The denoiser does not say how wide steps back are.
        """
        path = model.path
        noised, eps, t = at_every_level(path, batch.x)
        found = model.predict(noised, batch.context, t=t)
        if found.spread is None:
            raise ValueError("the denoiser does not say how wide steps back are; take denoising")
        denoising = (found.noise - eps).square().flatten(1).sum(dim=1).mean() / 2
        times = path.times().to(t)
        # of the first level there is no step, and the divergence is none: the mean over all levels,
        # times their number, is the sum over the steps
        s = times[(torch.searchsorted(times, t) - 1).clamp(min=0)]
        still = found._replace(data=found.data.detach())
        bound = len(times) * step_divergence(still, path, batch.x, t, s).mean()
        terms = {"denoising": denoising.detach(), "bound": bound.detach()}
        return Loss(denoising + self.weight * bound, terms)
