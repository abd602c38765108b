"""Annealed Langevin dynamics: from noise to data through levels of noise."""

__all__ = ["annealed_langevin", "matched_step"]

import torch
from torch import Tensor

from ptheta.inference.denoising import descending
from ptheta.noising import Path, Predict


def annealed_langevin(
    predict: Predict,
    path: Path,
    x: Tensor,
    times: Tensor,
    *,
    steps: int = 5,
    step: float = 0.1,
    denoise: bool = True,
) -> Tensor:
    r"""Langevin dynamics at every level of noise in turn, the largest first.

    .. math:: x \leftarrow x + h \sigma_i^2 s(x, t_i) + \sqrt{2 h} \, \sigma_i \epsilon

    References:
        Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
        https://arxiv.org/abs/1907.05600, algorithm 1 (our h is its :math:`\epsilon / 2 \sigma_L^2`)
        Improved Techniques for Training Score-Based Generative Models (Song & Ermon, 2020),
        https://arxiv.org/abs/2006.09011, algorithm 1 and, for the last step, section 3.4

    Arguments:
        predict: The denoiser.
        path: The path.
        x: Noise at the first time, with shape (n, *shape).
        times: The levels, descending.
        steps: The number of Langevin steps at each level.
        step: The step h, in units of the level's variance.
        denoise: Whether to end at the mean of the data given the last x (Tweedie's formula), which
            takes off the noise of the last level.

    Returns:
        Draws, with shape (n, *shape).

    Raises:
        ValueError: The times do not descend.
    """
    times = descending(times, x)
    for t in times:
        sigma = path.sigma(t)
        for _ in range(steps):
            # the score by the variance of the level
            slope = -sigma * predict(x, t).noise
            x = x + step * slope + (2 * step) ** 0.5 * sigma * torch.randn_like(x)
    return predict(x, times[-1]).data if denoise else x


def matched_step(ratio: float, steps: int) -> float:
    r"""The Langevin step that best carries the noise of one level to that of the next.

    Around one example the variance of x after the steps is, in units of the new level's,

    .. math:: v(h) = (1 - h)^{2 n} \left(\gamma^2 - \frac{2}{2 - h}\right) + \frac{2}{2 - h} ,

    with the ratio :math:`\gamma` of the levels and n steps; the step chosen has it nearest to 1.

    References:
        Improved Techniques for Training Score-Based Generative Models (Song & Ermon, 2020),
        https://arxiv.org/abs/2006.09011, technique 4, equation 7

    Arguments:
        ratio: The standard deviation of the level before over that of the level.
        steps: The number of steps at each level.

    Returns:
        The step, in units of the level's variance.

    Example:
        >>> 0 < matched_step(1.2, 10) < matched_step(1.2, 5) < 1
        True
    """
    h = torch.linspace(1e-3, 0.999, 999, dtype=torch.float64)
    limit = 2 / (2 - h)
    variance = (1 - h) ** (2 * steps) * (ratio**2 - limit) + limit
    return float(h[(variance - 1).abs().argmin()])
