"""Checks of densities and their bounds."""

__all__ = [
    "batch_is_loop",
    "bound_rises",
    "bound_sums",
    "draws_have_density",
    "goodness_of_fit",
    "has_support",
    "normalised",
    "score_is_gradient",
]

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ptheta.protocols import SupportsLogProb, SupportsSample
from ptheta.random import seeded
from ptheta.spaces import Positive, Real, Space
from ptheta.testing.examples import grid, line, states
from ptheta.testing.fitted import Fitted, Make, one, require

_DRAWS = 4000


@torch.no_grad()
def batch_is_loop(fitted: Make, verb: str) -> None:
    """A verb gives of a batch what it gives of its rows."""
    found = fitted()
    x, context = found.x[:8], found.given(8)
    ask = getattr(found.model, verb)
    whole = ask(x, context)
    require(tuple(whole.shape) == (8,), f"{verb} has shape {tuple(whole.shape)}, expected (8,)")
    one_by_one = torch.cat(
        [ask(x[i : i + 1], None if context is None else context[i : i + 1]) for i in range(8)]
    )
    torch.testing.assert_close(whole, one_by_one, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def normalised(fitted: Make, space: Space) -> None:
    """The density sums to one."""
    found = fitted()
    slack = 1e-2 if states(space) is None else 1e-4
    # stirred flows can reach far
    reach = min(20.0, max(9.0, 2 * _farthest(found)))
    off = _off(found, space, torch.ones_like, 1.0, slack, reach)
    require(off < slack, f"the density sums to a value {off:.6f} off 1")


@torch.no_grad()
def draws_have_density(fitted: Make) -> None:
    """No draw has probability zero."""
    found = fitted()
    with seeded(6):
        drawn = found.model.sample(50, found.given(50))
    log_p = found.model.log_prob(drawn, found.given(50))
    require(bool(log_p.isfinite().all()), "some draws have no probability")


@torch.no_grad()
def goodness_of_fit(fitted: Make, space: Space) -> None:
    """The mean log-density of draws is the negative entropy of the density."""
    found = fitted()
    with seeded(2):
        drawn = found.model.sample(_DRAWS, one(found, _DRAWS))
    mine = found.model.log_prob(drawn, one(found, _DRAWS)).double()
    error = mine.std() / math.sqrt(_DRAWS)
    slack = 5 * error.item() + (1e-2 if states(space) is None else 1e-3)
    # the mean log-density of draws is the negative entropy, which the support gives exactly
    off = _off(found, space, lambda log_p: log_p.clamp(min=-700), mine.mean().item(), slack)
    require(off < slack, f"draws are off their own density by {off:.4f} nats")


def _off(
    found: Fitted,
    space: Space,
    of: Callable[[Tensor], Tensor],
    expected: float,
    slack: float,
    reach: float = 9.0,
) -> float:
    """How far the mean of a function of log p(x) under p(x) is from what it should be."""
    off = math.inf
    # a second look, where a ridge may be thinner than a step
    for finer in (1, 6) if states(space) is None else (1,):
        x, weight = _support(space, reach, finer)
        assert x is not None
        parts = [found.model.log_prob(part, one(found, len(part))) for part in x.split(1 << 18)]
        log_p = torch.cat(parts).double()
        off = abs((log_p.exp() * weight * of(log_p)).sum().item() - expected)
        if off < slack:
            break
    return off


@torch.no_grad()
def bound_sums(fitted: Make, space: Space) -> None:
    """The exponentials of the bound sum to one at most."""
    found = fitted()
    x = states(space)
    assert x is not None
    with seeded(4):
        draws = torch.stack([found.model.elbo(x, one(found, len(x))) for _ in range(8)])
    # the mean of draws of a bound is a bound on log p(x), and the p(x) sum to one at most
    total = draws.mean(dim=0).double().exp().sum().item()
    require(total < 1.02, f"the exponentials of the bound sum to {total:.4f}")


@torch.no_grad()
def bound_rises(fitted: Make) -> None:
    """The bound does not fall where it is taken of more particles."""
    found = fitted()
    x, context = found.x[:64], found.given(64)
    with seeded(5):
        one = torch.stack([found.model.elbo(x, context) for _ in range(10)])
        many = torch.stack([found.model.elbo(x, context, particles=8) for _ in range(10)])
    gain = many.mean(dim=1) - one.mean(dim=1)
    error = (gain.std() / math.sqrt(10)).item()
    require(gain.mean().item() > -5 * error - 1e-4, f"the bound fell by {-gain.mean():.4f} nats")


def score_is_gradient(fitted: Make) -> None:
    """The score is the gradient of the log-density."""
    found = fitted()
    verb = "log_prob" if isinstance(found.model, SupportsLogProb) else "unnormalized_log_prob"
    x = found.x[:16].clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(getattr(found.model, verb)(x, found.given(16)).sum(), x)
    score = fitted().model.score(x.detach(), found.given(16))
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-5)


def has_support(space: Space) -> bool:
    """Whether all of a space, or all of it that matters, can be gone through."""
    return _support(space)[0] is not None


def _farthest(found: Fitted) -> float:
    if not isinstance(found.model, SupportsSample):
        return 0.0
    with seeded(5):
        return found.model.sample(200, one(found, 200)).abs().max().item()


def _support(
    space: Space, reach: float = 9.0, finer: int = 1
) -> tuple[Tensor | None, Tensor | float]:
    finite = states(space)
    if finite is not None:
        return finite, 1.0
    if isinstance(space, Real) and space.shape == (2,):
        return grid(reach, 1 + finer * round(300 * reach / 9))
    if isinstance(space, Real | Positive) and space.shape == (1,):
        return line(12.0, 1 + 4000 * finer, positive=isinstance(space, Positive))
    return None, 1.0
