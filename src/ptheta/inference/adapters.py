"""Adapters that join a sampler to a model, and so add `sample` to what it offers."""

__all__ = ["NormalisedWithMCMC", "WithGibbs", "WithMCMC"]

from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ptheta.errors import PthetaError
from ptheta.inference.gibbs import BlockGibbs, SupportsStart
from ptheta.inference.kernels import ChainState, Kernel, Target, run
from ptheta.protocols import (
    SupportsDrawnDensity,
    SupportsInitialize,
    SupportsLogProbEstimate,
    SupportsScore,
    SupportsUnnormalizedLogProb,
)

S = TypeVar("S", bound=ChainState)
_FIRST_DRAWS = 10_000  # of noise, by which a constant starts


class _Energy(SupportsUnnormalizedLogProb, SupportsScore, Protocol):
    """What `WithMCMC` joins a kernel to."""


class _NormalisedEnergy(_Energy, SupportsLogProbEstimate, Protocol):
    """What `NormalisedWithMCMC` joins a kernel to."""

    def normalise(self, noise: SupportsDrawnDensity, context: Tensor | None, n: int) -> None:
        """Sets the constant by n draws of the noise."""
        ...


_TOO_FAR = 100.0  # times as far as chains start: those there have run away


class WithMCMC(nn.Module, Generic[S]):
    r"""An energy, sampled by Markov chains from standard normal starts.

    Every draw is the end of a chain of its own, so draws are independent; they follow the model
    as nearly as the chains have converged. In the first half of the steps the kernel may tune
    itself; in the second half it is settled.

    Where the energy is that of data smoothed by Gaussian noise, `jump` takes the noise off: a
    draw moves to the mean of the data given it, :math:`x + \sigma^2 \nabla \log p(x)`.

    References:
        Neural Empirical Bayes (Saremi & Hyvarinen, 2019), https://arxiv.org/abs/1903.02334,
        section 3, for the jump

    Arguments:
        model: The energy, a module.
        kernel: The transition.
        shape: The shape of one example.
        steps: The number of transitions of each draw.
        jump: The standard deviation of the noise to take off; 0 leaves the draws where they are.
    """

    def __init__(
        self,
        model: _Energy,
        kernel: Kernel[Target[_Energy], S],
        shape: tuple[int, ...],
        *,
        steps: int = 200,
        jump: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.kernel = kernel
        self.shape = shape
        self.steps = steps
        self.jump = jump
        self.register_buffer("origin", torch.zeros(()), persistent=False)  # where noise is made

    origin: Tensor

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """The ends of n chains, with shape (n, *shape).

        Raises:
            PthetaError: Chains have run away, a hundred times as far as they started or to where
                there are no numbers.
        """
        target = Target(self.model, context)
        tuning = self.steps // 2
        start = self.start(n)
        state = run(self.kernel, target, self.kernel.init(target, start), tuning)
        x = run(self.kernel.settled(), target, state, self.steps - tuning).x
        x = x + self.jump**2 * self.model.score(x, context) if self.jump else x
        far = _TOO_FAR * start.abs().amax().clamp(min=1) if n else 0.0
        lost = int((~(x.abs() <= far)).flatten(1).any(dim=1).sum())
        if lost:
            raise PthetaError(
                f"{lost} of {n} chains have run away, to a hundred times as far as they started or "
                "where values are not finite. Either the density does not fall far from the data, "
                "or the kernel's steps are too large for it; take smaller steps, or a kernel with "
                "refusals, such as MALA."
            )
        return x

    def start(self, n: int) -> Tensor:
        """Where n chains begin, with shape (n, *shape)."""
        return torch.randn(n, *self.shape, device=self.origin.device, dtype=self.origin.dtype)

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        return self.model.unnormalized_log_prob(x, context)

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The gradient of the negative energy by x, shaped as x."""
        return self.model.score(x, context)


class NormalisedWithMCMC(WithMCMC[S]):
    """An energy that knows its constant, sampled by Markov chains from draws of a known density.

    Arguments:
        model: The energy.
        kernel: The transition.
        noise: The density, a module: chains start at its draws, and the constant starts at what
            they say of it.
        shape: The shape of one example.
        steps: The number of transitions of each draw.
        jump: The standard deviation of the noise to take off; 0 leaves the draws where they are.
    """

    model: _NormalisedEnergy

    def __init__(
        self,
        model: _NormalisedEnergy,
        kernel: Kernel[Target[_Energy], S],
        noise: SupportsDrawnDensity,
        shape: tuple[int, ...],
        *,
        steps: int = 200,
        jump: float = 0.0,
    ) -> None:
        super().__init__(model, kernel, shape, steps=steps, jump=jump)
        self.noise = noise

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Fits the noise to data, and then the constant to the noise.

        Arguments:
            x: The training examples, with shape (rows, *shape).
            context: What they are conditioned on.
        """
        if isinstance(self.noise, SupportsInitialize):
            self.noise.initialize(x, context)
        rows = torch.randint(len(x), (_FIRST_DRAWS,), device=x.device)
        given = None if context is None else context[rows]
        self.model.normalise(self.noise, given, _FIRST_DRAWS)

    def start(self, n: int) -> Tensor:
        """Draws of the noise, with shape (n, *shape)."""
        return self.noise.sample(n).to(self.origin)

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats by the learned constant, with shape (batch,)."""
        return self.model.log_prob_estimate(x, context)


class WithGibbs(nn.Module):
    """An energy that knows where chains begin, sampled by sweeps over its blocks.

    Every draw is the end of a chain of its own, so draws are independent; they follow the model
    as nearly as the chains have converged. In the first half of the steps the kernel may tune
    itself; in the second half it is settled.

    Arguments:
        model: The energy, a module.
        steps: The number of transitions of each draw.
        kernel: The transition; None means the model's own sweeps.
    """

    def __init__(
        self,
        model: SupportsStart,
        *,
        steps: int = 1000,
        kernel: Kernel[Target[Any], Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.steps = steps
        self.kernel: Kernel[Target[Any], Any] = kernel or BlockGibbs()

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Sets what in the model depends on the training data, such as where chains start."""
        if isinstance(self.model, SupportsInitialize):
            self.model.initialize(x, context)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """The ends of n chains, with shape (n, *shape)."""
        target = Target(self.model, context)
        tuning = self.steps // 2
        state = self.kernel.init(target, self.model.start(n))
        state = run(self.kernel, target, state, tuning)
        return run(self.kernel.settled(), target, state, self.steps - tuning).x

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        return self.model.unnormalized_log_prob(x, context)
