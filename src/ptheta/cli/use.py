"""Commands that use a run: sample, score, evaluate."""

from __future__ import annotations

__all__ = ["evaluate", "load_again", "sample", "score"]

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptheta.cli.able import refuse_unable
from ptheta.cli.context import beside_context, context_of
from ptheta.cli.given import drawn_given, given_option
from ptheta.cli.options import changes_option, common, parse_settings, print_json, tell
from ptheta.cli.prompt import Beginning, extended, prompt_options
from ptheta.cli.rows import rows_for, save_told, told
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.data.dataset import Data, Split
    from ptheta.evaluation.quality import Quality
    from ptheta.fitting import Run

_TABLES = (".csv", ".tsv", ".parquet", ".jsonl")
_LEAST = 40  # rows of a file: two halves are compared, and that takes 20 of each


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-n", "count", type=click.IntRange(1), default=64, show_default=True,
              help="The number of draws.")  # fmt: skip
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A file: .png, .wav, .npz, .npy, .csv, .parquet, .jsonl, .txt; or a folder of images or "
    "sounds.",
)
@click.option("--context", help="What to condition on: a label, or a sentence where the run was "
                                "fitted to sentences.")  # fmt: skip
@given_option
@prompt_options
@changes_option
@common
def sample(
    folder: Path,
    count: int,
    out: Path,
    context: str | None,
    given: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
    **beginning: Any,
) -> None:
    """Draw from the run in FOLDER, and save the draws."""
    del quiet
    from ptheta.data.export import refuse_target, save_samples
    from ptheta.fitting import load

    run = load(folder, device, parse_settings(settings))
    refuse_target(out, run.space)
    known = context_of(run, count, context)
    begun = Beginning(**beginning)
    if given and begun.asked:
        raise PthetaError(f"--given stands alone: leave out {', '.join(begun.asked)}.")
    if given:
        drawn = drawn_given(run, count, given, known, seed)
    else:
        drawn, run = _drawn(run, count, begun, known, seed)
    space = run.space
    if out.suffix.lower() in _TABLES:
        drawn, space = beside_context(run, drawn, known)
    path = save_samples(drawn, space, out, columns=run.columns)
    if as_json:
        print_json({"samples": count, "path": str(path), "seed": seed})
    else:
        click.echo(f"{count} draws of {run.recipe} in {path}")


def _drawn(
    run: Run, count: int, beginning: Beginning, context: Tensor | None, seed: int
) -> tuple[Tensor, Run]:
    from ptheta.density import draw
    from ptheta.protocols import SupportsSampleTempered

    asked, temperature = beginning.asked, beginning.temperature
    if asked == ["--temperature"]:
        refuse_unable(run, "draw at a temperature", "sample_tempered", "extend")
    tempered = isinstance(run.model, SupportsSampleTempered)
    if not asked or (tempered and asked == ["--temperature"]):
        drawn = draw(
            run.model,
            count,
            context,
            temperature=1.0 if temperature is None else temperature,
            seed=seed,
        )
        return drawn, run
    return extended(run, count, beginning, context, seed)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A CSV file, else the screen.")
@click.option("--particles", type=click.IntRange(1), default=1, show_default=True,
              help="The particles of a bound; more are slower and tighter.")  # fmt: skip
@click.option("--context", help="The column that the run was conditioned on.")
@click.option("--size", "image_size", type=click.IntRange(1),
              help="Resize images to this many pixels a side.")  # fmt: skip
