"""The record of a run: mean losses and held-out figures by step."""

__all__ = ["History"]

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ptheta.training.types import Metrics


class History:
    """A row every so many steps and at every held-out figure, with means since the last row.

    Arguments:
        every: The number of steps between rows.
        elapsed: Gives the seconds of training so far.
        figure: Gives the held-out figure of a step; not a number where none was measured.
        examples: The number of examples in a step.
    """

    def __init__(
        self,
        every: int,
        elapsed: Callable[[], float],
        figure: Callable[[int], float],
        examples: int,
    ) -> None:
        self.every = every
        self.elapsed = elapsed
        self.figure = figure
        self.examples = examples
        self.rows: list[dict[str, float]] = []
        # metrics since the last row; adding them up at each step would cost a small network more
        self.pending: list[Metrics] = []
        self.written = 0

    def __call__(self, step: int, metrics: Metrics) -> None:
        if self.pending and metrics.keys() != self.pending[0].keys():
            # a new phase of training has terms of its own
            self.row(step - 1)
        self.pending.append(metrics)
        if step % self.every == 0 or math.isfinite(self.figure(step)):
            self.row(step)

    def row(self, step: int) -> None:
        """Adds a row now."""
        if not self.pending:
            return
        row: dict[str, float] = {"step": step, "seconds": round(self.elapsed(), 3)}
        row |= {name: values.mean().item() for name, values in self._stacked().items()}
        figure = self.figure(step)
        if math.isfinite(figure):
            row["validation"] = figure
        row["examples"] = float(step * self.examples)
        self.rows.append(row)
        self.pending = []

    def new_rows(self) -> list[dict[str, float]]:
        """The rows since this was last asked."""
        new, self.written = self.rows[self.written :], len(self.rows)
        return new

    def state_dict(self) -> dict[str, Any]:
        """The metrics since the last row."""
        return {"pending": self._stacked()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state; the rows themselves are given by `resume`."""
        names, columns = state["pending"].keys(), state["pending"].values()
        self.pending = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def _stacked(self) -> dict[str, Tensor]:
        names = self.pending[0] if self.pending else ()
        return {
            name: torch.stack([metrics[name].float() for metrics in self.pending]) for name in names
        }

    def resume(self, rows: list[dict[str, float]], step: int) -> None:
        """Takes over the rows of a run that was cut off, up to a step."""
        self.rows = [row for row in rows if row.get("step", math.inf) <= step]
        self.written = len(self.rows)


class RandomState:
    """The state of torch's global generators, as a part of a checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """The state of the processor's generator and of each GPU's."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state; a GPU that is not here is left out."""
        torch.set_rng_state(state["cpu"].cpu())
        if torch.cuda.is_available() and state["cuda"]:
            here = state["cuda"][: torch.cuda.device_count()]
            torch.cuda.set_rng_state_all([s.cpu() for s in here])
