"""The report of a comparison: one page that needs nothing but itself."""

from __future__ import annotations

__all__ = ["comparison_table", "evaluation_table", "write_report"]

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ptheta.evaluation.bench import Entry
from ptheta.evaluation.compare import BASELINE, Comparison
from ptheta.evaluation.rating import COVERAGE_DISTANCE, NATS_DISTANCE, Attempt
from ptheta.evaluation.table import COLUMNS, comparison_table, evaluation_table, rating_cells

if TYPE_CHECKING:
    from torch import Tensor

    from ptheta.evaluation.pictures import Picture


def write_report(comparison: Comparison, path: str | Path) -> Path:
    """Writes the report of a comparison: HTML with its style and pictures inside.

    It is written whole or not at all.

    Arguments:
        comparison: The comparison.
        path: The file to write.

    Returns:
        The path.
    """
    path = Path(path)
    page = _page(comparison)
    path.parent.mkdir(parents=True, exist_ok=True)
    partly = path.with_name(path.name + ".partly")
    partly.write_text(page, encoding="utf-8")
    os.replace(partly, path)
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
        again=_again,
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
    """The command that makes the comparison again."""
    budget = comparison.budget
    words = ["ptheta", "compare", str(comparison.origin.get("source", comparison.data))]
    words += [*budget["recipes"], *_loading(comparison.origin)]
    words += ["--seeds", str(budget["seeds"]), "--seed", str(budget["seed"])]
    for unit in ("seconds", "steps"):
        if budget[unit] is not None:
            words += [f"--{unit}", f"{budget[unit]:g}"]
    if budget["quick"]:
        words.append("--quick")
    return shlex.join([*words, "--device", budget["device"], "-o", "report.html"])


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
        words += ["--splits", ",".join(f"{share:g}" for share in origin["splits"])]
    if origin.get("image_size"):
        words += ["--size", str(origin["image_size"])]
    return [*words, "--strict"] if origin.get("strict") else words


def _loading_in_python(comparison: Comparison) -> str:
    given = {k: v for k, v in comparison.origin.items() if v or k == "seed"}
    source = given.pop("source", comparison.data)
    words = [repr(source), *(f"{name}={value!r}" for name, value in given.items())]
    return f"data = ptheta.load_data({', '.join(words)})"


def _again(attempt: Attempt) -> str:
    """The Python that makes one run again, step for step."""
    settings = dict(attempt.settings)
    given = f", settings={settings!r}" if settings else ""
    return (
        f'ptheta.fit(data, "{attempt.recipe}"{given}, steps={attempt.steps}, seed={attempt.seed})'
    )
