"""Held-out nats on the binary density sets: tractable and autoregressive recipes side by side.

    python benchmarks/binary_suite.py [--seeds 3] [--out suite.jsonl] [set ...]

Every fit goes on until its held-out figure stops rising, or to the recipe's own number of steps.
Where a system has several settings, those that do best on the validation rows of a set are taken,
at the first seed, as is usual for these sets; the test rows decide nothing. What is in the file
already is not fitted again, so that a suite that was cut off goes on.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import ptheta
from ptheta.data.dataset import Split
from ptheta.density import densities
from ptheta.fitting import Run

SETS = (
    *("adult-binary", "connect4", "dna", "mushrooms", "nips"),
    *("nltcs", "plants", "baudio", "jester", "bnetflix", "accidents", "pumsb_star", "bbc"),
)
ONE_LAYER = {"hidden_features": 500, "layers": 1}
# the settings that are tried
SYSTEMS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "chow-liu": ("chow-liu", [{}]),
    "latent-class": ("latent-class", [{"components": n} for n in (20, 100, 300)]),
    "fvsbn": ("fvsbn", [{"l1": l1} for l1 in (1e-4, 1e-3, 1e-2)]),
    "nade": ("nade", [{}]),
    "made": (
        "made",
        [
            {**ONE_LAYER, "dropout": share, "weight_decay": decay}
            for share, decay in ((0.2, 0.1), (0.5, 0.1), (0.5, 1.0))
        ],
    ),
    "made, masks": (
        "made",
        [
            {**ONE_LAYER, "masks": masks, "dropout": share, "steps": 20_000}
            for masks, share in ((8, 0.2), (32, 0.2), (32, 0.5))
        ],
    ),
}
# test log-likelihoods in the tables of MADE (Germain et al., 2015), table 4
PUBLISHED = {
    "adult-binary": {
        "latent-class": 20.44,
        "fvsbn": 13.17,
        "nade": 13.19,
        "made": 13.12,
        "made, masks": 13.13,
    },
    "connect4": {
        "latent-class": 23.41,
        "fvsbn": 12.39,
        "nade": 11.99,
        "made": 11.90,
        "made, masks": 11.90,
    },
    "dna": {
        "latent-class": 98.19,
        "fvsbn": 83.64,
        "nade": 84.81,
        "made": 83.63,
        "made, masks": 79.66,
    },
    "mushrooms": {
        "latent-class": 14.46,
        "fvsbn": 10.27,
        "nade": 9.81,
        "made": 9.68,
        "made, masks": 9.69,
    },
    "nips": {
        "latent-class": 290.02,
        "fvsbn": 276.88,
        "nade": 273.08,
        "made": 280.25,
        "made, masks": 277.28,
    },
}


def measure(
    name: str, system: str, seed: int, chosen: dict[str, Any] | None = None
) -> dict[str, Any]:
    data = ptheta.load_data(name)
    recipe, candidates = SYSTEMS[system]
    if chosen is not None:
        candidates = [chosen]
    runs = [
        ptheta.fit(data, recipe, settings=tried, seed=seed, device="cpu") for tried in candidates
    ]
    best = min(range(len(runs)), key=lambda i: nats(runs[i], data.validation))
    return {
        "set": name,
        "system": system,
        "seed": seed,
        "nats": round(nats(runs[best], data.test), 3),
        "settings": candidates[best],
        "seconds": round(sum(run.seconds for run in runs), 1),
        "steps": runs[best].steps,
        "stopped": runs[best].stopped,
    }


def settings(found: list[dict[str, Any]], name: str, system: str) -> dict[str, Any] | None:
    """The settings that an earlier seed chose."""
    rows = (row for row in found if (row["set"], row["system"]) == (name, system))
    return next((row["settings"] for row in rows), None)


def nats(run: Run, split: Split) -> float:
    return -densities(run.model, split.x, space=run.space).values.mean().item()


def table(found: list[dict[str, Any]]) -> str:
    lines = ["| set | " + " | ".join(SYSTEMS) + " |", "| --- |" + " ---: |" * len(SYSTEMS)]
    for name in dict.fromkeys(row["set"] for row in found):
        cells: list[str] = []
        for system in SYSTEMS:
            of = [r["nats"] for r in found if (r["set"], r["system"]) == (name, system)]
            mean = f"{statistics.mean(of):.2f}" if of else ""
            spread = f" ± {statistics.stdev(of):.2f}" if len(of) > 1 else ""
            published = PUBLISHED.get(name, {}).get(system)
            cells.append(f"{mean}{spread}" + (f" ({published})" if published else ""))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--out", type=Path, default=Path("suite.jsonl"))
    options = parser.parse_args()
    found = [json.loads(line) for line in options.out.open()] if options.out.exists() else []
    done = {(row["set"], row["system"], row["seed"]) for row in found}
    for seed in range(options.seeds):
        for name in options.sets:
            for system in options.systems:
                if (name, system, seed) in done:
                    continue
                found.append(measure(name, system, seed, settings(found, name, system)))
                print(found[-1], flush=True)
                with options.out.open("a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
