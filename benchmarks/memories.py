"""How many patterns memories hold, and what they make of a cue: `docs/images/memories.png`.

    python benchmarks/memories.py

Patterns of -1 and 1 are drawn by chance and stored; cues are patterns with a tenth of their values
turned over. The classical memory breaks down near 0.138 patterns a value (Amit, Gutfreund &
Sompolinsky, 1985), the modern one holds more patterns by a factor for each value that is added.
Below, digits are stored and recalled from cues of which a fifth is turned over.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import ptheta
from ptheta.models.energy.hopfield import HopfieldMemory, ModernHopfieldMemory

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "memories.png"
TURNED, TURNED_PIXELS = 0.1, 0.2  # of the values of a cue
CUES = 100
STORED = 30  # digits
SHOWN = 8


def signs(n: int, values: int) -> Tensor:
    return torch.randint(0, 2, (n, values)).float() * 2 - 1


def cues_of(patterns: Tensor, share: float = TURNED) -> Tensor:
    cues = patterns[:CUES].clone()
    turned = round(share * cues.shape[1])
    for cue in cues:
        cue[torch.randperm(len(cue))[:turned]] *= -1
    return cues


def overlap(values: int, load: float) -> float:
    """The mean product of what the classical memory recalls with what was stored: 1 is all."""
    patterns = signs(max(1, round(load * values)), values)
    recalled = HopfieldMemory(patterns).recall(cues_of(patterns), sweeps=50)
    return (recalled * patterns[: len(recalled)]).mean().item()


def recalled_share(values: int, stored: int) -> float:
    """The share of cues from which the modern memory recalls every sign of their patterns."""
    patterns = signs(stored, values)
    recalled = ModernHopfieldMemory(patterns, beta=1.0).recall(cues_of(patterns))
    return (recalled.sign() == patterns[:CUES]).all(dim=1).float().mean().item()


def digits() -> list[tuple[str, Tensor]]:
    """Digits, cues of them, and what memories make of these."""
    x = ptheta.load_data("digits").train.x[:STORED].flatten(1)
    patterns = torch.where(x > 7, 1.0, -1.0)
    cues = cues_of(patterns[:SHOWN], TURNED_PIXELS)
    return [
        ("stored", patterns[:SHOWN]),
        ("cue", cues),
        ("classical", HopfieldMemory(patterns).recall(cues)),
        ("modern", ModernHopfieldMemory(patterns, beta=1.0).recall(cues)),
    ]


def main() -> None:
    torch.manual_seed(0)
    figure = plt.figure(figsize=(9, 6.2), layout="constrained")
    halves = figure.add_gridspec(2, 1)
    above, below = halves[0].subgridspec(1, 2), halves[1].subgridspec(4, SHOWN)
    left, right = figure.add_subplot(above[0]), figure.add_subplot(above[1])
    loads = torch.arange(0.02, 0.26, 0.01).tolist()
    for values in (100, 300, 1000):
        found = [overlap(values, load) for load in loads]
        left.plot(loads, found, label=f"{values} values")
        print("classical", values, [round(value, 3) for value in found])
    left.axvline(0.138, color="grey", linestyle=":", linewidth=1)
    left.set(xlabel="patterns a value", ylabel="overlap of what is recalled", title="classical")
    counts = [2**k for k in range(2, 17)]
    for values in (12, 18, 24, 30):
        found = [recalled_share(values, stored) for stored in counts]
        right.plot(counts, found, label=f"{values} values")
        print("modern", values, [round(value, 3) for value in found])
    right.set(xlabel="patterns", ylabel="share of cues recalled", xscale="log", title="modern")
    for axes in (left, right):
        axes.legend(frameon=False)
    for row, (name, images) in enumerate(digits()):
        for column, image in enumerate(images):
            axes = figure.add_subplot(below[row, column])
            axes.imshow(image.reshape(8, 8), cmap="gray", vmin=-1, vmax=1)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
