"""Autoregressive models of images: draws beside whole evaluations, training beside bare loops.

python benchmarks/autoregressive_images.py [system ...]
"""

from loops import bare, report, run, trained  # isort: skip
from timing import interleaved  # isort: skip

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.autoregressive.image import CausalImages
from ptheta.models.autoregressive.pixelcnn import PixelCNN
from ptheta.models.autoregressive.pixelrnn import PixelRNN
from ptheta.networks.image_lstm import DiagonalBiLSTM, RowLSTM
from ptheta.spaces import Binary

IMAGES = Binary((1, 28, 28), "image")
CHANNELS, BLOCKS = 32, 15


def drawing(model: CausalImages, title: str, n: int = 16, evaluations: int = 8) -> None:
    model.eval()
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
    report(f"{title} drawing, {n} images of 28 x 28 at a time", "images", seconds)


def pixelcnn_drawing() -> None:
    drawing(PixelCNN(IMAGES, channels=CHANNELS, blocks=BLOCKS), "PixelCNN")


def row_lstm_drawing() -> None:
    drawing(PixelRNN(IMAGES, lstm=RowLSTM), "Row LSTM")


def diagonal_drawing() -> None:
    drawing(PixelRNN(IMAGES), "Diagonal BiLSTM")


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
        "bare loop, the same layers": bare(mean_nats(same), same, x, steps),
    }
    seconds = interleaved(systems, rounds=7)
    report(f"PixelCNN training, {BLOCKS} blocks of {CHANNELS} channels", "images", seconds)


def mean_nats(model: CausalImages) -> Callable[[Tensor], Tensor]:
    return lambda x: -model.log_prob(x).mean()


class PixelLoop(DiagonalBiLSTM):
    """The same layer, whose states are computed one pixel after the other."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        height, width = x.shape[2:]
        pixels = turned(self.enter(x, context)).permute(3, 4, 0, 1, 2)
        weight = self.weight.transpose(1, 2)
        zero = x.new_zeros(2, len(x), len(self.colours))
        above = [zero] * width
        rows: list[Tensor] = []
        for r in range(height):
            state = cell = zero
            row: list[Tensor] = []
            for c in range(width):
                seen = torch.cat([state, above[c]], dim=2)
                state, cell = cell_step(torch.baddbmm(pixels[r, c], seen, weight), cell)
                row.append(state)
            above = row
            rows.append(torch.stack(row, dim=3))
        return joined(torch.stack(rows, dim=3))


class SkewedLoop(DiagonalBiLSTM):
    """The same layer as it is usually written: an image padded askew, and a loop over columns."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        n, _, height, width = x.shape
        padded = F.pad(turned(self.enter(x, context)), (0, height)).flatten(3)[..., :-height]
        steps = padded.unflatten(3, (height, -1)).permute(4, 0, 1, 3, 2).flatten(2, 3)
        weight = self.weight.transpose(1, 2)
        state = x.new_zeros(2, n, height, len(self.colours))
        cell = state.flatten(1, 2)
        columns: list[Tensor] = []
        for gates in steps.unbind(0):
            seen = torch.cat([state, F.pad(state, (0, 0, 1, -1))], dim=3).flatten(1, 2)
            found, cell = cell_step(torch.baddbmm(gates, seen, weight), cell)
            state = found.view_as(state)
            columns.append(state)
        skewed = torch.stack(columns).permute(1, 2, 4, 3, 0).flatten(3)
        return joined(F.pad(skewed, (0, height)).unflatten(3, (height, -1))[..., :width])


def turned(gates: Tensor) -> Tensor:
    left, right = gates.unflatten(1, (2, -1)).unbind(1)
    return torch.stack([left, right.flip(3)])


def joined(states: Tensor) -> Tensor:
    left, right = states
    return left + F.pad(right.flip(3)[:, :, :-1], (0, 0, 1, 0))


def cell_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    i, f, o, g = gates.chunk(4, dim=2)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def with_layer(model: PixelRNN, layer: type[DiagonalBiLSTM]) -> PixelRNN:
    """The same network with another way to compute its states."""
    made = PixelRNN(IMAGES)
    for block in made.blocks:
        block.states = layer(made.outer, made.inner)
    made.load_state_dict(model.state_dict())
    return made


def diagonal_training(batch_size: int = 32) -> None:
    x = torch.randint(0, 2, (batch_size, *IMAGES.shape), dtype=torch.uint8)
    ours = PixelRNN(IMAGES)
    loops = {
        "bare loop, the same layers": with_layer(ours, DiagonalBiLSTM),
        "bare loop, skewed by padding": with_layer(ours, SkewedLoop),
        "bare loop, pixel by pixel": with_layer(ours, PixelLoop),
    }
    systems = {"ptheta": trained(ours, x, 1)}
    for name, model in loops.items():
        torch.testing.assert_close(model.log_prob(x), ours.log_prob(x), rtol=1e-4, atol=1e-3)
        systems[name] = bare(mean_nats(model), model, x, 1)
    seconds = interleaved(systems, rounds=3)
    report("Diagonal BiLSTM training, 7 layers of 32 channels", "images", seconds)


SYSTEMS = {
    "pixelcnn-drawing": pixelcnn_drawing,
    "pixelcnn-training": pixelcnn_training,
    "row-lstm-drawing": row_lstm_drawing,
    "diagonal-bilstm-drawing": diagonal_drawing,
    "diagonal-bilstm-training": diagonal_training,
}


if __name__ == "__main__":
    run(SYSTEMS)
