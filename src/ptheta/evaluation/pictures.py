"""The pictures of a report, each drawn for a light and for a dark page."""

from __future__ import annotations

__all__ = ["Picture", "examples_picture", "learning_curves", "two_sample_plot"]

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.evaluation.bench import Entry
from ptheta.evaluation.compare import Comparison
from ptheta.evaluation.estimate import Estimate
from ptheta.evaluation.features import MetricFeatures
from ptheta.spaces import Space, rate_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which most eyes can tell apart, on light and dark
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#808080")
_POINTS = 1000
_IMAGES = 48


class Picture(NamedTuple):
    """A picture as data URIs, for a light and for a dark page, what it shows, and how wide."""

    light: str
    dark: str
    alt: str
    inches: float


class _Theme(NamedTuple):
    ink: str
    faint: str


_SIZES: dict[Any, Any] = {"font.size": 8, "axes.titlesize": 9}
_INKED = ("axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color", "text.color")
_LIGHT, _DARK = _Theme("#22262b", "#c4c9cf"), _Theme("#dfe3e8", "#4a5058")


def examples_picture(
    x: Tensor, space: Space, real: Tensor, alt: str, colour: int | None = None
) -> Picture:
    """Examples: a grid of images or of spectrograms, or points in the plane.

    What has more than two values is shown by its first two principal components, which are those
    of the real examples.

    Arguments:
        x: The examples, with shape (n, *space.shape).
        space: Their space.
        real: The real examples, which fix the extent.
        alt: What it shows, in words.
        colour: The number of the recipe, None for real examples.
    """
    if space.layout == "image" or rate_of(space) is not None:
        return _grid(x, space, alt)
    (points, ground), names = _planar(x, space, real)

    def draw(figure: Figure, theme: _Theme) -> None:
        axes = figure.subplots()
        if colour is not None:
            axes.scatter(*ground.T, s=3, color=theme.faint, linewidths=0)
        shade = theme.ink if colour is None else _colour(colour)
        axes.scatter(*points.T, s=3, color=shade, linewidths=0, alpha=0.8)
        _frame(axes, ground, theme)
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])

    return _draw(draw, (2.9, 2.9), alt)


def learning_curves(comparison: Comparison) -> Picture | None:
    """Held-out figures over seconds of training, a line for each seed at the default rate.

    Arguments:
        comparison: The comparison.

    Returns:
        The picture, or None where no run has a record.
    """
    curves = list(_curves(comparison))
    if not curves:
        return None
    panels = [
        what for what in (_LIKELIHOOD, *_OTHERS.values()) if any(c.what == what for c in curves)
    ]

    def draw(figure: Figure, theme: _Theme) -> None:
        for axes, what in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            shown = [curve for curve in curves if curve.what == what]
            for curve in shown:
                _curve(axes, curve)
            _limits(axes, shown, likelihood=what == _LIKELIHOOD)
            axes.set_xlabel("seconds of training")
            axes.set_title(f"{what} (lower is better)", loc="left")
            axes.legend(frameon=False)
            _plain(axes, theme)

    alt = "Held-out figures over seconds of training, for each recipe and seed"
    return _draw(draw, (5.2 * len(panels), 3.2), alt)


def two_sample_plot(comparison: Comparison) -> Picture | None:
    """The classifier's accuracy and the coverage of each recipe's samples, with intervals.

    Arguments:
        comparison: The comparison.

    Returns:
        The picture, or None where no run was measured.
    """
    measured = [entry for entry in comparison.entries if _qualities(entry)]
    if not measured:
        return None
    names = [entry.rating.recipe for entry in measured]

    def draw(figure: Figure, theme: _Theme) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, figure_name in ((left, "accuracy"), (right, "coverage")):
            floor: Estimate = getattr(comparison.reference, figure_name)
            axes.axvspan(floor.low, floor.high, color=theme.faint, alpha=0.5, linewidth=0)
            for row, entry in enumerate(measured):
                colour = _colour(comparison.entries.index(entry))
                found = [getattr(q, figure_name) for q in _qualities(entry)]
                _dots(axes, row, found, colour)
            _plain(axes, theme)
        left.axvline(0.5, color=theme.ink, linewidth=1, linestyle=":")
        left.set_yticks(range(len(names)), names)
        left.set_ylim(len(names) - 0.5, -0.5)
        left.set_xlim(right=1.02)
        right.set_xlim(-0.02, 1.02)
        left.set_title("two-sample accuracy (0.5 is chance)", loc="left")
        right.set_title("coverage (higher is better)", loc="left")

    alt = "Two-sample accuracy and coverage of each recipe, with intervals; the band is real data"
    return _draw(draw, (10.4, 1.0 + 0.34 * len(names)), alt)


