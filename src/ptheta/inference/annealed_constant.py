"""Machines and fields with the constant that annealing estimates: their density in nats."""

__all__ = [
    "AnnealedConstant",
    "DeepWithGibbs",
    "MachineWithGibbs",
    "SupportsDeepMachine",
    "SupportsTempered",
    "SupportsAnnealing",
]

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ptheta.inference.adapters import WithGibbs
from ptheta.inference.gibbs import BlockGibbs, SupportsStart
from ptheta.inference.importance import LogRatio, annealed_importance
from ptheta.inference.kernels import Kernel, Target, run
from ptheta.protocols import Bracket, SupportsInitialize
from ptheta.random import seeded

_TUNING = 100  # transitions


class SupportsTempered(SupportsStart, Protocol):
    """What a machine is at a temperature on the way to it."""

    def log_partition_at_start(self) -> Tensor:
        """log Z at beta = 0, a scalar."""
        ...


class SupportsAnnealing(SupportsStart, Protocol):
    """A machine, and flatter ones down to one of independent units, whose constant is known."""

    def tempered(self, beta: float) -> SupportsTempered:
        """The machine at beta, from 0, where its units are independent, to 1."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""
        ...

    def buffers(self) -> Iterator[Tensor]:
        """What else it holds, such as where annealing starts."""
        ...


class AnnealedConstant:
    """The log of a machine's constant, by annealed importance sampling from independent units.

    It is estimated when it is first asked for, and again only when weights have changed; always
    with the same noise, so that one machine has one constant. Of machines whose chains mix slowly,
    as those that were trained for long do, it comes out too small, and what is said of data too
    large, by more than its error tells: steps tenfold show by how much.

    References:
        On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008),
        https://doi.org/10.1145/1390156.1390266
        Accurate and conservative estimates of MRF log-likelihood using reverse annealing (Burda,
        Grosse & Salakhutdinov, 2015), https://arxiv.org/abs/1412.8566, for the bracket

    Arguments:
        temperatures: The number of steps from independent units to the machine.
        chains: The number of chains.
        kernel: A reversible transition of the machine and of the flatter ones, whose step size, if
            it tunes one, is tuned on the machine beforehand; None means their own sweeps.

    Example:
        >>> from ptheta.models.energy.rbm import RBM
        >>> from ptheta.models.energy.units import BinaryUnits
        >>> _ = torch.manual_seed(0)
        >>> rbm = RBM(BinaryUnits((10,)), hidden_features=4)
        >>> found = AnnealedConstant().of(rbm)
        >>> bool(abs(found - rbm.log_partition()) < 0.01)
        True
    """

    def __init__(
        self,
        *,
        temperatures: int = 1000,
        chains: int = 100,
        kernel: Kernel[Target[Any], Any] | None = None,
    ) -> None:
        self.temperatures = temperatures
        self.chains = chains
        self.kernel: Kernel[Target[Any], Any] = kernel or BlockGibbs()
        self._weights: list[Tensor] = []
        self._found: tuple[Tensor, LogRatio] | None = None

    def of(self, machine: SupportsAnnealing) -> Tensor:
        """The estimate of log Z, a scalar; its own mean lies below the truth."""
        log_z, ratio = self._ratio(machine)
        return log_z + ratio.value

    def error(self, machine: SupportsAnnealing) -> float:
        """The standard error of the estimate, by the spread of the chains' weights."""
        return self._ratio(machine)[1].error

    @torch.no_grad()
    def bracket(self, machine: SupportsAnnealing, *, steps: int = 1000) -> Bracket:
        """The constant annealed forwards, and backwards from draws of the machine.

        Arguments:
            machine: The machine.
            steps: The number of transitions by which the draws are made.
        """
        log_z, up = self._ratio(machine)
        with seeded(1):
            x = WithGibbs(machine, steps=steps, kernel=self.kernel).sample(self.chains)
            down = self._annealed(machine, x, self._betas[::-1])
        low, high = log_z.item() + up.value, log_z.item() - down.value
        return Bracket(low, up.error, high, down.error)

    @property
    def _betas(self) -> list[float]:
        # densest next to the machine itself, where densities change the most
        return (1 - torch.linspace(1, 0, self.temperatures + 1).square()).tolist()

    def _annealed(self, machine: SupportsAnnealing, x: Tensor, betas: Sequence[float]) -> LogRatio:
        # what is tuned while weights are gathered would bias them
        settled, step_size = self.kernel.settled(), None
        if settled is not self.kernel:
            target = Target(machine)
            state = self.kernel.init(target, machine.start(self.chains))
            step_size = run(self.kernel, target, state, _TUNING).step_size
        return annealed_importance(
            lambda beta: Target(machine.tempered(beta)), settled, x, betas, step_size=step_size
        )

    @torch.no_grad()
    def _ratio(self, machine: SupportsAnnealing) -> tuple[Tensor, LogRatio]:
        weights = [weight.detach() for weight in (*machine.parameters(), *machine.buffers())]
        if self._found is None or not _same(weights, self._weights):
            start = machine.tempered(0.0)
            with seeded(0):
                ratio = self._annealed(machine, start.start(self.chains), self._betas)
            self._found = start.log_partition_at_start(), ratio
            self._weights = [weight.clone() for weight in weights]
        return self._found


