"""What the command line shows: progress and tables, for people."""

from __future__ import annotations

__all__ = [
    "CompareProgress",
    "FitProgress",
    "console",
    "describe_recipe",
    "recipes_table",
    "show_data",
]

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ptheta.evaluation.bench import Event
    from ptheta.fitting import Progress as FitState
    from ptheta.recipes.registry import Description


def console(*, stderr: bool = False) -> Console:
    """Where text goes; plain, and wide enough for a table, where it is not a terminal."""
    # names of files and columns may look like markup
    plain = partial(Console, stderr=stderr, highlight=False, markup=False, emoji=False)
    out = plain(soft_wrap=True)
    return out if out.is_terminal else plain(width=200)


class FitProgress:
    """A bar with the loss, the held-out figure, the speed and the time left.

    It appears with the first step, so that a refusal leaves nothing on the screen, and only on a
    terminal.

    Arguments:
        title: What is fitted.
        quiet: Whether to show nothing.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        out = console(stderr=True)
        self.progress = _bar(out, shown=out.is_terminal and not quiet)
        self.task = self.progress.add_task(title, total=1.0, figures="")

    def __enter__(self) -> FitProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def __call__(self, state: FitState) -> None:
        """Shows how far a fit is."""
        self.progress.start()
        figures = f"step {state.step}  loss {state.loss:.4g}"
        if math.isfinite(state.validation):
            figures += f"  held-out {state.figure} {state.validation:.4g}"
        figures += f"  {state.examples_per_second:,.0f}/s"
        self.progress.update(self.task, completed=state.fraction, figures=figures)


class CompareProgress:
    """One bar over all runs of a comparison, with the state of the run in hand.

    Arguments:
        quiet: Whether to show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        out = console(stderr=True)
        self.shown = out.is_terminal and not quiet
        self.progress = _bar(out, shown=self.shown)
        self.task = self.progress.add_task("compare", total=1.0, figures="")
        self.done, self.total, self.quiet = 0, 1, quiet

    def __enter__(self) -> CompareProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def event(self, event: Event) -> None:
        """Sees a run begin or end."""
        self.progress.start()
        self.total = event.total
        rate = "" if event.factor == 1 else f", learning rate x {event.factor:g}"
        title = f"{event.recipe} (seed {event.seed}{rate})"
        if event.kind == "run":
            self.done = event.index - 1
            line = f"{event.index}/{event.total} {title}"
            self.progress.update(self.task, description=line, completed=self.done / self.total)
            if not self.shown and not self.quiet:
                self.progress.console.print(line)
        elif event.message:
            self.progress.console.print(f"{title} {event.kind}: {event.message}")

    def __call__(self, state: FitState) -> None:
        """Shows how far the run in hand is."""
        share = (self.done + state.fraction) / self.total
        self.progress.update(self.task, completed=share, figures=f"loss {state.loss:.4g}")


def recipes_table(descriptions: Sequence[Description]) -> Table:
    """The table of all recipes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("recipe", "family", "density", "serves", "source"):
        table.add_column(heading, overflow="fold")
    for d in descriptions:
        kinds = list(dict.fromkeys(d.densities.values()))
        paper = d.sources[0].partition(", http")[0] if d.sources else ""
        table.add_row(d.name, d.family, ", ".join(kinds), ", ".join(d.densities), paper)
    return table


def describe_recipe(description: Description, out: Console) -> None:
    """Shows one recipe: what it is, what it can do, what can be set."""
    out.print(Text.assemble((description.name, "bold"), f"  {description.title}"))
    out.print(f"\nfamily        {description.family}")
    out.print(f"can           {', '.join(description.capabilities)}")
    out.print(f"conditional   {'yes (context)' if description.conditional else 'no'}")
    out.print(f"forbids       {', '.join(description.constraints) or 'nothing'}")
    for i, source in enumerate(description.sources):
        out.print(f"{'' if i else 'source':13} {source}")
    out.print()
    kinds = Table(box=None, pad_edge=False, header_style="bold")
    kinds.add_column("serves")
    kinds.add_column("density")
    for label, kind in description.densities.items():
        kinds.add_row(label, kind)
    out.print(kinds)
    out.print()
    settings = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("setting", "type", "default", "meaning"):
        settings.add_column(heading, overflow="fold")
    for setting in description.settings:
        settings.add_row(setting.name, setting.type_text, setting.default_text, setting.meaning)
    out.print(settings)


def show_data(described: Mapping[str, Any], out: Console) -> None:
    """Shows what was understood of a data set."""
    for key, value in described.items():
        if key in ("columns", "notes") or value is None:
            continue
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        out.print(f"{key:14}{text}")
    columns: list[Mapping[str, Any]] = described.get("columns") or []
    if columns:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("column", "kind", "training values", "missing"):
            table.add_column(heading, overflow="fold")
        for column in columns:
            missing = column.get("missing")
            table.add_row(
                str(column["name"]), str(column["kind"]), _values(column), str(missing or "")
            )
        out.print()
        out.print(table)
    for note in described.get("notes") or []:
        out.print(Text.assemble(("note", "yellow"), f" {note}"))


def _values(column: Mapping[str, Any]) -> str:
    labels: Sequence[str] = column.get("labels") or []
    if labels:
        return f"{column['categories']}: {', '.join(labels[:3])}{', ...' if labels[3:] else ''}"
    low, high = column.get("range") or (math.nan, math.nan)
    return f"{low:.6g} to {high:.6g}"


def _bar(out: Console, *, shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=out,
        disable=not shown,
    )