_LIKELIHOOD = "-log p or its bound, in nats"
# figures that are none, by their names
_OTHERS = {"-mmd": "squared MMD", "class_log_prob": "-log p of the class, in nats"}


class _Curve(NamedTuple):
    name: str
    colour: str
    what: str
    seconds: list[float]
    values: list[float]
    first: bool


def _curves(comparison: Comparison) -> Iterator[_Curve]:
    for number, entry in enumerate(comparison.entries):
        first = True
        for attempt in entry.attempts:
            rows = [row for row in attempt.history if "validation" in row]
            if attempt.factor != 1 or not rows:
                continue
            yield _Curve(
                entry.rating.recipe,
                _colour(number),
                _OTHERS.get(attempt.watched, _LIKELIHOOD),
                [row["seconds"] for row in rows],
                [-row["validation"] for row in rows],
                first,
            )
            first = False


def _curve(axes: Axes, curve: _Curve) -> None:
    label = curve.name if curve.first else "_"
    if len(curve.values) == 1:
        axes.axhline(curve.values[0], color=curve.colour, linestyle="--", linewidth=1, label=label)
        return
    axes.plot(curve.seconds, curve.values, color=curve.colour, linewidth=1.2, label=label)


def _limits(axes: Axes, curves: Sequence[_Curve], *, likelihood: bool) -> None:
    """Leaves the steep start out of the picture."""
    lowest = min(min(curve.values) for curve in curves)
    last = max(min(curve.values) for curve in curves)
    room = max(last - lowest, 0.02 * abs(lowest), 1e-3)
    axes.set_ylim(lowest - 0.15 * room, last + (0.8 if likelihood else 1.5) * room)


def _dots(axes: Axes, row: int, found: Sequence[Estimate], colour: str) -> None:
    offsets = np.linspace(-0.2, 0.2, len(found)) if len(found) > 1 else [0.0]
    for offset, estimate in zip(offsets, found, strict=True):
        axes.plot([estimate.low, estimate.high], [row + offset] * 2, color=colour, linewidth=1.4)
        axes.plot(estimate.value, row + offset, "o", color=colour, markersize=4)


def _qualities(entry: Entry) -> list[Any]:
    return [a.evaluation.quality for a in entry.attempts if a.evaluation is not None]


def _planar(
    x: Tensor, space: Space, real: Tensor
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[str, str]]:
    if space.shape == (2,) and space.continuous:
        pair = x[:_POINTS].double().numpy(), real[:_POINTS].double().numpy()
        return pair, ("x0", "x1")
    features = MetricFeatures(space, real)
    base = features(real)
    axes = torch.linalg.svd(base - base.mean(dim=0), full_matrices=False).Vh[:2]
    points, ground = (((part[:_POINTS]) @ axes.T).numpy() for part in (features(x), base))
    if axes.shape[0] == 1:
        points, ground = (np.pad(part, ((0, 0), (0, 1))) for part in (points, ground))
    return (points, ground), ("first principal component", "second")


def _frame(axes: Axes, ground: NDArray[Any], theme: _Theme) -> None:
    low, high = np.quantile(ground, 0.005, axis=0), np.quantile(ground, 0.995, axis=0)
    room = np.maximum((high - low) * 0.15, 1e-6)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])
    _plain(axes, theme)


def _plain(axes: Axes, theme: _Theme) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _grid(x: Tensor, space: Space, alt: str) -> Picture:
    from ptheta.data.images import image_grid
    from ptheta.data.spectrograms import sound_grid

    buffer, shown = io.BytesIO(), x[:_IMAGES]
    sound = rate_of(space) is not None
    grid = sound_grid(shown) if sound else image_grid(shown, space, columns=8)
    grid.save(buffer, "PNG")
    uri = _uri(buffer)
    return Picture(uri, uri, alt, 2.9)


def _draw(draw: Callable[[Figure, _Theme], None], size: tuple[float, float], alt: str) -> Picture:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    pictures: list[str] = []
    for theme in (_LIGHT, _DARK):
        with rc_context({**_SIZES, **dict.fromkeys(_INKED, theme.ink)}):
            figure = Figure(size, layout="constrained", facecolor="none")
            draw(figure, theme)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=160, transparent=True, metadata={})
        pictures.append(_uri(buffer))
    light, dark = pictures
    return Picture(light, dark, alt, size[0])


def _uri(buffer: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
