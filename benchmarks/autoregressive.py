"""Autoregressive models of vectors: draws beside whole evaluations, training beside bare loops.

python benchmarks/autoregressive.py [system ...]
"""

from loops import bare, report, run, trained  # isort: skip
from timing import interleaved  # isort: skip

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.autoregressive.made import MADE
from ptheta.models.autoregressive.nade import NADE
from ptheta.spaces import Binary

VALUES = 784
HIDDEN, BATCH = 500, 100


def nats(logits: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


def vectors() -> Tensor:
    return torch.randint(0, 2, (BATCH, VALUES), dtype=torch.uint8)


def made_drawing(n: int = 64, evaluations: int = 16) -> None:
    model = MADE(Binary((VALUES,)), hidden_features=(HIDDEN,), direct=False).eval()
    uniforms, blank = torch.rand(2, VALUES, n), torch.zeros(n, VALUES)

    def cached() -> int:
        model.draw(uniforms)
        return n

    @torch.no_grad()
    def whole() -> float:
        for _ in range(evaluations):
            logits = model.stack(model.features(blank), model.activation, model.dropout)
            torch.bernoulli(logits.sigmoid())
        return n * evaluations / VALUES

    seconds = interleaved({"ptheta": cached, "a whole evaluation a value": whole}, rounds=15)
    report(f"MADE drawing, 784-{HIDDEN}-784, {n} at a time", "images", seconds)


class MasksEachPass(nn.Module):
    """MADE as it is usually written: the masks are multiplied in at each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(VALUES, HIDDEN), nn.Linear(HIDDEN, VALUES)
        degrees = torch.arange(HIDDEN) % (VALUES - 1)
        self.register_buffer("first", (degrees[:, None] >= torch.arange(VALUES)).float())
        self.register_buffer("last", (torch.arange(VALUES)[:, None] > degrees).float())

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        hidden = F.linear(x, self.inner.weight * self.get_buffer("first"), self.inner.bias).relu()
        return nats(
            F.linear(hidden, self.outer.weight * self.get_buffer("last"), self.outer.bias), x
        )


def made_training(steps: int = 10) -> None:
    x = vectors()
    model = MADE(Binary((VALUES,)), hidden_features=(HIDDEN,), direct=False)
    masks = MasksEachPass()
    network = nn.Sequential(nn.Linear(VALUES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, VALUES))
    systems = {
        "ptheta": trained(model, x, steps),
        "bare loop, masks each pass": bare(masks, masks, x, steps),
        "bare loop, no masks": bare(
            lambda x: nats(network(x.float()), x.float()), network, x, steps
        ),
    }
    seconds = interleaved(systems, rounds=15)
    report(f"MADE training, 784-{HIDDEN}-784, batches of {BATCH}", "images", seconds)


class LogisticLoop(nn.Module):
    """FVSBN with a layer for each value."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(max(d, 1), 1) for d in range(VALUES))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        seen = [torch.zeros(len(x), 1), *(x[:, :d] for d in range(1, VALUES))]
        logits = [layer(part) for layer, part in zip(self.layers, seen, strict=True)]
        return nats(torch.cat(logits, dim=1), x)


def fvsbn_training(steps: int = 5) -> None:
    x = vectors()
    model = MADE(Binary((VALUES,)), hidden_features=(), direct=False)
    loop = LogisticLoop()
    systems = {
        "ptheta": trained(model, x, steps),
        "a layer for each value": bare(loop, loop, x, steps),
    }
    seconds = interleaved(systems, rounds=9)
    report(f"FVSBN training, 784 values, batches of {BATCH}", "images", seconds)


class HiddenLoop(nn.Module):
    """NADE with a loop over the values, as pytorch-generative has it."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.bias = nn.Parameter(torch.zeros(HIDDEN)), nn.Parameter(torch.zeros(VALUES))
        self.inward = nn.Parameter(0.01 * torch.randn(HIDDEN, VALUES))
        self.outward = nn.Parameter(0.01 * torch.randn(VALUES, HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        sums, logits = self.start.expand(len(x), -1), list[Tensor]()
        for d in range(VALUES):
            logits.append(sums.sigmoid() @ self.outward[d : d + 1].t() + self.bias[d])
            sums = sums + x[:, d : d + 1] @ self.inward[:, d : d + 1].t()
        return nats(torch.cat(logits, dim=1), x)


def nade_training() -> None:
    x = vectors()
    model, loop = NADE(Binary((VALUES,)), hidden_features=HIDDEN), HiddenLoop()
    seconds = interleaved(
        {
            "ptheta": trained(model, x, 1),
            "a loop over the values": bare(loop, loop, x, 1),
            "its sigmoids alone, once": sigmoids,
        },
        rounds=9,
    )
    report(f"NADE training, 784-{HIDDEN}, batches of {BATCH}", "images", seconds)


def sigmoids() -> int:
    """What an evaluation is bound by at the least: a sigmoid for each value and unit."""
    units = torch.randn(8, BATCH, HIDDEN)
    for _ in range(VALUES // 8):
        units.sigmoid()
    return BATCH


SYSTEMS = {
    "made-drawing": made_drawing,
    "made-training": made_training,
    "fvsbn-training": fvsbn_training,
    "nade-training": nade_training,
}


if __name__ == "__main__":
    run(SYSTEMS)
