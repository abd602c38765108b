"""Chains, score matching and reverse chains beside peers, contrastive divergence beside loops.

    pip install torchebm diffusers
    python benchmarks/samplers.py

The same networks by each library, in turns, on one thread. Torchebm's losses and samplers take an
energy, diffusers' scheduler takes what a network predicts of the noise, told of the time of every
row, as the networks of that library are. The loops of contrastive divergence are written by hand,
with products of matrices for gradients: one with the optimiser of `fit`, and one that adds
gradients to weights and no more.
"""

from timing import interleaved, machine  # isort: skip

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ptheta.inference.denoising import ancestral, spaced
from ptheta.inference.kernels import Target, run
from ptheta.inference.langevin import ULA
from ptheta.models.diffusion.denoiser import Denoiser
from ptheta.models.diffusion.paths import VariancePreserving
from ptheta.models.energy.energy import Energy
from ptheta.networks.mlp import MLP
from ptheta.networks.residual import ResidualMLP
from ptheta.networks.unet import UNet
from ptheta.objectives.score_matching import (
    DenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from ptheta.objectives.types import Batch, Objective
from ptheta.recipes.registry import build
from ptheta.spaces import Discrete

TABLE = Path(__file__).with_suffix(".md")
STEPS = 1000

Work = Mapping[str, Callable[[], float]]


def torchebm(part: str) -> Any:
    return importlib.import_module(f"torchebm.{part}")


def theirs_of(energy: Energy) -> Any:
    """The same energy, as torchebm takes it."""

    class Theirs(torchebm("core").BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.energy = energy

        def forward(self, x: Tensor) -> Tensor:
            return -self.energy.unnormalized_log_prob(x)

    return Theirs()


def energy(features: int) -> Energy:
    return Energy(MLP(features, 1, (128, 128), activation=nn.SiLU))


def chains(features: int, n: int, steps: int = 100) -> Work:
    model = energy(features)
    x, kernel, target = torch.randn(n, features), ULA(0.01), Target(model)
    theirs = torchebm("samplers").LangevinDynamics(theirs_of(model), step_size=0.01)

    def ours() -> float:
        run(kernel, target, kernel.init(target, x), steps)
        return n * steps

    def peer() -> float:
        theirs.sample(x=x, n_steps=steps)
        return n * steps

    return {"ptheta": ours, "torchebm": peer}


def losses(features: int, n: int, objective: Objective[Energy]) -> Work:
    model = energy(features)
    x = torch.randn(n, features)
    theirs = getattr(torchebm("losses"), type(objective).__name__)(theirs_of(model))

    def ours() -> float:
        objective.loss(model, Batch(x, None)).value.backward()
        return n

    def their() -> float:
        theirs(x).backward()
        return n

    return {"ptheta": ours, "torchebm": their}


class Noise(nn.Module):
    """What a denoiser predicts of the noise, told of the time of every row."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        times = denoiser.path.times()
        self.alpha, self.sigma = denoiser.path.alpha(times), denoiser.path.sigma(times)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise, shaped as x."""
        rows = t.expand(len(x))
        told = self.denoiser.level(self.alpha[rows], self.sigma[rows])
        return self.denoiser.network(x, told)


def reverse(network: Callable[[int], nn.Module], shape: tuple[int, ...], n: int) -> Work:
    path = VariancePreserving(levels=STEPS)
    denoiser = Denoiser(path, network).eval()
    noise, times = torch.randn(n, *shape), spaced(path, STEPS)
    diffusers = importlib.import_module("diffusers")
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=STEPS, clip_sample=False)
    scheduler.set_timesteps(STEPS)
    theirs = Noise(denoiser)

    @torch.no_grad()
    def ours() -> float:
        ancestral(denoiser.predict_at(times), path, noise, times)
        return n

    @torch.no_grad()
    def peer() -> float:
        x = noise
        for t in scheduler.timesteps:
            x = scheduler.step(theirs(x, t), t, x).prev_sample
        return n

    return {"ptheta": ours, "diffusers": peer}


class Loop:
    """A machine of binary units by hand: products of matrices, and coins."""

    def __init__(self, visible: int, hidden: int) -> None:
        self.weight = 0.01 * torch.randn(visible, hidden)
        self.visible_bias, self.hidden_bias = torch.zeros(visible), torch.zeros(hidden)
        self.weights = [self.weight, self.visible_bias, self.hidden_bias]

    def gradients(self, x: Tensor, steps: int) -> list[Tensor]:
        """By how much the log-likelihood rises with each weight, by CD-k, a sum over rows."""
        known = hidden = self.hidden(x)
        moved = x
        for _ in range(steps):
            coins = (torch.rand_like(hidden) < hidden).float()
            visible = torch.sigmoid(torch.addmm(self.visible_bias, coins, self.weight.T))
            moved = (torch.rand_like(visible) < visible).float()
            hidden = self.hidden(moved)
        weight = (x.T @ known).addmm_(moved.T, hidden, alpha=-1)
        return [weight, (x - moved).sum(dim=0), (known - hidden).sum(dim=0)]

    def hidden(self, x: Tensor) -> Tensor:
        return torch.sigmoid(torch.addmm(self.hidden_bias, x, self.weight))


def contrastive(steps: int, *, adam: bool, updates: int = 20, rows: int = 100) -> Work:
    codes = (torch.rand(rows, 784) < 0.2).byte()
    recipe = build(
        "rbm",
        Discrete((784,), 2),
        settings={"hidden_features": 500, "objective": "cd", "chain_steps": steps},
    )
    learner: Any = recipe.learner
    learner.setup(Fabric(accelerator="cpu", devices=1))
    loop, x = Loop(784, 500), codes.float()
    optimizer = torch.optim.AdamW(loop.weights, fused=True)

    def ours() -> float:
        for _ in range(updates):
            learner.step(Batch(codes, None))
        return updates * rows

    @torch.no_grad()
    def by_hand() -> float:
        for _ in range(updates):
            gradients = loop.gradients(x, steps)
            if adam:
                for weight, gradient in zip(loop.weights, gradients, strict=True):
                    weight.grad = gradient.div_(-rows)
                optimizer.step()
            else:
                for weight, gradient in zip(loop.weights, gradients, strict=True):
                    weight.add_(gradient, alpha=1e-3 / rows)
        return updates * rows

    return {"ptheta": ours, "by hand": by_hand}


def table(systems: Mapping[str, Work]) -> str:
    lines = ["| task | a second | the peer's | ratio |", "| --- | ---: | ---: | ---: |"]
    for task, each in systems.items():
        ours, theirs = interleaved(each).values()
        lines.append(f"| {task} | {1 / ours:,.0f} | {1 / theirs:,.0f} | {theirs / ours:.2f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def perceptron(told: int) -> nn.Module:
    return ResidualMLP(2, 2, 128, 3, told)


def unet(told: int) -> nn.Module:
    return UNet(1, told, hidden_channels=16, blocks=1)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = table(
        {
            "100 chains, D = 2": chains(2, 100),
            "1024 chains, D = 2": chains(2, 1024),
            "1024 chains, D = 64": chains(64, 1024),
        }
    )
    rows = table(
        {
            "exact, D = 2": losses(2, 256, ScoreMatching()),
            "exact, D = 16": losses(16, 256, ScoreMatching()),
            "sliced, D = 16": losses(16, 256, SlicedScoreMatching()),
            "denoising, D = 16": losses(16, 256, DenoisingScoreMatching(0.1)),
        }
    )
    draws = table(
        {
            "perceptron, 100 draws, D = 2": reverse(perceptron, (2,), 100),
            "perceptron, 1000 draws, D = 2": reverse(perceptron, (2,), 1000),
            "U-Net, 16 draws, 8 x 8": reverse(unet, (1, 8, 8), 16),
        }
    )
    loops = table(
        {
            f"CD-{steps}, {name}": contrastive(steps, adam=adam)
            for steps in (1, 25)
            for name, adam in (("with Adam", True), ("gradients added", False))
        }
    )
    TABLE.write_text(
        "# Chains, score matching and reverse chains beside torchebm and diffusers\n\n"
        f"Written by `python benchmarks/samplers.py` on {machine()}.\n\n"
        "## Langevin steps of a perceptron of 2 x 128, beside torchebm\n\n"
        f"{steps}\n\n"
        "## Rows through a loss and back, 256 at a time, beside torchebm\n\n"
        f"{rows}\n\n"
        f"## Draws by {STEPS:,} ancestral steps, beside diffusers\n\n"
        "The network is told of one time for all rows here, all times being read at once, and of\n"
        "the time of every row there.\n\n"
        f"{draws}\n\n"
        "## Rows through contrastive divergence, beside loops by hand\n\n"
        "An RBM of 784 x 500 units, 100 rows at a time, with the optimiser of `fit`.\n\n"
        f"{loops}\n"
    )


if __name__ == "__main__":
    main()
