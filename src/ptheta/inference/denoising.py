r"""Draws by denoising in steps: ancestral sampling, DDIM, and solvers of second order.

From a time t to an earlier one s, with the data that are predicted, :math:`\hat x`,

.. math:: x_s = \alpha_s \hat x + \frac{\sqrt{\sigma_s^2 - \eta^2 \tau^2}}{\sigma_t}
    (x_t - \alpha_t \hat x) + \eta \, \tau \, \epsilon, \qquad
    \tau^2 = \frac{\sigma_s^2}{\sigma_t^2} \left(
    \sigma_t^2 - \frac{\alpha_t^2}{\alpha_s^2} \sigma_s^2 \right) .

With :math:`\eta = 1` that is the reverse chain of DDPM, whose noise has the variance :math:`\tau^2`
of the forward chain given the data, or more where the denoiser says so; with :math:`\eta = 0` it is
DDIM, the probability flow in steps
that are exact where the prediction stands still. Nothing is divided by :math:`\alpha_t`, so that a
path may end in noise alone.

References:
    Denoising Diffusion Probabilistic Models (Ho, Jain & Abbeel, 2020),
    https://arxiv.org/abs/2006.11239, equations 6 and 7
    Denoising Diffusion Implicit Models (Song, Meng & Ermon, 2021),
    https://arxiv.org/abs/2010.02502, equation 12
    DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models (Lu et al.,
    2022), https://arxiv.org/abs/2211.01095, algorithms 1 and 2
"""

__all__ = ["ancestral", "ddim", "descending", "heun", "multistep", "spaced", "widening"]

from itertools import pairwise

import torch
from torch import Tensor

from ptheta.noising import Path, Predict


def spaced(path: Path, steps: int) -> Tensor:
    """The times of so many steps, spaced as the levels of a path are, from noise to the least.

    Arguments:
        path: The path.
        steps: The number of steps.

    Returns:
        The times, descending, with shape (steps + 1,).

    Raises:
        ValueError: There is no step.
    """
    if steps < 1:
        raise ValueError(f"expected one step or more, got {steps}")
    times = path.times().flip(0)
    places = torch.linspace(0, len(times) - 1, steps + 1)
    before = places.long().clamp(max=len(times) - 2)
    return torch.lerp(times[before], times[before + 1], places - before)


def descending(times: Tensor, like: Tensor) -> Tensor:
    """Times of steps from noise to data, as a sampler takes them.

    Arguments:
        times: The times, with shape (n,).
        like: A tensor of the device and the dtype that they are brought to.

    Raises:
        ValueError: They are not numbers in descending order.
    """
    # a time may stand still, for steps at one level
    if times.dim() != 1 or not len(times) or not bool((times.diff() <= 0).all()):
        raise ValueError("the times of a sampler descend, from noise to data; `spaced` makes them")
    return times.to(like)


