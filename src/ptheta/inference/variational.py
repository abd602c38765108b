r"""The bound on the log-density of a chain that denoises level by level.

With the signal-to-noise ratio :math:`r(t) = \alpha(t)^2 / \sigma(t)^2` at the levels
:math:`t_1 < \dots < t_T`,

.. math:: - \log p(x) \le \operatorname{KL}(q(x_{t_T} \mid x) \,\|\, p(x_{t_T}))
    + \sum_{i=2}^{T} \tfrac{1}{2} \left(r(t_{i-1}) - r(t_i)\right)
      \mathbb{E} \, \| x - \hat x(x_{t_i}, t_i) \|^2
    - \mathbb{E} \log p(x \mid x_{t_1}) ,

where the chain's steps have the variance of the forward chain given the data (or more, where the
denoiser says so: then see `step_divergence`), the last level is
Gaussian of the variance of standardised data, and :math:`p(x \mid x_{t_1})` has the mean
:math:`\hat x` and the variance :math:`1 / r(t_1)`.

References:
    Deep Unsupervised Learning using Nonequilibrium Thermodynamics (Sohl-Dickstein, Weiss,
    Maheswaranathan & Ganguli, 2015), https://arxiv.org/abs/1503.03585
    Denoising Diffusion Probabilistic Models (Ho, Jain & Abbeel, 2020),
    https://arxiv.org/abs/2006.11239, equation 5
    Variational Diffusion Models (Kingma, Salimans, Poole & Ho, 2021),
    https://arxiv.org/abs/2107.00630
"""

__all__ = ["step_divergence", "variational_bound"]

import math

import torch
from torch import Tensor

from ptheta.broadcasting import over
from ptheta.inference.denoising import widening
from ptheta.noising import Path, Predict, Prediction


def variational_bound(predict: Predict, path: Path, x: Tensor, *, levels: int) -> Tensor:
    """A bound on log p(x) in nats that holds in expectation, with shape (n,).

    Arguments:
        predict: The denoiser; it is given a time for each row.
        path: The path, whose levels are the chain's.
        x: The data, standardised, with shape (n, *shape).
        levels: The number of levels, drawn at random, by which the sum over all is estimated for
            each row.
    """
    times = path.times().to(x)
    first, last = times[0], times[-1]
    found = -_final_divergence(x, path.alpha(last), path.sigma(last))
    found -= _beyond_the_chain(predict, path, x, first)
    if len(times) > 1:
        found -= _along_the_chain(predict, path, x, times, levels)
    return found


def _final_divergence(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The divergence of the noised example from the Gaussian that draws start from."""
    ratio = sigma.square() / (alpha.square() + sigma.square())
    moved = (alpha / sigma).square() * x.square()
    return 0.5 * (ratio * (1 + moved) - 1 - ratio.log()).flatten(1).sum(dim=1)


def _beyond_the_chain(predict: Predict, path: Path, x: Tensor, first: Tensor) -> Tensor:
    """The surprise of the example given it at the first level."""
    scale = path.sigma(first) / path.alpha(first)
    at = first.expand(len(x))
    errors = (x - predict(_noised(path, x, at), at).data).square().flatten(1).sum(dim=1)
    normaliser = x.shape[1:].numel() * (0.5 * math.log(2 * math.pi) + scale.log())
    return errors / (2 * scale.square()) + normaliser


def _along_the_chain(predict: Predict, path: Path, x: Tensor, times: Tensor, levels: int) -> Tensor:
    """The divergences of all steps, by some that are spread over the chain at random."""
    ends, starts = times[:-1], times[1:]
    steps = len(starts)
    total = x.new_zeros(len(x))
    for k in range(levels):
        share = (k + torch.rand(len(x), device=x.device)) / levels
        at = (share * steps).long().clamp(max=steps - 1)
        found = predict(_noised(path, x, starts[at]), starts[at])
        total += step_divergence(found, path, x, starts[at], ends[at])
    return total * steps / levels


def step_divergence(found: Prediction, path: Path, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    r"""The divergence of the forward chain given the data from a step back.

    .. math:: \operatorname{KL} = \sum_i \tfrac{1}{2} \left( \lambda_i - 1 + e^{-\lambda_i}
        \left(1 + (r(s) - r(t)) (x_i - \hat x_i)^2 \right) \right)

    with :math:`\lambda_i` the log of the variance of the step over the least, which is zero where
    the denoiser does not say it.

    References:
        Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
        https://arxiv.org/abs/2102.09672, equations 4 and 15

    Arguments:
        found: What is predicted of the noised examples.
        path: The path.
        x: The examples, with shape (batch, *shape).
        t: Where the step of each begins, with shape (batch,).
        s: Where it ends, nearer to the data.

    Returns:
        The divergences in nats, with shape (batch,).
    """
    gain = _signal_to_noise(path, s) - _signal_to_noise(path, t)
    errors = over(gain, x) * (x - found.data).square()
    if found.spread is not None:
        wider = over(widening(path, t, s), x) * found.spread
        errors = wider - 1 + (-wider).exp() * (1 + errors)
    return errors.flatten(1).sum(dim=1) / 2


def _signal_to_noise(path: Path, t: Tensor) -> Tensor:
    return (path.alpha(t) / path.sigma(t)).square()


def _noised(path: Path, x: Tensor, t: Tensor) -> Tensor:
    return over(path.alpha(t), x) * x + over(path.sigma(t), x) * torch.randn_like(x)
