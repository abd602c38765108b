"""The Metropolis-Hastings choice: which proposals are taken, and the step size tuned by it."""

__all__ = ["accepted", "check_step_size", "tuned"]

import math

import torch
from torch import Tensor


def accepted(log_ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Which proposals are taken.

    References:
        Monte Carlo Sampling Methods Using Markov Chains and Their Applications (Hastings, 1970),
        https://doi.org/10.1093/biomet/57.1.97

    Arguments:
        log_ratio: By how much the proposal is likelier than where the chain stands, the ways there
            and back counted in, in nats, with shape (chains,). One that is NaN is refused.

    Returns:
        Whether each is taken, with shape (chains,), and the mean probability of it, a scalar.
    """
    probability = log_ratio.masked_fill(log_ratio.isnan(), -math.inf).clamp(max=0).exp()
    return torch.rand_like(probability) < probability, probability.mean()


def tuned(step_size: Tensor, acceptance: Tensor, target: float | None, rate: float) -> Tensor:
    r"""The step size moved towards a mean acceptance, :math:`\log h + r (\bar a - a^*)`.

    Arguments:
        step_size: The step size h, a scalar.
        acceptance: The mean probability of acceptance of the last step.
        target: The acceptance to tune for; None keeps the step as it is.
        rate: How fast it is tuned, r.
    """
    return step_size if target is None else step_size * (rate * (acceptance - target)).exp()


def check_step_size(step_size: float) -> None:
    """Refuses a step with which chains would not move, or climb where they are to fall.

    Arguments:
        step_size: The step size.

    Raises:
        ValueError: It is not a finite number above 0.
    """
    if not 0 < step_size < math.inf:
        raise ValueError(f"the step of a kernel is a number above 0, got {step_size}")