def ddim(predict: Predict, path: Path, x: Tensor, times: Tensor, *, eta: float = 0.0) -> Tensor:
    """Draws by steps that keep a share of the noise and draw the rest anew.

    Arguments:
        predict: The denoiser.
        path: The path.
        x: Noise at the first time, with shape (n, *shape).
        times: The times, descending; the last prediction is what is drawn.
        eta: How much of the noise is drawn anew, from 0 to 1.

    Returns:
        Draws, with shape (n, *shape).

    Raises:
        ValueError: The times do not descend, or eta is not from 0 to 1.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is from 0 to 1, got {eta}")
    times = descending(times, x)
    alphas, sigmas = path.alpha(times), path.sigma(times)
    (alpha_t, alpha_s), (sigma_t, sigma_s) = _steps(alphas), _steps(sigmas)
    lost = (sigma_t.square() - (alpha_t / alpha_s * sigma_s).square()).clamp(min=0).sqrt()
    fresh = eta * sigma_s / sigma_t * lost
    kept = (sigma_s.square() - fresh.square()).clamp(min=0).sqrt() / sigma_t
    drift = alpha_s - kept * alpha_t
    # as numbers, and all at once: beside a small network tensors of one number are dear
    ratios = widening(path, times[:-1], times[1:]).tolist()
    rows = zip(times, drift.tolist(), kept.tolist(), fresh.tolist(), ratios, strict=False)
    for t, of_data, of_noised, of_fresh, ratio in rows:
        found = predict(x, t)
        x = found.data.mul(of_data).add(x, alpha=of_noised)
        if eta:
            noise = torch.randn_like(x)
            if found.spread is not None:
                noise.mul_((found.spread * (ratio / 2)).exp())
            x = x.add_(noise, alpha=of_fresh)
    return predict(x, times[-1]).data


def widening(path: Path, t: Tensor, s: Tensor) -> Tensor:
    r"""The log of the ratio of the most to the least variance that a step back may have.

    .. math:: \log \frac{\sigma_t^2}{\alpha_t^2 + \sigma_t^2}
        - \log \frac{\sigma_s^2}{\alpha_s^2 + \sigma_s^2}

    The least is that of the forward chain given the data, the most that of the forward chain of
    data of unit variance, which a step back would have if it knew nothing of the data.

    References:
        Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
        https://arxiv.org/abs/2102.09672, section 3.1, where they are :math:`\tilde\beta` and
        :math:`\beta`

    Arguments:
        path: The path.
        t: Where the steps begin.
        s: Where they end, nearer to the data.

    Returns:
        The logs of the ratios, shaped as the times.
    """
    return _log_share(path, t) - _log_share(path, s)


def ancestral(predict: Predict, path: Path, x: Tensor, times: Tensor) -> Tensor:
    """Draws by the reverse chain, as `ddim` with all noise drawn anew.

    Where the denoiser says how wide steps back are, the noise is as wide.

    Arguments:
        predict: The denoiser.
        path: The path.
        x: Noise at the first time, with shape (n, *shape).
        times: The times, descending.

    Returns:
        Draws, with shape (n, *shape).
    """
    return ddim(predict, path, x, times, eta=1.0)


def heun(predict: Predict, path: Path, x: Tensor, times: Tensor) -> Tensor:
    """Draws by the probability flow, each step taken again with what is predicted at its end.

    It takes two predictions a step, and its error falls with the square of the step.

    References:
        Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
        https://arxiv.org/abs/2206.00364, algorithm 1

    Arguments:
        predict: The denoiser.
        path: The path.
        x: Noise at the first time, with shape (n, *shape).
        times: The times, descending.

    Returns:
        Draws, with shape (n, *shape).
    """
    times = descending(times, x)
    for t, s in pairwise(times):
        data = predict(x, t).data
        there = _moved(path, x, t, s, data)
        x = _moved(path, x, t, s, (data + predict(there, s).data) / 2)
    return predict(x, times[-1]).data


def multistep(predict: Predict, path: Path, x: Tensor, times: Tensor) -> Tensor:
    """Draws by the probability flow, the prediction carried on from the step before (2M).

    It takes one prediction a step, and its error falls with the square of the step.

    Arguments:
        predict: The denoiser.
        path: The path.
        x: Noise at the first time, with shape (n, *shape).
        times: The times, descending.

    Returns:
        Draws, with shape (n, *shape).
    """
    before: tuple[Tensor, Tensor] | None = None
    times = descending(times, x)
    for t, s in pairwise(times):
        data = predict(x, t).data
        width = _log_ratio(path, s) - _log_ratio(path, t)
        carried = data
        if before is not None and before[1].isfinite():
            carried = data + width / (2 * before[1]) * (data - before[0])
        x = _moved(path, x, t, s, carried)
        if width > 0:  # times may stand still, and what was carried on stays
            before = data, width
    return predict(x, times[-1]).data


def _steps(values: Tensor) -> tuple[Tensor, Tensor]:
    """Those at the start and at the end of every step."""
    return values[:-1], values[1:]


def _moved(path: Path, x: Tensor, t: Tensor, s: Tensor, data: Tensor) -> Tensor:
    """A step of the probability flow with the data held still."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = _at(path, t), _at(path, s)
    kept = sigma_s / sigma_t
    return kept * x + (alpha_s - alpha_t * kept) * data


def _log_ratio(path: Path, t: Tensor) -> Tensor:
    alpha, sigma = _at(path, t)
    return alpha.log() - sigma.log()


def _log_share(path: Path, t: Tensor) -> Tensor:
    """The log of the share that noise has of the variance."""
    alpha, sigma = _at(path, t)
    return 2 * sigma.log() - (alpha.square() + sigma.square()).log()


def _at(path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
    return path.alpha(t), path.sigma(t)
