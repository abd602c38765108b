"""What `fit` costs a step over a bare hand-written loop: the same network, optimiser and batches.

python benchmarks/overhead.py
"""

from timing import interleaved, machine  # isort: skip

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ptheta.data.dataset import Split
from ptheta.networks.mlp import MLP
from ptheta.objectives.types import Batch, Loss
from ptheta.training.batches import Batches
from ptheta.training.gradient import GradientLearner
from ptheta.training.session import Plan, train

BATCH, STEPS, ROWS = 256, 1000, 10_000


class Squares:
    """A loss that costs next to nothing, so that the loop is what is measured."""

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        return Loss(model(batch.x).square().mean())


class NoFigure:
    """A look that costs nothing."""

    name, slack = "none", 0.0

    def __call__(self, model: nn.Module) -> float:
        return 0.0


def bare(x: Tensor) -> int:
    network = MLP(2, 1, (64, 64))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    order, position = torch.randperm(ROWS), 0
    for _ in range(STEPS):
        if position + BATCH > ROWS:
            order, position = torch.randperm(ROWS), 0
        batch = x[order[position : position + BATCH]]
        position += BATCH
        loss = network(batch).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return STEPS


def ours(x: Tensor) -> int:
    network = MLP(2, 1, (64, 64))
    batches = Batches(Split(x), BATCH, seed=0, device=torch.device("cpu"))
    plan = Plan(
        model=network,
        learner=GradientLearner(network, Squares()),
        batches=batches,
        figure=NoFigure(),
        steps=STEPS,
        seconds=None,
        evaluate_every=250,
        patience=None,
        early=True,
        ema=None,
        folder=None,
        checkpoint_seconds=1e9,
    )
    train(plan, Fabric(accelerator="cpu", devices=1))
    return STEPS


def main() -> None:
    torch.set_num_threads(1)
    x = torch.randn(ROWS, 2)
    seconds = interleaved({"bare loop": lambda: bare(x), "ptheta": lambda: ours(x)})
    print(machine())
    for name, taken in seconds.items():
        print(f"{name:12} {taken * 1e6:7.0f} us a step")
    print(f"overhead     {seconds['ptheta'] / seconds['bare loop'] - 1:7.1%}")


if __name__ == "__main__":
    main()
