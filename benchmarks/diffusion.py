"""Diffusion by figures: densities, steps against quality, and MNIST by the hour.

    python benchmarks/diffusion.py densities [--minutes 4] [data ...]
    python benchmarks/diffusion.py steps [--minutes 20] [--draws 500]
    python benchmarks/diffusion.py mnist [--minutes 30] [run ...]

Each part writes its section of `benchmarks/diffusion.md`. Runs on MNIST train for so many minutes
more each time, in a folder of their own, and are judged then.
"""

from timing import machine  # isort: skip

import argparse
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import ptheta
from ptheta.data.dataset import Data
from ptheta.density import densities, draw
from ptheta.evaluation.evaluate import noise_floor
from ptheta.evaluation.quality import Quality, quality
from ptheta.inference.denoising import ancestral, ddim, heun, multistep
from ptheta.inference.diffusing import Sampler, WithDenoising
from ptheta.models.diffusion.denoiser import Denoiser

TABLE = Path(__file__).with_suffix(".md")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "diffusion.png"
PARTS = Path("runs/diffusion")
SAMPLERS: dict[str, Sampler] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "heun": heun,
    "multistep": multistep,
}
EVALUATIONS = (1000, 250, 50, 20, 10)


class Evaluations:
    """Counts the passes of the networks of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.count = 0
        [network] = [m.network for m in model.modules() if isinstance(m, Denoiser)]
        self.hook = network.register_forward_hook(self._seen)

    def _seen(self, *_: Any) -> None:
        self.count += 1


@dataclass(frozen=True)
class Density:
    """A run whose density is measured.

    Arguments:
        data: The data.
        recipe: The recipe.
        settings: The settings that differ from the defaults.
    """

    data: str
    recipe: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


DENSITIES = [
    Density(data, recipe, settings)
    for data in ("moons", "digits")
    for recipe, settings in (
        ("nsf-coupling", {}),
        ("score-sde", {"path": "ve"}),
        ("score-sde", {"path": "vp"}),
        ("flow-matching", {}),
        ("ddpm", {}),
    )
]


def density_part(minutes: float, names: list[str]) -> str:
    lines = [
        "## Held-out densities beside those of a spline flow",
        "",
        f"Nats a dimension, lower is better; at most {minutes:g} minutes of training each, on one",
        "thread. Evaluations are passes of the network, for the densities of 200 rows and for as",
        "many draws. On `digits` levels are made real by noise, so all figures are bounds; those",
        "of probability flows are estimated along a random direction, which is right in the mean.",
        "",
        "| data | recipe | nats a dimension | above the spline flow | evaluations |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    spline = math.nan
    for case in DENSITIES:
        if names and case.data not in names:
            continue
        run = ptheta.fit(case.data, case.recipe, settings=case.settings, seconds=60 * minutes)
        test = ptheta.load_data(case.data).test
        nats = -densities(run.model, test.x, space=run.space).values.mean().item()
        nats /= run.space.features
        counted = ""
        if case.recipe == "nsf-coupling":
            spline = nats
        else:
            counter = Evaluations(run.model)
            densities(run.model, test.x[:200], space=run.space)
            asked = counter.count
            draw(run.model, 200)
            counted = f"{asked}, {counter.count - asked}"
        settings = "".join(f" {k}={v}" for k, v in case.settings.items())
        lines.append(
            f"| {case.data} | {case.recipe}{settings} | {nats:.3f} | {nats - spline:+.3f} "
            f"| {counted} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def judged(samples: Tensor, data: Data, seed: int = 0) -> Quality:
    return quality(samples, data.test.x[: len(samples)], data.space, seed=seed)


def figures(found: Quality) -> str:
    return (
        f"{found.accuracy.value:.3f} | {found.precision.value:.3f} | {found.recall.value:.3f} "
        f"| {found.coverage.value:.3f}"
    )


def steps_part(minutes: float, draws: int) -> str:
    data = ptheta.load_data("digits")
    run = ptheta.fit("digits", "ddpm", seconds=60 * minutes)
    model: Any = run.model
    model.eval()
    real = noise_floor(data, samples=draws)
    lines = [
        "## Steps against quality",
        "",
        f"`ddpm` on `digits` after {minutes:g} minutes on one thread, a U-Net of",
        f"{sum(p.numel() for p in model.parameters()):,} parameters; {draws} draws against",
        "held-out images. `heun` evaluates the network twice a step and so takes half as many.",
        "",
        "| sampler | evaluations | seconds | two-sample accuracy | precision | recall | coverage |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| the data | | | {figures(real)} |",
    ]
    chain = model.model
    for name, sampler in SAMPLERS.items():
        for evaluations in EVALUATIONS:
            steps = evaluations // (2 if name == "heun" else 1)
            drawn = WithDenoising(chain.model, chain.shape, sampler=sampler, steps=steps)
            with ptheta.seeded(0), torch.no_grad():
                started = time.perf_counter()
                x = model.bridge.to_data(drawn.sample(draws)).to(data.space.dtype)
                seconds = time.perf_counter() - started
            lines.append(f"| {name} | {evaluations} | {seconds:.1f} | {figures(judged(x, data))} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


MNIST: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm": ("ddpm", {"sampler": "multistep", "sample_steps": 50}),
    "flow-matching": ("flow-matching", {"tolerance": 1e-3}),
    "ncsn": ("ncsn", {"levels": 60, "level_steps": 2}),
}


def mnist_part(minutes: float, names: list[str], out: Path, draws: int = 500) -> str:
    data = ptheta.load_data("mnist")
    kept = out / "judged.jsonl"
    for name in names if minutes else ():
        recipe, settings = MNIST[name]
        folder = out / name
        spent = json.loads((folder / "run.json").read_text())["seconds"] if folder.exists() else 0.0
        run = ptheta.fit(
            "mnist",
            recipe,
            settings=settings,
            seconds=spent + 60 * minutes,
            out=folder,
            resume=folder.exists(),
            precision="bf16-mixed",
        )
        x = draw(run.model, draws)
        record = json.loads((folder / "run.json").read_text())
        row = {
            "name": name,
            "minutes": record["seconds"] / 60,
            "steps": record["steps"],
            "parameters": sum(p.numel() for p in run.model.parameters()),
            "figures": figures(judged(x, data)),
            "machine": machine(),
        }
        with kept.open("a") as file:
            file.write(json.dumps(row) + "\n")
    lines = [
        "## MNIST by the hour",
        "",
        f"U-Nets on one thread, trained in bf16-mixed; {draws} draws against as many test images.",
        "",
        "| recipe | minutes | steps | parameters | two-sample accuracy | precision | recall "
        "| coverage | machine |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        f"| the data | | | | {figures(noise_floor(data, samples=draws))} | |",
    ]
    for line in kept.read_text().splitlines() if kept.exists() else ():
        row = json.loads(line)
        lines.append(
            f"| {row['name']} | {row['minutes']:.0f} | {row['steps']} | {row['parameters']:,} "
            f"| {row['figures']} | {row['machine']} |"
        )
    return "\n".join(lines)


def picture(out: Path, draws: int = 12) -> None:
    """Draws of the runs on MNIST, a row for each, none chosen."""
    runs = [ptheta.load(out / name) for name in MNIST if (out / name / "run.json").exists()]
    figure, axes = plt.subplots(len(runs), 1, figsize=(0.6 * draws, 0.8 * len(runs)), squeeze=False)
    for axis, run in zip(axes[:, 0], runs, strict=True):
        images = draw(run.model, draws).reshape(-1, 28, 28)
        axis.imshow(torch.cat(list(images), dim=1), cmap="gray_r")
        axis.set_title(f"{run.recipe}, {run.seconds / 60:.0f} minutes", fontsize=8, loc="left")
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("densities", "steps", "mnist"))
    parser.add_argument("runs", nargs="*", help="; ".join(("moons", "digits", *MNIST)))
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--out", type=Path, default=PARTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    match options.part:
        case "densities":
            found = density_part(options.minutes, options.runs)
        case "steps":
            found = steps_part(options.minutes, options.draws)
        case _:
            found = mnist_part(options.minutes, options.runs or list(MNIST), options.out)
            picture(options.out)
    asked = " ".join(str(each) for each in (options.part, *options.runs) if each)
    (options.out / f"{options.part}.md").write_text(f"{found}\n\nOn {machine()}.\n")
    parts = [options.out / f"{part}.md" for part in ("densities", "steps", "mnist")]
    whole = ["# Diffusion by figures", "", "Written by `python benchmarks/diffusion.py`, by parts."]
    for part in parts:
        whole += ["", part.read_text().strip()] if part.exists() else []
    TABLE.write_text("\n".join(whole) + "\n")
    print(asked, "\n", found)


if __name__ == "__main__":
    main()
