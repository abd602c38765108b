"""The command line: ptheta recipes | data | fit | sample | score | evaluate | compare.

Exit codes: 0 done, 2 a mistake in what was asked or given, 1 anything else.
"""

from __future__ import annotations

__all__ = ["cli", "main"]

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.data.dataset import Data
    from ptheta.fitting import Run

F = TypeVar("F", bound=Callable[..., Any])
_DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command, and exits."""
    try:
        cli.main(arguments, prog_name="ptheta", standalone_mode=False)
    except PthetaError as error:
        click.echo(f"ptheta: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("ptheta: interrupted.", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ptheta")
def cli() -> None:
    """Deep generative models behind one interface: fit any family to your own data."""


def common(function: F) -> F:
    """The options that every command has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON for machines."),
        click.option("--seed", type=int, default=0, show_default=True, help="The seed."),
        click.option("--device", type=_DEVICES, default="auto", show_default=True),
        click.option("--quiet", is_flag=True, help="Show no progress."),
    ):
        function = option(function)
    return function


def data_options(function: F) -> F:
    """The options that say how data are to be read."""
    for option in (
        click.option("--context", help="The column, or 'label', that models are conditioned on."),
        click.option("--kind", "kinds", multiple=True, metavar="COLUMN=KIND",
                     help="Read a column as real, positive, discrete or categorical."),
        click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out."),
        click.option("--splits", metavar="TRAIN,VALIDATION,TEST",
                     help="The shares of the three splits, such as 0.8,0.1,0.1."),
        click.option("--split-seed", type=int, default=0, show_default=True,
                     help="The seed of the splits, and of a synthetic set."),
        click.option("--size", "image_size", type=click.IntRange(1),
                     help="Resize images to this many pixels a side."),
        click.option("--strict", is_flag=True, help="Stop at an image that cannot be read."),
        click.option("--stream/--no-stream", default=None,
                     help="Leave data on disk, or take them into memory."),
    ):  # fmt: skip
        function = option(function)
    return function


def budget_options(function: F) -> F:
    """The options that say how long to train."""
    for option in (
        click.option("--steps", type=click.IntRange(1), help="The steps at most."),
        click.option("--epochs", type=float, help="The passes over the training data at most."),
        click.option("--seconds", type=float, help="The seconds of training at most."),
        click.option("--minutes", type=float, help="The minutes of training at most."),
    ):
        function = option(function)
    return function


@cli.command()
@click.argument("name", required=False)
@common
def recipes(name: str | None, as_json: bool, seed: int, device: str, quiet: bool) -> None:
    """List the named systems, or show what NAME is, can do, and lets one set."""
    del seed, device, quiet
    from ptheta.display import console, describe_recipe, recipes_table
    from ptheta.recipes.registry import describe, names

    if name is None:
        found = [describe(each) for each in names()]
        if as_json:
            _print_json([_recipe_json(description) for description in found])
        else:
            console().print(recipes_table(found))
        return
    description = describe(name)
    if as_json:
        _print_json(_recipe_json(description))
    else:
        describe_recipe(description, console())


@cli.command()
@click.argument("source", required=False)
@data_options
@common
def data(
    source: str | None, as_json: bool, seed: int, device: str, quiet: bool, **options: Any
) -> None:
    """Show what is understood of SOURCE: a name, a file or a folder; without it, list the names."""
    del seed, device, quiet
    from ptheta.data.describe import describe
    from ptheta.data.load import data_names
    from ptheta.display import console, show_data

    if source is None:
        names = data_names()
        if as_json:
            _print_json(names)
        else:
            for name, meaning in names.items():
                console().print(f"{name:24}{meaning}")
        return
    described = describe(_load(source, options))
    if as_json:
        _print_json(described)
    else:
        show_data(described, console())


