"""Autoregressive models: drawing against a whole evaluation a value, training against bare loops.

python benchmarks/autoregressive.py [system ...]
"""

from timing import interleaved, machine  # isort: skip

import argparse

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.autoregressive.pixelcnn import PixelCNN
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.types import Batch
from ptheta.spaces import Binary
from ptheta.training.gradient import GradientLearner

IMAGES = Binary((1, 28, 28), "image")
CHANNELS, BLOCKS = 32, 15


def report(title: str, unit: str, seconds: dict[str, float]) -> None:
    first = next(iter(seconds.values()))
    print(title)
    for name, taken in seconds.items():
        print(f"  {name:34} {1 / taken:10.2f} {unit} a second, {taken / first:6.2f}x our time")


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
    same_adam = torch.optim.AdamW(same.parameters(), fused=True)
    ours = PixelCNN(IMAGES, channels=CHANNELS, blocks=BLOCKS)
    learner = GradientLearner(ours, MaximumLikelihood())
    learner.setup(Fabric(accelerator="cpu", devices=1))

    def ptheta() -> int:
        for _ in range(steps):
            learner.step(Batch(x, None))
        return steps * batch_size

    def bare_square() -> int:
        for _ in range(steps):
            square(x.float()).backward()
            square_adam.step()
            square_adam.zero_grad()
            square.mask()
        return steps * batch_size

    def bare_same() -> int:
        for _ in range(steps):
            (-same.log_prob(x).mean()).backward()
            same_adam.step()
            same_adam.zero_grad()
        return steps * batch_size

    systems = {
        "ptheta": ptheta,
        "bare loop, square kernels": bare_square,
        "bare loop, the same layers": bare_same,
    }
    seconds = interleaved(systems, rounds=7)
    report(f"PixelCNN training, {BLOCKS} blocks of {CHANNELS} channels", "images", seconds)


SYSTEMS = {
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
