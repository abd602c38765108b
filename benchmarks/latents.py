"""Glow on digits: draws at temperatures, and ways between rows, `docs/images/latents.png`.

    python benchmarks/latents.py [--seconds 240]

The upper rows are draws, each of the same noise at another temperature. The lower rows go in even
steps from the noise of one test row to that of another.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import ptheta
from ptheta.protocols import SupportsDecode, SupportsEncode

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "latents.png"
TEMPERATURES, WAYS, ACROSS = (1.0, 0.7, 0.4), 3, 14


def strip(images: Tensor) -> Tensor:
    """Images beside each other, with a pixel between them."""
    return torch.nn.functional.pad(images[:, 0].float(), (0, 1)).permute(1, 0, 2).flatten(1)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=240.0)
    data = ptheta.load_data("digits")
    with torch.enable_grad():
        run = ptheta.fit(data, "glow", seconds=parser.parse_args().seconds, seed=0)
    model = run.model.eval()
    assert isinstance(model, SupportsEncode)
    assert isinstance(model, SupportsDecode)
    rows = {
        f"T = {temperature}": ptheta.draw(model, ACROSS, temperature=temperature, seed=3)
        for temperature in TEMPERATURES
    }
    ends = model.encode(data.test.x[: 2 * WAYS])
    share = torch.linspace(0, 1, ACROSS).unsqueeze(1)
    for way, (start, end) in enumerate(ends.unflatten(0, (WAYS, 2))):
        rows[f"from row {2 * way} to {2 * way + 1}"] = model.decode(start.lerp(end, share))
    figure, axes = plt.subplots(len(rows), 1, figsize=(9, 4.4), constrained_layout=True)
    for axis, (title, images) in zip(axes, rows.items(), strict=True):
        axis.imshow(strip(images), cmap="gray_r", vmin=0, vmax=16)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_ylabel(title, rotation=0, ha="right", va="center")
    figure.savefig(PICTURE, dpi=80)


if __name__ == "__main__":
    main()