def _same(weights: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    # those of another device or dtype are not even compared
    return len(weights) == len(others) and all(
        (a.device, a.dtype) == (b.device, b.dtype) and torch.equal(a, b)
        for a, b in zip(weights, others, strict=True)
    )


class MachineWithGibbs(WithGibbs):
    """A machine or a field, drawn from by the transitions that estimate its constant by annealing.

    Arguments:
        model: The machine.
        constant: What estimates its constant.
        steps: The number of sweeps of each draw.
    """

    model: SupportsAnnealing

    def __init__(
        self, model: SupportsAnnealing, constant: AnnealedConstant, *, steps: int = 1000
    ) -> None:
        super().__init__(model, steps=steps, kernel=constant.kernel)
        self.constant = constant

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(x) in nats by the estimated constant, with shape (batch,).

        Raises:
            ValueError: There is a context; the constant is that without one.
        """
        _refuse_context(context)
        return self.model.unnormalized_log_prob(x) - self.constant.of(self.model)

    def log_partition_bracket(self) -> Bracket:
        """The log of the constant from below and from above, in nats."""
        return self.constant.bracket(self.model, steps=self.steps)


class SupportsDeepMachine(Protocol):
    """Layers around a machine, whose density is bounded up to the machine's constant."""

    @property
    def machine(self) -> SupportsAnnealing:
        """The machine."""
        ...

    def unnormalized_elbo(self, x: Tensor) -> Tensor:
        """A bound on log p(x) plus the log of the machine's constant, with shape (batch,)."""
        ...

    def visible_of(self, top: Tensor) -> Tensor:
        """Data given the machine's visible units, with shape (n, *shape)."""
        ...


class DeepWithGibbs(nn.Module):
    """A deep model, drawn from by sweeps of its machine, whose constant annealing estimates.

    Arguments:
        model: The model, a module.
        constant: What estimates the machine's constant.
        steps: The number of sweeps of each draw.
    """

    def __init__(
        self, model: SupportsDeepMachine, constant: AnnealedConstant, *, steps: int = 1000
    ) -> None:
        super().__init__()
        self.model = model
        self.constant = constant
        self.steps = steps

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Sets what in the model depends on the training data."""
        if isinstance(self.model, SupportsInitialize):
            self.model.initialize(x, context)

    @torch.no_grad()
    def sample(self, n: int, context: Tensor | None = None) -> Tensor:
        """Draws at the ends of n chains, with shape (n, *shape)."""
        _refuse_context(context)
        return self.model.visible_of(WithGibbs(self.model.machine, steps=self.steps).sample(n))

    def log_prob_estimate(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The model's bound on log p(x) in nats, by the estimated constant, with shape (batch,).

        It would be a bound with the constant itself; the estimate of that is noisy.
        """
        _refuse_context(context)
        return self.model.unnormalized_elbo(x) - self.constant.of(self.model.machine)

    def log_partition_bracket(self) -> Bracket:
        """The log of the machine's constant from below and from above, in nats."""
        return self.constant.bracket(self.model.machine, steps=self.steps)


def _refuse_context(context: Tensor | None) -> None:
    if context is not None:
        raise ValueError("this model was fitted without context, but a context is given")