@cli.command()
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
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Fit RECIPE to the data SOURCE, and save the run in a folder."""
    from ptheta.display import FitProgress
    from ptheta.fitting import fit as fit_run
    from ptheta.recipes.registry import find

    find(recipe)
    loaded = _load(source, options)
    folder = out or _free_folder(loaded.name, recipe)
    with FitProgress(f"{recipe} on {loaded.name}", quiet=quiet or processes > 1) as progress:
        run = fit_run(
            loaded,
            recipe,
            settings=_settings(settings),
            steps=steps,
            epochs=epochs,
            seconds=_seconds(seconds, minutes),
            seed=seed,
            device=device,
            precision=precision,
            processes=processes,
            out=folder,
            resume=resume,
            on_progress=None if quiet or processes > 1 else progress,
        )
    _save_example(run, loaded, seed)
    summary = _summary(run, loaded)
    if as_json:
        _print_json(summary)
    else:
        _print_summary(summary)
    if run.stopped == "interrupted":
        click.echo(f"ptheta: interrupted; go on with the same command and --out {folder} --resume",
                   err=True)  # fmt: skip
        sys.exit(1)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-n", "count", type=click.IntRange(1), default=64, show_default=True,
              help="The number of draws.")  # fmt: skip
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A file: .png, .npz, .npy, .csv, .parquet, .jsonl, .txt; or a folder of images.",
)
@click.option("--context", help="What to condition on: a label or its code.")  # fmt: skip
@common
def sample(
    folder: Path,
    count: int,
    out: Path,
    context: str | None,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Draw from the run in FOLDER, and save the draws."""
    del quiet
    from ptheta.data.export import save_samples
    from ptheta.density import draw
    from ptheta.fitting import load

    run = load(folder, device)
    drawn = draw(run.model, count, _context(run, count, context), seed=seed)
    path = save_samples(drawn, run.space, out, columns=run.columns)
    if as_json:
        _print_json({"samples": count, "path": str(path), "seed": seed})
    else:
        click.echo(f"{count} draws of {run.recipe} in {path}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A CSV file, else the screen.")
@click.option("--particles", type=click.IntRange(1), default=1, show_default=True,
              help="The particles of a bound; more are slower and tighter.")  # fmt: skip
@click.option("--context", help="The column that the run was conditioned on.")
@click.option("--size", "image_size", type=click.IntRange(1),
              help="Resize images to this many pixels a side.")  # fmt: skip
