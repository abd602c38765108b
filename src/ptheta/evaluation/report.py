"""The report of a comparison: one page that needs nothing but itself."""

from __future__ import annotations

__all__ = ["comparison_table", "evaluation_table", "write_report"]

import inspect
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ptheta.evaluation.bench import Entry
from ptheta.evaluation.compare import BASELINE, Comparison, compare
from ptheta.evaluation.rating import COVERAGE_DISTANCE, NATS_DISTANCE, Attempt
from ptheta.evaluation.table import COLUMNS, comparison_table, evaluation_table, rating_cells
from ptheta.files import whole_file

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.evaluation.pictures import Picture

_PYTHON_ALONE = ("settings", "learning_rates")  # what no option of the command can say


def write_report(comparison: Comparison, path: str | Path) -> Path:
    """Writes the report of a comparison: HTML with its style and pictures inside.

    It is written whole or not at all.

    Arguments:
        comparison: The comparison.
        path: The file to write.

    Returns:
        The path.

    Raises:
        CannotWrite: It cannot be written.
    """
    path = Path(path)
    with whole_file(path) as temporary:
        temporary.write_text(_page(comparison), encoding="utf-8")
    return path


class _Card(NamedTuple):
    name: str
    note: str
    picture: Picture | None
    text: tuple[str, ...]


class _Gap(NamedTuple):
    name: str
    one: float
    many: float
    particles: int
    loose_by: str


def _page(comparison: Comparison) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from ptheta.evaluation.pictures import learning_curves, two_sample_plot

    environment = Environment(
        loader=PackageLoader("ptheta.evaluation"), autoescape=True, undefined=StrictUndefined
    )
    rows = [rating_cells(entry.rating) for entry in comparison.entries]
    columns = {
        c: n for c, n in COLUMNS.items() if any(row[c].text not in ("–", "") for row in rows)
    }  # noqa: RUF001
    return environment.get_template("report.html").render(
        comparison=comparison,
        budget=comparison.budget,
        facts=_facts(comparison),
        columns=columns,
        rows=rows,
        baseline=BASELINE,
        messages=[entry.rating.message for entry in comparison.entries if entry.rating.message],
        cards=[
            _examples(comparison, comparison.real, "real data", "held out", None),
            *(_card(comparison, e, e.samples) for e in comparison.entries if e.samples is not None),
        ],
        two_sample=two_sample_plot(comparison),
        curves=learning_curves(comparison),
        gaps=[gap for entry in comparison.entries for gap in _gaps(entry)],
        attempts=[a for entry in comparison.entries for a in entry.attempts],
        command=_command(comparison),
        again=partial(_again, comparison.budget),
        nats_distance=NATS_DISTANCE,
        coverage_distance=COVERAGE_DISTANCE,
        loading=_loading_in_python(comparison),
    )


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    budget, versions = comparison.budget, comparison.versions
    limits = [f"{budget[unit]:g} {unit}" for unit in ("seconds", "steps") if budget[unit]]
    rates = ", ".join(f"{factor:g}" for factor in budget["learning_rates"])
    tried = "the first seed" if budget["quick"] else "every seed"
    return [
        ("one example", comparison.space.describe()),
        ("held-out examples compared", f"{comparison.reference.rows:,}"),
        ("training of each run", " or ".join(limits) or "the recipe's own number of steps"),
        ("seeds", str(budget["seeds"])),
        ("learning rates", f"{rates} times the default, the others with {tried}"),
        ("device", f"{budget['ran_on']}, {budget['precision']}, {budget['threads']} threads"),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
    ]


def _card(comparison: Comparison, entry: Entry, samples: Tensor) -> _Card:
    name = entry.rating.recipe
    accuracy = entry.rating.accuracy
    told = "" if accuracy is None else f"told from real data {accuracy.mean:.0%} of the time"
    number = comparison.entries.index(entry)
    return _examples(comparison, samples, name, told, number)


