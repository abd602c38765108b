"""The figure that training is watched by: a likelihood, of rows or classes, or else draws."""

__all__ = [
    "ClassFigure",
    "DrawsFigure",
    "LikelihoodFigure",
    "StandInFigure",
    "figure_name",
    "has_likelihood",
    "heldout_figure",
]

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ptheta.asking import batches, rows_at_once
from ptheta.data.dataset import Split
from ptheta.density import densities, device_of, draw, evaluating
from ptheta.errors import PthetaError
from ptheta.protocols import (
    Capability,
    SupportsClassify,
    SupportsLogProbEstimate,
    SupportsSample,
    density_verb,
)
from ptheta.random import seeded
from ptheta.ratios.mmd import median_bandwidths, mmd
from ptheta.spaces import Discrete, Space, groups
from ptheta.training.validation import Figure

# a look is forward passes over this many rows, or a test on this many draws
_ROWS = 5000
_DRAWS = 256
_IMPOSSIBLE = -1e6


def heldout_figure(model: nn.Module, split: Split, space: Space) -> Figure:
    """The figure that suits a model: its likelihood where it has one, else its draws.

    A model of classes alone has neither, and is watched by the likelihood of these.

    Arguments:
        model: The model.
        split: The held-out examples.
        space: Their space.

    Raises:
        PthetaError: There are too few held-out examples.
    """
    if has_likelihood(model):
        return LikelihoodFigure(model, split, space)
    if _of_classes_alone(model):
        return ClassFigure(split)
    return DrawsFigure(split, space)


def figure_name(model: nn.Module) -> str:
    """The name of the figure that suits a model.

    Arguments:
        model: The model.
    """
    if has_likelihood(model):
        return str(_quickest(model))
    return ClassFigure.name if _of_classes_alone(model) else DrawsFigure.name


def has_likelihood(model: nn.Module) -> bool:
    """Whether a model has a normalised density: exact, a bound or an estimate."""
    return density_verb(model) in ("log_prob", "elbo", "log_prob_estimate")


class LikelihoodFigure:
    """The mean of the best density that a model offers, in nats; of an estimate where there is one.

    A model offers an estimate beside a density that is dear. All looks see the same rows and the
    same noise, so every difference counts.

    Arguments:
        model: The model, for the name of its density.
        split: The held-out examples.
        space: Their space.
    """

    slack = 0.0

    def __init__(self, model: nn.Module, split: Split, space: Space) -> None:
        self.verb: Capability | None = _quickest(model)
        self.name = str(self.verb)
        self.split = _head(split, _ROWS)
        self.space = space

    def __call__(self, model: nn.Module) -> float:
        found = densities(model, self.split.x, self.split.context, space=self.space, verb=self.verb)
        # one impossible row should not hide all others from early stopping
        return found.values.clamp(min=_IMPOSSIBLE).mean().item()


class ClassFigure:
    """The mean of log p(class | x), in nats.

    Arguments:
        split: The held-out examples, with their classes as context.
    """

    name = "class_log_prob"
    slack = 0.0

    def __init__(self, split: Split) -> None:
        self.split = _head(split, _ROWS)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> float:
        assert isinstance(model, SupportsClassify)
        assert self.split.context is not None
        x, classes = self.split.x[:], self.split.context.long()[:, None]
        device = device_of(model)
        with evaluating(model):
            found = [
                model.class_log_prob(x[batch].to(device)).gather(1, classes[batch].to(device))
                for batch in batches(len(x), rows_at_once(x[:1].numel()))
            ]
        return torch.cat(found).clamp(min=_IMPOSSIBLE).mean().item()


class DrawsFigure:
    """Minus the squared maximum mean discrepancy between draws and held-out examples.

    With a few hundred draws it is noisy: its noise is measured on the examples themselves, dealt
    into two heaps again and again, and a smaller difference counts as none.

    Arguments:
        split: The held-out examples.
        space: Their space.
    """

    name = "-mmd"

    def __init__(self, split: Split, space: Space) -> None:
        self.split = _head(split, _DRAWS)
        if len(self.split) < 4:
            raise PthetaError(
                "early stopping compares draws with held-out rows, and there are fewer than four: "
                "give more rows, or a larger share of them for validation."
            )
        self.scale = self._scale(space)
        self.real = self.split.x[:].double().flatten(1) / self.scale
        # the kernels are the data's, so that all looks use the same
        self.widths = median_bandwidths(self.real, self.real)
        self.slack = 2 * self._noise()

    def __call__(self, model: nn.Module) -> float:
        drawn = draw(model, len(self.real), self.split.context).double().flatten(1)
        if not drawn.isfinite().all():
            return -math.inf
        return -self._mmd(drawn / self.scale, self.real)

    def _mmd(self, x: Tensor, y: Tensor) -> float:
        return mmd(x, y, bandwidths=self.widths).item()

    def _scale(self, space: Space) -> Tensor:
        x = self.split.x[:].double().flatten(1)
        # levels that hardly vary would else decide alone
        floor = torch.full((x.shape[1],), 1e-12, dtype=torch.float64)
        for group in groups(space):
            if isinstance(group.space, Discrete):
                floor[list(group.positions)] = 0.3
        return torch.maximum(x.std(dim=0), floor)

    def _noise(self) -> float:
        """The figure's deviation: half of what it is between heaps of half the rows."""
        half, found = len(self.real) // 2, list[float]()
        with seeded(0):
            for _ in range(20):
                order = torch.randperm(len(self.real))
                found.append(self._mmd(self.real[order[:half]], self.real[order[half:]]))
        return 0.5 * torch.tensor(found).std().item()


@dataclass(frozen=True)
class StandInFigure:
    """The figure of a model that stands in for one whose own is dear.

    Where no row is possible, the weights have run away, and the figure is not finite.

    Arguments:
        stand_in: Makes the one of the other.
        figure: The figure of what stands in.
        slack: How much of a difference is noise: what stands in may stand still where the model
            itself still gets better, and then the newest weights are to be kept.
    """

    stand_in: Callable[[nn.Module], nn.Module]
    figure: Figure
    slack: float = 0.0

    @property
    def name(self) -> str:
        """What the figure is."""
        return self.figure.name

    def __call__(self, model: nn.Module) -> float:
        found = self.figure(self.stand_in(model))
        return found if found > _IMPOSSIBLE else -math.inf


def _quickest(model: nn.Module) -> Capability | None:
    return (
        "log_prob_estimate" if isinstance(model, SupportsLogProbEstimate) else density_verb(model)
    )


def _of_classes_alone(model: nn.Module) -> bool:
    return isinstance(model, SupportsClassify) and not isinstance(model, SupportsSample)


def _head(split: Split, rows: int) -> Split:
    return Split(split.x[:rows], None if split.context is None else split.context[:rows])
