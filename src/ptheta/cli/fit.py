"""The command that fits a recipe to data."""

from __future__ import annotations

__all__ = ["fit"]

import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptheta.cli.context import beside_context, context_of
from ptheta.cli.options import (
    budget_options,
    common,
    data_options,
    free_folder,
    load_source,
    parse_seconds,
    parse_settings,
    print_json,
    tell,
)
from ptheta.errors import PthetaError
from ptheta.files import CannotWrite

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.data.dataset import Data
    from ptheta.fitting import Run

_SECONDS = 20.0  # about so long for the held-out figure


@click.command()
@click.argument("source")
@click.argument("recipe")
@click.option("--set", "settings", multiple=True, metavar="SETTING=VALUE",
              help="Set one of the recipe's settings.")  # fmt: skip
@budget_options
@click.option("--out", type=click.Path(path_type=Path), help="The folder of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in that folder.")
@click.option("--precision", default="32-true", show_default=True,
              help="32-true or bf16-mixed.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True,
              help="The processes that share each batch.")  # fmt: skip
@click.option("--compile", is_flag=True, help="Have torch compile the loss.")
@data_options
@common
def fit(
    source: str,
    recipe: str,
    settings: Sequence[str],
    steps: int | None,
    epochs: float | None,
    seconds: float | None,
    minutes: float | None,
    out: Path | None,
    resume: bool,
    precision: str,
    processes: int,
    compile: bool,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Fit RECIPE to the data SOURCE, and save the run in a folder."""
    from ptheta.display import FitProgress
    from ptheta.fitting import fit as fit_run
    from ptheta.protocols import SupportsSample
    from ptheta.recipes.registry import find

    find(recipe)
    loaded = load_source(source, options)
    if not quiet:
        tell(loaded.notes)
    folder = out or free_folder(loaded.name, recipe)
    with FitProgress(f"{recipe} on {loaded.name}", quiet=quiet or processes > 1) as progress:
        run = fit_run(
            loaded,
            recipe,
            settings=parse_settings(settings),
            steps=steps,
            epochs=epochs,
            seconds=parse_seconds(seconds, minutes),
            seed=seed,
            device=device,
            precision=precision,
            processes=processes,
            compile=compile,
            out=folder,
            resume=resume,
            on_progress=None if quiet or processes > 1 else progress,
        )
    if isinstance(run.model, SupportsSample):
        _save_example(run, loaded, seed)
    summary = _summary(run, loaded)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)
    if run.stopped == "interrupted":
        click.echo(f"ptheta: interrupted; go on with the same command and --out {folder} --resume",
                   err=True)  # fmt: skip
        sys.exit(1)


def _save_example(run: Run, loaded: Data, seed: int) -> None:
    from ptheta.data.export import save_samples
    from ptheta.density import draw
    from ptheta.spaces import Categorical, rate_of

    assert run.folder is not None
    given, space = _context_for_example(run, loaded), run.space
    drawn = draw(run.model, 64, given, seed=seed)
    sound = rate_of(space) is not None
    picture = sound or space.layout == "image" or (space.shape == (2,) and space.continuous)
    text = isinstance(space, Categorical) and space.layout == "sequence" and bool(space.labels)
    names = [f"samples.{'png' if picture else 'txt' if text else 'csv'}"]
    names += ["samples.wav"] * sound
    if not (picture or text):
        drawn, space = beside_context(run, drawn, given)
    (run.folder / "samples").mkdir(exist_ok=True)
    try:
        for name in names:
            save_samples(drawn, space, run.folder / "samples" / name, columns=run.columns)
    except CannotWrite:
        raise
    except PthetaError as error:
        click.echo(f"ptheta: no example was saved: {error}", err=True)


def _context_for_example(run: Run, loaded: Data) -> Tensor | None:
    given = loaded.train.context
    if run.context_space is not None and run.context_space.shape and given is not None:
        return given[[i % len(given) for i in range(64)]]
    return context_of(run, 64, None)


def _summary(run: Run, loaded: Data) -> dict[str, Any]:
    from ptheta.evaluation.estimate import mean_of
    from ptheta.evaluation.likelihood import densities_of
    from ptheta.evaluation.rows import affordable
    from ptheta.protocols import capabilities, density_verb

    summary: dict[str, Any] = {
        "recipe": run.recipe,
        "data": run.data,
        "folder": str(run.folder),
        "steps": run.steps,
        "seconds": round(run.seconds, 1),
        "stopped": run.stopped,
        "examples_per_second": round(run.examples_per_second),
        "capabilities": list(capabilities(run.model)),
    }
    if density_verb(run.model) is not None:
        ask = partial(densities_of, run)
        taken = affordable(ask, loaded.test, _SECONDS, seed=0)
        found = ask(taken)
        mean = found.values.mean().item()
        summary |= {"figure": found.verb, "kind": found.kind, "mean": mean, "rows": len(taken)}
        if len(taken) < len(loaded.test):
            summary |= {"error": mean_of(found.values).high - mean}
        if found.kind != "unnormalised":
            bits = -mean / (run.space.features * math.log(2))
            summary |= {"nats": -mean, "bits_per_dimension": bits}
    return summary | _classes(run, loaded)


def _classes(run: Run, loaded: Data) -> dict[str, float]:
    from ptheta.evaluation.classification import classification
    from ptheta.protocols import SupportsClassify
    from ptheta.tasks.classify import classify

    test = loaded.test
    # Bayes' rule takes a pass for each class, which is for `ptheta classify` to spend
    if test.context is None or not isinstance(run.model, SupportsClassify):
        return {}
    told = classify(run.model, test.x, space=run.space)
    found = classification(told, test.context)
    return {"accuracy": found.accuracy.value, "log_loss": found.log_loss.value}


def _print_summary(summary: Mapping[str, Any]) -> None:
    click.echo(
        f"{summary['recipe']} on {summary['data']}: {summary['stopped']} "
        f"({summary['steps']} steps, {summary['seconds']} s, "
        f"{summary['examples_per_second']:,} examples/s)"
    )
    # what takes long is taken on few rows here
    few = f" ± {summary['error']:.2g}, by {summary['rows']} rows" if "error" in summary else ""
    if "nats" in summary:
        click.echo(
            f"held-out {summary['nats']:.4f} nats per example{few}, "
            f"{summary['bits_per_dimension']:.4f} bits per dimension "
            f"({summary['kind']}: -{summary['figure']})"
        )
    elif "figure" in summary:
        click.echo(
            f"held-out {summary['figure']} {summary['mean']:.4f}{few}: known up to a constant, "
            "so it ranks rows and is no likelihood"
        )
    elif "accuracy" not in summary:
        click.echo("no density; `ptheta evaluate` measures its samples")
    if "accuracy" in summary:
        click.echo(
            f"held-out classes: accuracy {summary['accuracy']:.4f}, "
            f"log-loss {summary['log_loss']:.4f} nats"
        )
    click.echo(f"saved in {summary['folder']}")
