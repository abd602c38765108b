"""Autoregressive models: drawing against a whole evaluation a value, training against bare loops.

python benchmarks/autoregressive.py [system ...]
"""

from timing import interleaved, machine  # isort: skip

import argparse
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.autoregressive.made import MADE
from ptheta.models.autoregressive.nade import NADE
from ptheta.models.autoregressive.pixelcnn import PixelCNN
from ptheta.models.normalised import Normalised
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.types import Batch
from ptheta.spaces import Binary
from ptheta.training.gradient import GradientLearner

IMAGES = Binary((1, 28, 28), "image")
VALUES = IMAGES.features
HIDDEN, BATCH = 500, 100
CHANNELS, BLOCKS = 32, 15


def report(title: str, unit: str, seconds: dict[str, float]) -> None:
    first = next(iter(seconds.values()))
    print(title)
    for name, taken in seconds.items():
        print(f"  {name:34} {1 / taken:10.2f} {unit} a second, {taken / first:6.2f}x our time")


def trained(model: Normalised, x: Tensor, steps: int) -> Callable[[], int]:
    """Steps of ptheta's learner on a batch."""
    learner = GradientLearner(model, MaximumLikelihood())
    learner.setup(Fabric(accelerator="cpu", devices=1))

    def run() -> int:
        for _ in range(steps):
            learner.step(Batch(x, None))
        return steps * len(x)

    return run


def bare(
    loss: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, steps: int
) -> Callable[[], int]:
    """Steps of a loop as a person would write it, on the mean of a loss in nats."""
    adam = torch.optim.AdamW(module.parameters(), fused=True)

    def run() -> int:
        for _ in range(steps):
            loss(x).backward()
            adam.step()
            adam.zero_grad()
        return steps * len(x)

    return run


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


def pixelcnn_drawing(n: int = 16, evaluations: int = 8) -> None:
    model = PixelCNN(IMAGES, channels=CHANNELS, blocks=BLOCKS).eval()
    uniforms = torch.rand(2, IMAGES.features, n)
    blank = torch.zeros(n, *IMAGES.shape)

    def cached() -> int:
        model.draw(uniforms)
        return n

    @torch.no_grad()
    def whole() -> float:
        for _ in range(evaluations):
            model.conditionals(blank)
        return n * evaluations / IMAGES.features

    seconds = interleaved({"ptheta": cached, "a whole evaluation a pixel": whole}, rounds=5)
    report(f"PixelCNN drawing, {n} images of 28 x 28 at a time", "images", seconds)


class SquareKernels(nn.Module):
    """PixelCNN as it is usually written: square kernels, weights masked after every step."""

    def __init__(self) -> None:
        super().__init__()
        inner = CHANNELS // 2
        self.enter = nn.Conv2d(1, CHANNELS, 7, padding=3)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(CHANNELS, inner, 1),
                nn.ReLU(),
                nn.Conv2d(inner, inner, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(inner, CHANNELS, 1),
            )
            for _ in range(BLOCKS)
        )
        self.leave = nn.Sequential(
            nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 1), nn.ReLU(), nn.Conv2d(CHANNELS, 1, 1)
        )
        self.masked = [
            m for m in self.modules() if isinstance(m, nn.Conv2d) and m.padding != (0, 0)
        ]
        self.mask()

    @torch.no_grad()
    def mask(self) -> None:
        for layer in self.masked:
            centre = layer.weight.shape[-1] // 2
            layer.weight[:, :, centre + 1 :] = 0
            layer.weight[:, :, centre, centre + (layer is not self.enter) :] = 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.enter(2 * x - 1)
        for block in self.blocks:
            y = y + block(y)
        loss = F.binary_cross_entropy_with_logits(self.leave(y), x, reduction="sum")
        return loss / len(x)


def pixelcnn_training(batch_size: int = 32, steps: int = 4) -> None:
    x = torch.randint(0, 2, (batch_size, *IMAGES.shape), dtype=torch.uint8)
    square = SquareKernels()
    square_adam = torch.optim.AdamW(square.parameters(), fused=True)
    same = PixelCNN(IMAGES, channels=CHANNELS, blocks=BLOCKS)
    ours = PixelCNN(IMAGES, channels=CHANNELS, blocks=BLOCKS)

    def bare_square() -> int:
        for _ in range(steps):
            square(x.float()).backward()
            square_adam.step()
            square_adam.zero_grad()
            square.mask()
        return steps * batch_size

    systems = {
        "ptheta": trained(ours, x, steps),
        "bare loop, square kernels": bare_square,
        "bare loop, the same layers": bare(lambda x: -same.log_prob(x).mean(), same, x, steps),
    }
    seconds = interleaved(systems, rounds=7)
    report(f"PixelCNN training, {BLOCKS} blocks of {CHANNELS} channels", "images", seconds)


SYSTEMS = {
    "made-drawing": made_drawing,
    "made-training": made_training,
    "fvsbn-training": fvsbn_training,
    "nade-training": nade_training,
    "pixelcnn-drawing": pixelcnn_drawing,
    "pixelcnn-training": pixelcnn_training,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS), help=", ".join(SYSTEMS))
    torch.set_num_threads(1)
    print(machine())
    for name in parser.parse_args().systems:
        SYSTEMS[name]()


if __name__ == "__main__":
    main()