def _examples(comparison: Comparison, x: Tensor, name: str, note: str, number: int | None) -> _Card:
    from ptheta.evaluation.pictures import examples_picture
    from ptheta.evaluation.words import as_text

    text = as_text(x, comparison.space)
    if text:
        return _Card(name, note, None, text)
    alt = f"{'Examples' if number is None else 'Samples'}: {name}"
    picture = examples_picture(x, comparison.space, comparison.real, alt, number)
    return _Card(name, note, picture, ())


def _gaps(entry: Entry) -> list[_Gap]:
    found = [a.evaluation.likelihood for a in entry.attempts if a.evaluation is not None]
    return [
        _Gap(entry.rating.recipe, f.one_particle.value, f.nats.value, f.particles, f.loose_by)
        for f in found[:1]
        if f is not None and f.one_particle is not None and f.nats is not None
    ]


def _command(comparison: Comparison) -> str:
    """What makes the comparison again: the command, or Python where no option says as much."""
    budget, changed = comparison.budget, _changed(comparison.budget)
    unlimited = budget["seconds"] is None and budget["steps"] is None
    if unlimited or not comparison.origin or not changed.keys().isdisjoint(_PYTHON_ALONE):
        given = "".join(f", {name}={value!r}" for name, value in changed.items())
        again = f'ptheta.compare(data, {budget["recipes"]!r}, out="again"{given})'
        return f"{_loading_in_python(comparison)}\n{again}"
    words = ["ptheta", "compare", comparison.origin["source"]]
    words += [*budget["recipes"], *_loading(comparison.origin)]
    for name in ("seeds", "seed", "steps", "samples", "device", "precision"):
        if name in changed:
            words += [f"--{name}", str(changed[name])]
    # with --steps, the command has no default for --seconds
    if budget["seconds"] is not None and ("seconds" in changed or "steps" in changed):
        words += ["--seconds", f"{budget['seconds']:.15g}"]
    return shlex.join([*words, "--quick"] if budget["quick"] else words)


def _changed(budget: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of `compare` that is not its default."""
    usual = {name: p.default for name, p in inspect.signature(compare).parameters.items()}
    usual |= {"settings": {}, "learning_rates": list(usual["learning_rates"])}
    return {k: v for k, v in budget.items() if k in usual and k != "recipes" and v != usual[k]}


def _loading(origin: Mapping[str, Any]) -> list[str]:
    """The options of the command line that load the data as they were loaded."""
    words: list[str] = []
    if origin.get("context"):
        words += ["--context", str(origin["context"])]
    for column, kind in (origin.get("kinds") or {}).items():
        words += ["--kind", f"{column}={kind}"]
    for column in origin.get("drop") or ():
        words += ["--drop", str(column)]
    if origin.get("splits"):
        words += ["--splits", ",".join(repr(share) for share in origin["splits"])]
    if origin.get("seed"):
        words += ["--split-seed", str(origin["seed"])]
    if origin.get("image_size"):
        words += ["--size", str(origin["image_size"])]
    if origin.get("window"):
        words += ["--window", str(origin["window"])]
    if origin.get("rate"):
        words += ["--rate", str(origin["rate"])]
    if origin.get("strict"):
        words.append("--strict")
    if origin.get("stream") is not None:
        words.append("--stream" if origin["stream"] else "--no-stream")
    return words


def _loading_in_python(comparison: Comparison) -> str:
    if not comparison.origin:
        return f"data = ...  # {comparison.data}, which was in memory"
    origin = dict(comparison.origin)
    words = [repr(origin.pop("source"))]
    # to stream has three states: None decides by the memory that is free
    words += [f"{k}={v!r}" for k, v in origin.items() if v or (k == "stream" and v is False)]
    return f"data = ptheta.load_data({', '.join(words)})"


def _again(budget: Mapping[str, Any], attempt: Attempt) -> str:
    """The Python that makes one run again, step for step."""
    settings, changed = dict(attempt.settings), _changed(budget)
    words = ["data", f'"{attempt.recipe}"', *([f"settings={settings!r}"] if settings else [])]
    words += [f"steps={attempt.steps}", f"seed={attempt.seed}"]
    words += [f"{name}={changed[name]!r}" for name in ("device", "precision") if name in changed]
    return f"ptheta.fit({', '.join(words)})"
