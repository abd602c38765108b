"""The command that tells the class of each row."""

from __future__ import annotations

__all__ = ["classify"]

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptheta.cli.options import common, print_json, tell
from ptheta.cli.rows import rows_for, save_told, told
from ptheta.cli.use import load_again
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.data.dataset import Split
    from ptheta.evaluation.classification import Classification
    from ptheta.fitting import Run


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("source", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path),
              help="A file: .csv, .tsv, .parquet or .jsonl; else the screen.")  # fmt: skip
@click.option("--context", help="The column of the true classes.")
@common
def classify(
    folder: Path,
    source: str | None,
    out: Path | None,
    context: str | None,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Tell the class of each row of SOURCE, or of held-out rows, by the run in FOLDER."""
    del seed, quiet
    from dataclasses import asdict

    from ptheta.evaluation.classification import classification
    from ptheta.fitting import load
    from ptheta.tasks.classify import classify as classify_rows

    run = load(folder, device)
    _refuse_untold(run)
    rows = load_again(run, None).test if source is None else _rows(run, source, context)
    tell(rows.notes)
    log_probs = classify_rows(run.model, rows.x, space=run.space, frequencies=run.class_counts)
    measured = None if rows.context is None else classification(log_probs, rows.context)
    if out is not None:
        _save(run, rows, log_probs, out)
    unknown = int(log_probs.isnan().any(dim=1).sum())
    if as_json:
        figures = {} if measured is None else asdict(measured)
        found = {} if out else {"classes": _likeliest(run, log_probs), **rows.names}
        print_json({"rows": len(rows), "unknown": unknown, **figures, **found})
    else:
        _print(run, rows, log_probs, measured, out)
    if unknown:
        click.echo(f"ptheta: {unknown} of the rows lie outside what the run was fitted to, or hold "
                   "values that are missing or not finite, which this run cannot take: they have "
                   "no class.", err=True)  # fmt: skip


def _rows(run: Run, source: str, context: str | None) -> Split:
    """The rows of a source, with their true classes where it has them."""
    try:
        return rows_for(run, source, context)
    except PthetaError as error:
        if context is not None:
            raise
        rows = rows_for(replace(run, context_space=None), source)
        click.echo(f"ptheta: there is nothing to compare with: {error}", err=True)
        return rows


def _print(
    run: Run, rows: Split, log_probs: Tensor, measured: Classification | None, out: Path | None
) -> None:
    if out is not None:
        click.echo(f"{len(log_probs)} rows in {out}: the likeliest class, and p(class | row)")
    elif measured is None:
        click.echo(told(rows.names, _likeliest(run, log_probs)))
    if measured is not None:
        accuracy, loss = measured.accuracy, measured.log_loss
        click.echo(
            f"{run.recipe} on {measured.rows} rows: accuracy {accuracy.value:.4f} "
            f"({accuracy.low:.4f} … {accuracy.high:.4f}), log-loss {loss.value:.4f} nats "
            f"({loss.low:.4f} … {loss.high:.4f})"
        )


def _classes(run: Run) -> tuple[str, ...]:
    from ptheta.spaces import Categorical

    assert isinstance(run.context_space, Categorical)
    return run.context_space.names


def _likeliest(run: Run, log_probs: Tensor) -> list[str]:
    classes = _classes(run)
    found = zip(log_probs.argmax(dim=1).tolist(), log_probs[:, 0].isnan().tolist(), strict=True)
    return ["" if nothing else classes[code] for code, nothing in found]


def _save(run: Run, rows: Split, log_probs: Tensor, out: Path) -> None:
    import pandas as pd

    likeliest = pd.Series(_likeliest(run, log_probs), dtype="str")
    each = zip(_classes(run), log_probs.exp().numpy().T, strict=True)
    save_told(rows.names, {"class": likeliest, **{f"p({name})": p for name, p in each}}, out)


def _refuse_untold(run: Run) -> None:
    from ptheta.evaluation.classification import tells_classes
    from ptheta.protocols import capabilities
    from ptheta.recipes.registry import offering

    if tells_classes(run):
        return
    offered = capabilities(run.model)
    if "log_prob" in offered:
        raise PthetaError(
            f"{run.recipe} cannot tell classes: it was fitted without a class, or by an older "
            "version. Fit it again with --context NAME, the column of the classes."
        )
    raise PthetaError(
        f"{run.recipe} cannot tell classes: it offers {', '.join(offered)}. Recipes that can: "
        f"{', '.join(offering('class_log_prob'))}, and those with an exact density that are fitted "
        "with --context NAME."
    )
