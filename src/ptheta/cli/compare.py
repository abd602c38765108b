"""The command that rates recipes on one data set."""

from __future__ import annotations

__all__ = ["compare"]

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ptheta.cli.options import (
    common,
    data_options,
    free_folder,
    load_source,
    parse_seconds,
    print_json,
)
from ptheta.files import refuse_unwritable

_ROOM = 2**20  # bytes, about what a report takes


@click.command()
@click.argument("source")
@click.argument("recipes", nargs=-1, required=True)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True,
              help="The runs of each recipe at its default learning rate.")  # fmt: skip
@click.option("--seconds", type=float, help="The seconds of each run.  [default: 20]")
@click.option("--minutes", type=float, help="The minutes of each run.")
@click.option("--steps", type=click.IntRange(1), help="The steps of each run at most.")
@click.option("--quick", is_flag=True,
              help="Try the other learning rates with the first seed alone.")  # fmt: skip
@click.option("--samples", type=click.IntRange(10), default=1000, show_default=True,
              help="The draws that sample quality is measured on, at most.")  # fmt: skip
@click.option("--precision", default="32-true", show_default=True,
              help="32-true or bf16-mixed.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("report.html"),
              show_default=True, help="The report, one self-contained page.")  # fmt: skip
@click.option("--runs", type=click.Path(path_type=Path), help="The folder of the runs.")
@data_options
@common
def compare(
    source: str,
    recipes: Sequence[str],
    seeds: int,
    seconds: float | None,
    minutes: float | None,
    steps: int | None,
    quick: bool,
    samples: int,
    precision: str,
    out: Path,
    runs: Path | None,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Fit RECIPES to SOURCE in turn, rate them on it, and write a report."""
    from ptheta.display import CompareProgress, console
    from ptheta.evaluation.compare import BASELINE
    from ptheta.evaluation.compare import compare as compare_recipes
    from ptheta.evaluation.report import write_report
    from ptheta.evaluation.table import comparison_table
    from ptheta.recipes.registry import find

    refuse_unwritable(out, _ROOM)
    limit = parse_seconds(seconds, minutes)
    loaded = load_source(source, options)
    for name in recipes:
        find(name)
    if BASELINE not in recipes and not quiet:
        click.echo(f"ptheta: {BASELINE} is rated too, as what all others must beat.", err=True)
    with CompareProgress(quiet=quiet) as progress:
        found = compare_recipes(
            loaded,
            recipes,
            out=runs or free_folder(loaded.name, "compare"),
            seeds=seeds,
            seconds=20.0 if limit is None and steps is None else limit,
            steps=steps,
            quick=quick,
            samples=samples,
            device=device,
            precision=precision,
            seed=seed,
            progress=progress.event,
            on_progress=progress,
        )
    # what was found is seen even where the report cannot be written after all
    if as_json:
        print_json(found.to_json())
    else:
        console().print(comparison_table(found))
    write_report(found, out)
    if not as_json:
        click.echo(f"report in {out}")
    if found.interrupted:
        click.echo("ptheta: interrupted; what was done is in the report.", err=True)
        sys.exit(1)