@changes_option
@common
def score(
    folder: Path,
    source: str,
    out: Path | None,
    particles: int,
    context: str | None,
    image_size: int | None,
    settings: tuple[str, ...],
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Score each row of SOURCE under the run in FOLDER, in nats of the data's own units."""
    del quiet
    from ptheta.density import densities
    from ptheta.fitting import load
    from ptheta.protocols import DENSITIES

    run = load(folder, device, parse_settings(settings))
    refuse_unable(run, "score rows, having no density", *DENSITIES)
    rows = rows_for(run, source, context, image_size)
    tell(rows.notes)
    found = densities(
        run.model, rows.x, rows.context, space=run.space, particles=particles, seed=seed
    )
    values = found.values.tolist()
    if out is not None:
        save_told(rows.names, {found.verb: values}, out)
    outside = [row for row, value in enumerate(values, 1) if value == -math.inf]
    unknown = [row for row, value in enumerate(values, 1) if math.isnan(value)]
    figures = {"rows": len(values), "figure": found.verb, "kind": found.kind,
               "mean": found.values.nanmean().item(), "outside": len(outside),
               "not_finite": len(unknown)}  # fmt: skip
    if as_json:
        print_json(figures | ({} if out else {"values": values, **rows.names}))
    elif out is None:
        click.echo(told(rows.names, [f"{value:.6f}" for value in values], found.verb))
    else:
        noise = f", {particles} particles" if found.kind == "bound" else ""
        click.echo(f"{len(values)} rows in {out}: {found.verb} ({found.kind}{noise}), in nats")
    if outside:
        click.echo(f"ptheta: {len(outside)} of the rows, the first of them row {outside[0]}, lie "
                   "outside what the run was fitted to (such as a level or category never seen, "
                   "or 0 among positive numbers): their "
                   "probability is 0.", err=True)  # fmt: skip
    if unknown:
        click.echo(f"ptheta: {len(unknown)} of the rows, the first of them row {unknown[0]}, hold "
                   "values that are missing or not finite, which this run cannot score: they have "
                   "no figure.", err=True)  # fmt: skip


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", "source", help="The data; by default those that the run was fitted to.")
@click.option("--samples", type=click.IntRange(10), default=1000, show_default=True,
              help="The draws that sample quality is measured on, at most.")  # fmt: skip
@changes_option
@common
def evaluate(
    folder: Path,
    source: str | None,
    samples: int,
    settings: tuple[str, ...],
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Measure the run in FOLDER on its test split: likelihood and sample quality."""
    del quiet
    from ptheta.evaluation.evaluate import evaluate as evaluate_run
    from ptheta.fitting import load

    run = load(folder, device, parse_settings(settings))
    reference, outside = None, 0
    if source is None or _has_splits(run, source):
        loaded = load_again(run, source)
    else:
        loaded, outside = _held_out(run, source)
        reference = _floor(loaded, samples, seed)
    found = evaluate_run(run, loaded, samples=samples, seed=seed, reference=reference)
    if as_json:
        print_json(found.to_json() | {"outside": outside})
    else:
        from ptheta.display import console
        from ptheta.evaluation.table import evaluation_table

        console().print(evaluation_table(found))
    if outside:
        click.echo(f"ptheta: {outside} of the {len(loaded.test) + outside} rows of {source} lie "
                   "outside what the run was fitted to, or hold values that are missing or not "
                   "finite: the figures are those of the other rows.", err=True)  # fmt: skip


def _has_splits(run: Run, source: str) -> bool:
    """Whether a source is a data set with splits of its own, or just those of the fit."""
    from ptheta.data.load import data_names, load_data

    if source in data_names() or source.startswith("hf:"):
        return True
    if run.origin.get("source") != str(Path(source).expanduser().resolve()):
        return False
    try:
        return load_data(**run.origin).fingerprint == run.fingerprint
    except PthetaError:
        return False


def load_again(run: Run, source: str | None) -> Data:
    """The data that a run was fitted to, or others that are read in the same way.

    Arguments:
        run: The run.
        source: A source in the place of the run's own, or None.

    Raises:
        PthetaError: The data are not at hand, have changed, or are of another space.
    """
    from ptheta.data.load import load_data
    from ptheta.evaluation.rows import refuse_other_space

    if source is None and not run.origin:
        raise PthetaError(
            f"the run was fitted to data in memory ({run.data}); name a file with --data."
        )
    origin: dict[str, Any] = {"context": None if run.context_space is None else "label"}
    origin |= run.origin
    if source is not None:
        origin["source"] = source
    loaded = load_data(**origin)
    if source is None and loaded.fingerprint != run.fingerprint:
        raise PthetaError(
            f"{loaded.name} has changed since the run was fitted, so its test rows may have been "
            "trained on; name the data with --data to measure on all of its rows all the same."
        )
    refuse_other_space(run, loaded)
    return loaded


def _held_out(run: Run, source: str) -> tuple[Data, int]:
    """All rows of a source as held-out rows in the space of a run, and how many lie outside."""
    from ptheta.data.dataset import Data

    rows = rows_for(run, source)
    tell(rows.notes)
    inside = run.space.contains(rows.x[:])
    kept = _taken(rows, inside.nonzero()[:, 0])
    if len(kept) < _LEAST:
        raise PthetaError(
            f"{source} has {len(kept)} rows inside what the run was fitted to "
            f"({len(rows) - len(kept)} lie outside), and figures need at least {_LEAST}. Give more "
            "rows, or look at each of them with `ptheta score`."
        )
    data = Data(source, run.space, kept, kept, kept, run.context_space, columns=run.columns)
    return data, len(rows) - len(kept)


def _floor(data: Data, samples: int, seed: int) -> Quality:
    """What a perfect model would get: one half of the rows in the place of samples of the other."""
    import torch

    from ptheta.evaluation.evaluate import noise_floor

    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(seed))
    seen, unseen = (_taken(data.test, half) for half in order.tensor_split(2))
    return noise_floor(replace(data, train=seen, test=unseen), samples=samples, seed=seed)


def _taken(rows: Split, index: Tensor) -> Split:
    from ptheta.data.dataset import Split

    return Split(rows.x[index], None if rows.context is None else rows.context[index])
