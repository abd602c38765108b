r"""One prediction in each of the forms in which papers have it.

With :math:`x_t = \alpha x + \sigma \epsilon`, networks predict the data, the noise, the score
:math:`\nabla \log p_t(x_t) = - \hat \epsilon / \sigma`, the turned pair
:math:`v = \alpha \epsilon - \sigma x`, or the velocity :math:`\alpha' x + \sigma' \epsilon` of the
probability flow. All say the same, and each is poorly scaled somewhere on a path.

References:
    Progressive Distillation for Fast Sampling of Diffusion Models (Salimans & Ho, 2022),
    https://arxiv.org/abs/2202.00512, section 4 and appendix D
    Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747
"""

__all__ = [
    "Rates",
    "from_data",
    "from_noise",
    "from_score",
    "from_v",
    "from_velocity",
    "rates",
    "to_score",
    "to_v",
    "to_velocity",
]

from typing import NamedTuple

import torch
from torch import Tensor

from ptheta.noising import Path, Prediction


class Rates(NamedTuple):
    """A path at a time, and how fast it moves there; all shaped as the time.

    Arguments:
        alpha: The scale of the data.
        sigma: The scale of the noise.
        alpha_rate: The derivative of alpha by t.
        sigma_rate: The derivative of sigma by t.
    """

    alpha: Tensor
    sigma: Tensor
    alpha_rate: Tensor
    sigma_rate: Tensor


def rates(path: Path, t: Tensor) -> Rates:
    """A path and its derivatives at t.

    Arguments:
        path: The path.
        t: The time, of any shape.
    """
    with torch.enable_grad():
        at = t.detach().requires_grad_()
        alpha, sigma = path.alpha(at), path.sigma(at)
        return Rates(alpha.detach(), sigma.detach(), _rate(alpha, at), _rate(sigma, at))


def _rate(scale: Tensor, t: Tensor) -> Tensor:
    # a scale that stands still does not know of the time
    if not scale.requires_grad:
        return torch.zeros_like(t)
    return torch.autograd.grad(scale.sum(), t)[0]


def to_score(prediction: Prediction, sigma: Tensor) -> Tensor:
    """The gradient of log p_t by x."""
    return -prediction.noise / sigma


def to_v(prediction: Prediction, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The pair turned by a quarter."""
    return alpha * prediction.noise - sigma * prediction.data


def to_velocity(prediction: Prediction, at: Rates) -> Tensor:
    """The velocity of the probability flow by t."""
    return at.alpha_rate * prediction.data + at.sigma_rate * prediction.noise


def from_data(x: Tensor, data: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
    """Of predicted data, where there is noise."""
    return Prediction(data, (x - alpha * data) / sigma)


def from_noise(x: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
    """Of predicted noise, where there are data."""
    return Prediction((x - sigma * noise) / alpha, noise)


def from_score(x: Tensor, score: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
    """Of a predicted score, where there are data."""
    return from_noise(x, -sigma * score, alpha, sigma)


def from_v(x: Tensor, v: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
    """Of a predicted v."""
    square = alpha.square() + sigma.square()
    return Prediction((alpha * x - sigma * v) / square, (sigma * x + alpha * v) / square)


def from_velocity(x: Tensor, velocity: Tensor, at: Rates) -> Prediction:
    """Of a predicted velocity."""
    turn = at.alpha * at.sigma_rate - at.sigma * at.alpha_rate
    return Prediction(
        (at.sigma_rate * x - at.sigma * velocity) / turn,
        (at.alpha * velocity - at.alpha_rate * x) / turn,
    )
