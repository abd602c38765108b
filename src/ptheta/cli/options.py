"""Options that commands share, and what is read from them."""

from __future__ import annotations

__all__ = [
    "budget_options",
    "changes_option",
    "common",
    "data_options",
    "free_folder",
    "load_source",
    "parse_seconds",
    "parse_settings",
    "print_json",
    "tell",
]

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptheta.errors import PthetaError

if TYPE_CHECKING:
    from ptheta.data.dataset import Data

F = TypeVar("F", bound=Callable[..., Any])
SEEDS = click.IntRange(0, 2**32 - 1)  # what scikit-learn takes, too
_DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])


def common(function: F) -> F:
    """The options that every command has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON for machines."),
        click.option("--seed", type=SEEDS, default=0, show_default=True, help="The seed."),
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
        click.option("--split-seed", type=SEEDS, default=0, show_default=True,
                     help="The seed of the splits, and of a synthetic set."),
        click.option("--size", "image_size", type=click.IntRange(1),
                     help="Resize images to this many pixels a side."),
        click.option("--window", type=click.IntRange(1),
                     help="The characters of a text, or the samples of sound, of one example."),
        click.option("--rate", type=click.IntRange(1),
                     help="The samples a second that recordings are brought to."),
        click.option("--strict", is_flag=True,
                     help="Stop at an image or a recording that cannot be read."),
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


changes_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Change a setting of how the model is used, such as the steps of draws.",
)


def load_source(source: str, options: Mapping[str, Any]) -> Data:
    """The data that a source and the data options name."""
    from ptheta.data.load import load_data

    options = dict(options)
    options["kinds"] = _pairs(options["kinds"], "--kind", "COLUMN=KIND")
    options["drop"] = tuple(options["drop"])
    options["splits"] = _splits(options["splits"])
    return load_data(source, seed=options.pop("split_seed"), **options)


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """The settings of ``--set SETTING=VALUE``, still as text."""
    return _pairs(pairs, "--set", "SETTING=VALUE")


def parse_seconds(seconds: float | None, minutes: float | None) -> float | None:
    """The seconds of ``--seconds`` or ``--minutes``, or None."""
    if seconds is not None and minutes is not None:
        raise PthetaError("give --seconds or --minutes, not both.")
    return minutes * 60 if minutes is not None else seconds


def free_folder(name: str, recipe: str) -> Path:
    """A folder under ``runs`` that does not exist yet."""
    stem = f"{Path(name).stem or 'data'}-{recipe}"
    folder, number = Path("runs") / stem, 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-{number}", number + 1
    return folder


def print_json(value: Any) -> None:
    """Prints a value as JSON, in which what is not finite is null."""
    click.echo(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))


def tell(notes: Sequence[str]) -> None:
    """Says on the standard error what was done to data."""
    for note in notes:
        click.echo(f"ptheta: {note}", err=True)


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
