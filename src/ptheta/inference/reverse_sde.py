r"""Draws by the stochastic equation that runs from noise to data.

Along a path with :math:`f = \alpha' / \alpha` and
:math:`g^2 = 2 \sigma \sigma' - 2 f \sigma^2`, data are noised by
:math:`dx = f x \, dt + g \, dw`, and noise becomes data by

.. math:: dx = \left( f x - g^2 \nabla \log p_t(x) \right) dt + g \, d \bar w

with time running back.

References:
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021),
    https://arxiv.org/abs/2011.13456, equations 6 and 10
"""

__all__ = ["euler_maruyama", "predictor_corrector"]

from itertools import pairwise

import torch
from torch import Tensor

from ptheta.inference.denoising import descending
from ptheta.inference.predictions import rates
from ptheta.noising import Path, Predict


def euler_maruyama(predict: Predict, path: Path, x: Tensor, times: Tensor) -> Tensor:
    """Draws by steps along the equation with what is predicted at their start.

    Arguments:
        predict: The denoiser.
        path: The path, with data at every time.
        x: Noise at the first time, with shape (n, *shape).
        times: The times, descending; the last prediction is what is drawn.

    Returns:
        Draws, with shape (n, *shape).
    """
    return predictor_corrector(predict, path, x, times, corrections=0)


def predictor_corrector(
    predict: Predict,
    path: Path,
    x: Tensor,
    times: Tensor,
    *,
    corrections: int = 1,
    ratio: float = 0.16,
) -> Tensor:
    r"""Draws by steps along the equation, each corrected by Langevin steps at its end.

    A Langevin step is of size :math:`2 (r \sigma)^2`. The paper takes the norms of noise and score
    that the batch happens to have in place of those that they have in the mean,
    :math:`\sqrt d` and :math:`\sqrt d / \sigma`; with these, a draw does not hang on its company.

    References:
        Score-Based Generative Modeling through Stochastic Differential Equations (Song et al.,
        2021), https://arxiv.org/abs/2011.13456, algorithms 1 to 5

    Arguments:
        predict: The denoiser.
        path: The path, with data at every time.
        x: Noise at the first time, with shape (n, *shape).
        times: The times, descending; the last prediction is what is drawn.
        corrections: The number of Langevin steps at each time.
        ratio: The ratio r of signal to noise in these.

    Returns:
        Draws, with shape (n, *shape).

    Raises:
        ValueError: The times do not descend, or the path has no data left at the first.
    """
    times = descending(times, x)
    if not path.alpha(times[0]) > 0:
        raise ValueError(
            "the stochastic equation begins where there is something of the data, and this path "
            "has nothing of them left at the first time; begin a little before it"
        )
    for t, s in pairwise(times):
        x = _predicted(predict, path, x, t, s)
        sigma = path.sigma(s)
        for _ in range(corrections):
            step = 2 * (ratio * sigma).square()
            score = -predict(x, s).noise / sigma
            x = x + step * score + (2 * step).sqrt() * torch.randn_like(x)
    return predict(x, times[-1]).data


def _predicted(predict: Predict, path: Path, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    at = rates(path, t)
    fading = at.alpha_rate / at.alpha
    spread = (2 * at.sigma * (at.sigma_rate - fading * at.sigma)).clamp(min=0)
    drift = fading * x + spread / at.sigma * predict(x, t).noise
    return x - (t - s) * drift + (spread * (t - s)).sqrt() * torch.randn_like(x)
