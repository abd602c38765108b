"""Ratings and evaluations as text, for the terminal and the report alike."""

from __future__ import annotations

__all__ = ["COLUMNS", "Cell", "comparison_table", "evaluation_table", "marked", "rating_cells"]

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ptheta.evaluation.estimate import Estimate
from ptheta.evaluation.evaluate import Evaluation
from ptheta.evaluation.rating import Rating, Spread
from ptheta.protocols import DensityKind

if TYPE_CHECKING:
    from rich.table import Table

    from ptheta.evaluation.compare import Comparison

COLUMNS: Mapping[str, str] = {
    "recipe": "",
    "stability": "runs that end near the best",
    "capacity": "1: samples cannot be told",
    "coverage": "of held-out data",
    "modes": "covered",
    "density": "kind",
    "nats": "held out, lower is better",
    "bits/dim": "held out, lower is better",
    "log p error": "mean, in nats",
    "freedom": "what is forbidden",
    "train/s": "examples",
    "sample/s": "samples",
    "score/s": "densities",
}
_NONE = "–"  # noqa: RUF001


class Cell(NamedTuple):
    """A figure, and its spread or note beside it."""

    text: str
    beside: str = ""


def rating_cells(rating: Rating) -> dict[str, Cell]:
    """A row of the rating, by column.

    Arguments:
        rating: The rating.
    """
    if rating.status != "done":
        return {
            **dict.fromkeys(COLUMNS, Cell(_NONE)),
            "recipe": Cell(rating.recipe),
            "stability": _stability(rating),
        }
    return {
        "recipe": Cell(rating.recipe),
        "stability": _stability(rating),
        "capacity": _spread(rating.capacity, 2),
        "coverage": _spread(rating.coverage, 2),
        "modes": _modes(rating),
        "density": Cell(rating.kind),
        "nats": _spread(rating.nats, 2, rating.kind),
        "bits/dim": _spread(rating.bits_per_dimension, 3, rating.kind),
        "log p error": _spread(rating.truth_error, 3),
        "freedom": Cell(", ".join(rating.freedom) or "none"),
        "train/s": _rate(rating.examples_per_second),
        "sample/s": _rate(rating.samples_per_second),
        "score/s": _rate(rating.densities_per_second),
    }


def marked(text: str, kind: DensityKind) -> str:
    """A figure of -log p with the mark of its kind: a bound is at most, an estimate about.

    Arguments:
        text: The figure.
        kind: What the density is worth.

    Example:
        >>> marked("98.2", "bound")
        '≤ 98.2'
    """
    return {"bound": f"≤ {text}", "estimate": f"≈ {text}"}.get(kind, text)


