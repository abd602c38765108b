"""Data and runs whose figures are known in closed form."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ptheta.data.dataset import Data, Split, Truth
from ptheta.fitting import Run
from ptheta.protocols import Bracket
from ptheta.spaces import Categorical, Discrete, Real, Space

BRACKET = Bracket(low=1.0, low_error=0.1, high=1.5, high_error=0.2)
ENTROPY = 2 * 0.5 * math.log(2 * math.pi * math.e)


def normal_log_prob(x: Tensor) -> Tensor:
    return -0.5 * x.double().square().sum(dim=1) - math.log(2 * math.pi)


class Normal(nn.Module):
    """N(shift, 1) in the plane, and exact."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        return torch.randn(n, 2) + self.shift.detach()

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return normal_log_prob(x - self.shift)


class Annealed(nn.Module):
    """N(0, 1) in the plane, with a constant that says that it was annealed."""

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        return torch.randn(n, 2)

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return normal_log_prob(x)

    def log_partition_bracket(self) -> Bracket:
        return BRACKET


class Unnormalised(nn.Module):
    """The same density up to a constant of 7."""

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        return torch.randn(n, 2)

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return normal_log_prob(x) + 7


class Bound(nn.Module):
    """A bound that is loose by 1 / particles."""

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        return torch.randn(n, 2)

    def elbo(self, x: Tensor, context: Tensor | None = None, *, particles: int = 1) -> Tensor:
        return normal_log_prob(x) - 1 / particles


class Sampler(nn.Module):
    """Samples alone."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        return torch.randn(n, 2) + self.value


class Uniform(nn.Module):
    """Levels, all equally likely but the last, which is impossible."""

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        return torch.randint(4, (n, 3), dtype=torch.uint8)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        values = torch.where(x < 4, -math.log(4), -math.inf)
        return values.sum(dim=1)


class Copycat(nn.Module):
    """Samples around its context, or, if it ignores the context, around any."""

    def __init__(self, *, ignores: bool) -> None:
        super().__init__()
        self.ignores = ignores

    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        assert context is not None
        code = torch.randint(2, (n,)) if self.ignores else context
        return torch.randn(n, 2) + 6 * code[:, None]


def plane(n: int = 300, **known: Any) -> Data:
    """Standard normal pairs, whose truth is known."""
    g = torch.Generator().manual_seed(0)
    train, validation, test = (Split(torch.randn(n, 2, generator=g)) for _ in range(3))
    known = {"truth": Truth(normal_log_prob, ENTROPY), **known}
    return Data("plane", Real((2,)), train, validation, test, fingerprint="f", **known)


def labelled(n: int = 300) -> Data:
    """Two clouds, each with its label."""
    g = torch.Generator().manual_seed(0)
    splits: list[Split] = []
    for _ in range(3):
        code = torch.randint(2, (n,), generator=g)
        splits.append(Split(torch.randn(n, 2, generator=g) + 6 * code[:, None], code))
    return Data("labelled", Real((2,)), *splits, context_space=Categorical((), 2))


def levels(n: int = 300) -> Data:
    """Four levels of five, equally likely."""
    g = torch.Generator().manual_seed(0)
    splits = [Split(torch.randint(4, (n, 3), generator=g).to(torch.uint8)) for _ in range(3)]
    return Data("levels", Discrete((3,), 5), *splits)


def run_of(
    model: nn.Module,
    space: Space | None = None,
    context_space: Categorical | Real | None = None,
) -> Run:
    """A run that holds a model."""
    return Run(
        model=model,
        recipe="fake",
        settings={},
        space=space or Real((2,)),
        context_space=context_space,
        columns=(),
        data="plane",
        origin={},
        fingerprint="f",
        seed=0,
        history=(),
        folder=None,
        steps=1,
        seconds=1.0,
        stopped="done",
        examples_per_second=1.0,
        constraints=(),
    )
