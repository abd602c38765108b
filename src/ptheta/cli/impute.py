"""The command that fills in what is missing."""

from __future__ import annotations

__all__ = ["impute"]

from pathlib import Path

import click

from ptheta.cli.able import refuse_unable
from ptheta.cli.context import beside_context
from ptheta.cli.options import common, print_json, tell
from ptheta.cli.rows import rows_for


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True,
              help="A file: .csv, .tsv, .parquet, .jsonl, .npz or .npy.")  # fmt: skip
@click.option("--draws", type=click.IntRange(1), default=1, show_default=True,
              help="How often each row is filled in, one after the other.")  # fmt: skip
@click.option("--context", help="The column that the run was conditioned on.")
@common
def impute(
    folder: Path,
    source: str,
    out: Path,
    draws: int,
    context: str | None,
    as_json: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Fill in what is missing in SOURCE, by draws of the run in FOLDER given what is there."""
    del quiet
    from ptheta.data.export import save_samples
    from ptheta.fitting import load
    from ptheta.spaces import missing_values
    from ptheta.tasks.impute import impute as impute_rows

    run = load(folder, device)
    refuse_unable(run, "fill in what is missing", "complete")
    rows = rows_for(run, source, context)
    tell(rows.notes)
    filled = impute_rows(run.model, rows.x, rows.context, space=run.space, draws=draws, seed=seed)
    missing = int(missing_values(rows.x[:]).sum())
    given = None if rows.context is None else rows.context.repeat(draws)
    table, space = beside_context(run, filled.flatten(0, 1), given)
    path = save_samples(table, space, out, columns=run.columns)
    if as_json:
        print_json({"rows": len(rows), "missing": missing, "draws": draws, "path": str(path)})
    else:
        times = "" if draws == 1 else f", {draws} times"
        click.echo(f"{missing} values of {len(rows)} rows filled in{times}; {path}")
