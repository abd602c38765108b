"""The learner of adversarial play: a step of the critic, then one of the generator."""

from __future__ import annotations

__all__ = ["AdversarialLearner", "CriticLoss", "GeneratorLoss", "LatentGenerator"]

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from ptheta.objectives.adversarial import Divergence, Penalty
from ptheta.objectives.types import Batch
from ptheta.training.devices import prepare
from ptheta.training.gradient import ToReals
from ptheta.training.optimizer_state import restore_optimizer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ptheta.training.devices import Prepared
    from ptheta.training.types import Metrics


class LatentGenerator(Protocol):
    """What the learner asks of a generator: noise, and its image."""

    def latent(self, n: int) -> Tensor:
        """Noise for n draws."""
        ...

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The draws of noise, with gradient."""
        ...


class CriticLoss(nn.Module):
    """The critic and its loss as one module, whose parameters are the critic's alone.

    Arguments:
        critic: The critic.
        divergence: The pair of losses.
        penalties: What is added to the critic's.
    """

    def __init__(
        self, critic: nn.Module, divergence: Divergence, penalties: Sequence[Penalty]
    ) -> None:
        super().__init__()
        self.critic = critic
        self.divergence = divergence
        self.penalties = tuple(penalties)

    def forward(
        self, real: Tensor, fake: Tensor, context: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss on data and on draws without graph, and its terms without gradient."""
        on_real, on_fake = self.critic(real, context), self.critic(fake, context)
        value = self.divergence.critic(on_real, on_fake)
        terms = {"critic": value, "critic_gap": on_real.mean() - on_fake.mean()}
        given_context = partial(self._critic, context=context)
        for penalty in self.penalties:
            term = penalty(given_context, real, fake)
            terms[type(penalty).__name__.lower()] = term
            value = value + term
        return value, {name: term.detach() for name, term in terms.items()}

    def _critic(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.critic(x, context)


class GeneratorLoss(nn.Module):
    """The generator and its loss as one module, whose parameters are the generator's alone.

    Arguments:
        generator: The generator.
        divergence: The pair of losses.
    """

    def __init__(self, generator: LatentGenerator, divergence: Divergence) -> None:
        super().__init__()
        self.generator = generator
        self.divergence = divergence

    def forward(self, z: Tensor, context: Tensor | None, critic: nn.Module) -> Tensor:
        """The loss of draws from noise z, judged by a critic whose parameters stay as they are."""
        return self.divergence.generator(critic(self.generator.decode(z, context), context))


class AdversarialLearner:
    """Adam on each side in turn: the critic's updates, then one of the generator.

    References:
        Generative Adversarial Networks (Goodfellow et al., 2014),
        https://arxiv.org/abs/1406.2661, algorithm 1

    Arguments:
        generator: The generator, a module.
        critic: The critic, which no one needs after training: it is part of the learner's state.
        divergence: The pair of losses.
        penalties: What is added to the critic's loss.
        learning_rate: The step size of the generator's Adam.
        critic_learning_rate: That of the critic's; None means the same.
        betas: The decay rates of both.
        critic_steps: The number of the critic's updates for each of the generator.
        bridge: The way from data to the reals, on which both sides play.
    """

    def __init__(
        self,
        generator: LatentGenerator,
        critic: nn.Module,
        divergence: Divergence,
        penalties: Sequence[Penalty] = (),
        *,
        learning_rate: float = 1e-3,
        critic_learning_rate: float | None = None,
        betas: tuple[float, float] = (0.5, 0.99),
        critic_steps: int = 1,
        bridge: ToReals | None = None,
    ) -> None:
        self.generator = generator
        self.critic = critic
        self.divergence = divergence
        self.penalties = penalties
        self.learning_rate = learning_rate
        self.critic_learning_rate = (
            learning_rate if critic_learning_rate is None else critic_learning_rate
        )
        self.betas = betas
        self.critic_steps = critic_steps
        self.bridge = bridge

    def setup(self, fabric: Fabric) -> None:
        critic_side = CriticLoss(self.critic, self.divergence, self.penalties)
        generator_side = GeneratorLoss(self.generator, self.divergence)
        self.critic_side = self._prepare(fabric, critic_side, self.critic_learning_rate)
        self.generator_side = self._prepare(fabric, generator_side, self.learning_rate)

    def step(self, batch: Batch) -> Metrics:
        for _ in range(self.critic_steps - 1):
            self._critic_step(batch)
        value, terms = self._critic_step(batch)
        return {"loss": value, **terms, "generator": self._generator_step(batch)}

    def state_dict(self) -> dict[str, Any]:
        return {
            "critic": self.critic.state_dict(),
            "critic_optimizer": self.critic_side.optimizer.state_dict(),
            "generator_optimizer": self.generator_side.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        restore_optimizer(self.critic_side.optimizer, state["critic_optimizer"])
        restore_optimizer(self.generator_side.optimizer, state["generator_optimizer"])

    def _prepare(self, fabric: Fabric, side: nn.Module, learning_rate: float) -> Prepared:
        optimizer = torch.optim.Adam(
            side.parameters(),
            lr=learning_rate,
            betas=self.betas,
            fused=fabric.device.type in ("cpu", "cuda"),
        )
        return prepare(fabric, side, optimizer)

    def _critic_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        real = batch.x if self.bridge is None else self.bridge.to_reals(batch.x)[0]
        with torch.no_grad():
            fake = self.generator.decode(self.generator.latent(len(real)), batch.context)
        value, terms = self.critic_side.module(real, fake, batch.context)
        self.critic_side.backward(value)
        self.critic_side.optimizer.step()
        self.critic_side.optimizer.zero_grad()
        return value.detach(), terms

    def _generator_step(self, batch: Batch) -> Tensor:
        z = self.generator.latent(len(batch.x))
        # without gradient of its own, so that nothing of this pass is left in it, and no
        # data-parallel hook of the critic's side is set off
        self.critic.requires_grad_(False)
        value = self.generator_side.module(z, batch.context, self.critic)
        self.generator_side.backward(value)
        self.critic.requires_grad_(True)
        self.generator_side.optimizer.step()
        self.generator_side.optimizer.zero_grad()
        return value.detach()
