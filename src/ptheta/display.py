"""What the command line shows: progress and tables, for people."""

__all__ = ["FitProgress", "console", "describe_recipe", "recipes_table", "show_data"]

import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ptheta.fitting import Progress as FitState
from ptheta.recipes.registry import Description


def console(*, stderr: bool = False) -> Console:
    """Where text goes; plain where it is not a terminal."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


class FitProgress:
    """A bar with the loss, the held-out figure, the speed and the time left.

    Arguments:
        title: What is fitted.
        quiet: Whether to show nothing.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console(stderr=True),
            disable=quiet,
        )
        self.task = self.progress.add_task(title, total=1.0, figures="")

    def __enter__(self) -> "FitProgress":
        self.progress.start()
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
        figures = f"step {state.step}  loss {state.loss:.4g}"
        if math.isfinite(state.validation):
            figures += f"  held-out {state.figure} {state.validation:.4g}"
        figures += f"  {state.examples_per_second:,.0f} examples/s"
        self.progress.update(self.task, completed=state.fraction, figures=figures)


def recipes_table(descriptions: Sequence[Description]) -> Table:
    """The table of all recipes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("recipe", "family", "density", "serves", "source"):
        table.add_column(heading, overflow="fold")
    for d in descriptions:
        kinds = list(dict.fromkeys(d.densities.values()))
        table.add_row(d.name, d.family, ", ".join(kinds), ", ".join(d.densities), d.source)
    return table


def describe_recipe(description: Description, out: Console) -> None:
    """Shows one recipe: what it is, what it can do, what can be set."""
    out.print(f"[bold]{description.name}[/bold]  {description.title}")
    out.print(f"\nfamily        {description.family}")
    out.print(f"can           {', '.join(description.capabilities)}")
    out.print(f"conditional   {'yes (context)' if description.conditional else 'no'}")
    out.print(f"forbids       {', '.join(description.constraints) or 'nothing'}")
    out.print(f"source        {description.source}\n")
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
        if key in ("columns", "notes"):
            continue
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        out.print(f"{key:14}{text}")
    columns: list[Mapping[str, Any]] = described.get("columns") or []
    if columns:
        headings = list(dict.fromkeys(key for column in columns for key in column))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for column in columns:
            table.add_row(*(_cell(column.get(heading)) for heading in headings))
        out.print()
        out.print(table)
    for note in described.get("notes") or []:
        out.print(f"[yellow]note[/yellow] {note}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        shown = [_cell(v) for v in value[:6]]
        return ", ".join(shown) + (", ..." if len(value) > 6 else "")
    return str(value)