@common
def score(
    folder: Path,
    source: str,
    out: Path | None,
    particles: int,
    context: str | None,
    image_size: int | None,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Score each row of SOURCE under the run in FOLDER, in nats of the data's own units."""
    del quiet
    from ptheta.data.load import load_rows
    from ptheta.density import densities
    from ptheta.fitting import load

    run = load(folder, device)
    _need_density(run)
    rows = load_rows(
        source,
        run.space,
        run.columns,
        run.context_space,
        context or run.origin.get("context"),
        image_size=image_size or run.origin.get("image_size"),
    )
    found = densities(
        run.model, rows.x, rows.context, space=run.space, particles=particles, seed=seed
    )
    values = found.values.tolist()
    if out is not None:
        _save_scores(found.verb, values, out)
    outside = [row for row, value in enumerate(values, 1) if value == -math.inf]
    unknown = [row for row, value in enumerate(values, 1) if math.isnan(value)]
    figures = {"rows": len(values), "figure": found.verb, "kind": found.kind,
               "mean": found.values.nanmean().item(), "outside": len(outside),
               "not_finite": len(unknown)}  # fmt: skip
    if as_json:
        _print_json(figures | ({} if out else {"values": values}))
    elif out is None:
        click.echo("\n".join([found.verb, *(f"{value:.6f}" for value in values)]))
    else:
        noise = f", {particles} particles" if found.kind == "bound" else ""
        click.echo(f"{len(values)} rows in {out}: {found.verb} ({found.kind}{noise}), in nats")
    if outside:
        click.echo(f"ptheta: {len(outside)} of the rows, the first of them row {outside[0]}, lie "
                   "outside what the run was fitted to (a level or category never seen): their "
                   "probability is 0.", err=True)  # fmt: skip
    if unknown:
        click.echo(f"ptheta: {len(unknown)} of the rows, the first of them row {unknown[0]}, hold "
                   "values that are missing or not finite, which this run cannot score: they have "
                   "no figure.", err=True)  # fmt: skip


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", "source", help="The data; by default those that the run was fitted to.")
@click.option("--samples", type=click.IntRange(10), default=1000, show_default=True,
              help="The draws that sample quality is measured on, at most.")  # fmt: skip
@common
def evaluate(
    folder: Path,
    source: str | None,
    samples: int,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Measure the run in FOLDER on its test split: likelihood and sample quality."""
    del quiet
    from ptheta.evaluation.evaluate import evaluate as evaluate_run
    from ptheta.fitting import load

    run = load(folder, device)
    loaded = _load_again(run, source)
    found = evaluate_run(run, loaded, samples=samples, seed=seed)
    if as_json:
        _print_json(found.to_json())
    else:
        from ptheta.display import console
        from ptheta.evaluation.table import evaluation_table

        console().print(evaluation_table(found))


@cli.command()
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
    from ptheta.evaluation.compare import compare as compare_recipes
    from ptheta.evaluation.report import write_report
    from ptheta.evaluation.table import comparison_table

    limit = _seconds(seconds, minutes)
    loaded = _load(source, options)
    with CompareProgress(quiet=quiet) as progress:
        found = compare_recipes(
            loaded,
            recipes,
            out=runs or _free_folder(loaded.name, "compare"),
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
    write_report(found, out)
    if as_json:
        _print_json(found.to_json())
    else:
        console().print(comparison_table(found))
        click.echo(f"report in {out}")
    if found.interrupted:
        click.echo("ptheta: interrupted; what was done is in the report.", err=True)
        sys.exit(1)


def _load(source: str, options: Mapping[str, Any]) -> Data:
    from ptheta.data.load import load_data

    options = dict(options)
    options["kinds"] = _pairs(options["kinds"], "--kind", "COLUMN=KIND")
    options["drop"] = tuple(options["drop"])
    options["splits"] = _splits(options["splits"])
    return load_data(source, seed=options.pop("split_seed"), **options)


def _load_again(run: Run, source: str | None) -> Data:
    from ptheta.data.load import load_data

    if source is None and not run.origin:
        raise PthetaError(
            f"the run was fitted to data in memory ({run.data}); name a file with --data."
        )
    origin = dict(run.origin)
    if source is not None:
        origin["source"] = source
    loaded = load_data(**origin)
    if loaded.space != run.space:
        raise PthetaError(
            f"the run was fitted to {run.space.describe()}, but {loaded.name} is "
            f"{loaded.space.describe()}."
        )
    if source is None and loaded.fingerprint != run.fingerprint:
        raise PthetaError(
            f"{loaded.name} has changed since the run was fitted, so its test rows may have been "
            "trained on; name the data with --data to measure on them all the same."
        )
    return loaded


def _save_scores(verb: str, values: Sequence[float], out: Path) -> None:
    import pandas as pd

    from ptheta.data.export import save_table

    save_table(pd.DataFrame({verb: values}), out)


def _settings(pairs: Sequence[str]) -> dict[str, str]:
    return _pairs(pairs, "--set", "SETTING=VALUE")


def _pairs(pairs: Sequence[str], option: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise PthetaError(f"{option} takes {form}, got '{pair}'.")
        found[key.strip().replace("-", "_") if option == "--set" else key] = value.strip()
    return found


def _splits(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        train, validation, test = (float(share) for share in text.split(","))
    except ValueError:
        raise PthetaError(
            f"--splits takes three shares such as 0.8,0.1,0.1, got '{text}'."
        ) from None
    return train, validation, test


def _seconds(seconds: float | None, minutes: float | None) -> float | None:
    if seconds is not None and minutes is not None:
        raise PthetaError("give --seconds or --minutes, not both.")
    return minutes * 60 if minutes is not None else seconds


def _free_folder(name: str, recipe: str) -> Path:
    stem = f"{Path(name).stem or 'data'}-{recipe}"
    folder, number = Path("runs") / stem, 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-{number}", number + 1
    return folder


def _context(run: Run, count: int, given: str | None) -> Tensor | None:
    import torch

    from ptheta.spaces import Categorical

    space = run.context_space
    if space is None:
        if given is not None:
            raise PthetaError(f"the run in {run.folder} was fitted without context.")
        return None
    if not isinstance(space, Categorical):
        raise PthetaError(
            "a run conditioned on numbers is sampled from Python: model.sample(n, context)."
        )
    if given is None:
        # each class in turn, so that a grid shows all of them
        return torch.arange(count) % space.categories
    labels = space.labels or tuple(str(code) for code in range(space.categories))
    if given not in labels:
        from ptheta.errors import nearest

        raise PthetaError(f"there is no context '{given}'. {nearest(given, labels)}")
    return torch.full((count,), labels.index(given))


def _need_density(run: Run) -> None:
    from ptheta.protocols import capabilities, density_verb
    from ptheta.recipes.registry import describe, names

    if density_verb(run.model) is None:
        able = [n for n in names() if set(describe(n).densities.values()) - {"none"}]
        raise PthetaError(
            f"{run.recipe} has no density to score by: it offers "
            f"{', '.join(capabilities(run.model))}. Recipes with one: {', '.join(able)}."
        )


def _save_example(run: Run, loaded: Data, seed: int) -> None:
    from ptheta.data.export import save_samples
    from ptheta.density import draw

    assert run.folder is not None
    drawn = draw(run.model, 64, _context_for_example(run, loaded), seed=seed)
    planar = run.space.shape == (2,) and run.space.continuous
    picture = run.space.layout == "image" or planar
    name = "samples.png" if picture else "samples.csv"
    (run.folder / "samples").mkdir(exist_ok=True)
    save_samples(drawn, run.space, run.folder / "samples" / name, columns=run.columns)


def _context_for_example(run: Run, loaded: Data) -> Tensor | None:
    from ptheta.spaces import Real

    given = loaded.train.context
    if isinstance(run.context_space, Real) and given is not None:
        return given[[i % len(given) for i in range(64)]]
    return _context(run, 64, None)


def _summary(run: Run, loaded: Data) -> dict[str, Any]:
    from ptheta.density import densities
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
        test = loaded.test
        found = densities(run.model, test.x, test.context, space=run.space)
        nats = -found.values.mean().item()
        summary |= {"figure": found.verb, "kind": found.kind, "nats": nats}
        if found.kind != "unnormalised":
            summary["bits_per_dimension"] = nats / (run.space.features * math.log(2))
    return summary


def _print_summary(summary: Mapping[str, Any]) -> None:
    click.echo(
        f"{summary['recipe']} on {summary['data']}: {summary['stopped']} "
        f"({summary['steps']} steps, {summary['seconds']} s, "
        f"{summary['examples_per_second']:,} examples/s)"
    )
    if "figure" in summary:
        bits = summary.get("bits_per_dimension")
        beside = f", {bits:.4f} bits per dimension" if bits is not None else ""
        click.echo(
            f"held-out {summary['nats']:.4f} nats per example{beside} "
            f"({summary['kind']}: -{summary['figure']})"
        )
    else:
        click.echo("no density; `ptheta evaluate` measures its samples")
    click.echo(f"saved in {summary['folder']}")


def _recipe_json(description: Any) -> dict[str, Any]:
    found = asdict(description)
    found["settings"] = [
        {"name": s.name, "type": s.type_text, "default": s.default, "meaning": s.meaning}
        for s in description.settings
    ]
    return found


def _print_json(value: Any) -> None:
    click.echo(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    """JSON has no infinities: they become null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case _:
            return value