def comparison_table(comparison: Comparison) -> Table:
    """The rating of every recipe, for the terminal.

    Arguments:
        comparison: The comparison.
    """
    from rich.table import Table

    rows = [rating_cells(entry.rating) for entry in comparison.entries]
    columns = [name for name in COLUMNS if any(row[name].text != _NONE for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        left = name in ("recipe", "density", "freedom")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(row[name].text for name in columns))
    return table


def evaluation_table(evaluation: Evaluation) -> Table:
    """What is measured of one model, for the terminal: figure, interval, and the noise floor.

    Arguments:
        evaluation: The evaluation.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("figure", "value", "95% interval", "of the data itself"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for row in (*_likelihood_rows(evaluation), *_quality_rows(evaluation)):
        table.add_row(*row)
    return table


def _likelihood_rows(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    found = evaluation.likelihood
    if found is None:
        return [("held-out nats", "none: the model has no density", "", "")]
    rows: list[tuple[str, str, str, str]] = []
    if found.nats is None or found.bits_per_dimension is None:
        rows.append(("held-out nats", f"none: the density is {found.kind}", "", ""))
    else:
        value = marked(f"{found.nats.value:.3f}", found.kind)
        rows.append((f"held-out nats ({found.kind})", value, _interval(found.nats, 3), ""))
        bits = found.bits_per_dimension
        value = marked(f"{bits.value:.4f}", found.kind)
        rows.append(("bits per dimension", value, _interval(bits, 4), ""))
    if found.one_particle is not None:
        value = marked(f"{found.one_particle.value:.3f}", found.kind)
        rows.append(("  with one particle", value, _interval(found.one_particle, 3), ""))
    if found.annealed is not None and found.nats_backwards is not None:
        back = found.nats_backwards
        rows.append(("  error of the constant", f"{found.annealed.low_error:.3f}", "", ""))
        value = marked(f"{back.value:.3f}", found.kind)
        rows.append(("  by annealing backwards", value, _interval(back, 3), ""))
    rows.append(("  rows", f"{found.rows:,}", "", ""))
    if found.impossible.value > 0:
        rows.append(("impossible rows", *_share(found.impossible), ""))
    if found.truth_error is not None:
        error = found.truth_error
        rows.append(("error of log p", f"{error.value:.3f}", _interval(error, 3), ""))
    return rows


def _quality_rows(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    q, r = evaluation.quality, evaluation.reference
    rows = [
        ("two-sample accuracy", *_share(q.accuracy), f"{r.accuracy.value:.3f}"),
        ("  p of guessing", _p(q.accuracy_p), "", _p(r.accuracy_p)),
        ("squared MMD", f"{q.mmd:.5f}", "", f"{r.mmd:.5f}"),
        ("  p by permutation", _p(q.mmd_p), "", _p(r.mmd_p)),
        ("precision", *_share(q.precision), f"{r.precision.value:.3f}"),
        ("recall", *_share(q.recall), f"{r.recall.value:.3f}"),
        ("density", *_share(q.density), f"{r.density.value:.3f}"),
        ("coverage", *_share(q.coverage), f"{r.coverage.value:.3f}"),
    ]
    if q.modes is not None:
        covered = q.modes.covered
        value = f"{covered.value:.0f} of {q.modes.of}"
        rows.append(("modes covered", value, _interval(covered, 0), ""))
        rows.append(("samples near a mode", *_share(q.modes.near), ""))
    if q.outside.value > 0:
        rows.append(("samples outside", *_share(q.outside), ""))
    return rows


def _stability(rating: Rating) -> Cell:
    found = rating.stability
    if found is None:
        return Cell(rating.status)
    if rating.status != "done":
        return Cell(rating.status, f"{found.finite} of {found.runs} runs finite")
    beside = "" if found.finite == found.runs else f"{found.runs - found.finite} diverged"
    return Cell(f"{found.stable} of {found.runs}", beside)


def _modes(rating: Rating) -> Cell:
    cell = _spread(rating.modes, 0)
    if rating.modes is None or rating.modes_known == 0:
        return cell
    digits = 0 if rating.modes.mean == int(rating.modes.mean) else 1
    return Cell(f"{rating.modes.mean:.{digits}f} of {rating.modes_known}", cell.beside)


def _spread(found: Spread | None, digits: int, kind: DensityKind = "exact") -> Cell:
    if found is None:
        return Cell(_NONE)
    text = marked(_number(found.mean, digits), kind)
    if found.runs == 1:
        return Cell(text)
    low, high = _number(found.low, digits), _number(found.high, digits)
    return Cell(text, "" if low == high else f"{low} … {high}")


def _rate(found: Spread | None) -> Cell:
    if found is None:
        return Cell(_NONE)
    digits = max(0, int(math.log10(max(found.mean, 1))) - 1)
    return Cell(f"{round(found.mean, -digits):,.0f}")


def _number(value: float, digits: int) -> str:
    return "infinite" if math.isinf(value) else f"{value:.{digits}f}"


def _interval(found: Estimate, digits: int) -> str:
    return f"{_number(found.low, digits)} … {_number(found.high, digits)}"


def _share(found: Estimate) -> tuple[str, str]:
    return f"{found.value:.3f}", _interval(found, 3)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
