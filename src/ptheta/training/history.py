"""The record of a run: mean losses and held-out figures by step."""

__all__ = ["History"]

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ptheta.training.types import Metrics


class History:
    """A row every so many steps, with the mean of each metric since the last row.

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
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.written = 0

    def __call__(self, step: int, metrics: Metrics) -> None:
        self.steps += 1
        for name, value in metrics.items():
            value = value.float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        if step % self.every == 0:
            self.row(step)

    def row(self, step: int) -> None:
        """Adds a row now."""
        if self.steps == 0:
            return
        row: dict[str, float] = {"step": step, "seconds": round(self.elapsed(), 3)}
        row |= {name: (total / self.steps).item() for name, total in self.sums.items()}
        figure = self.figure(step)
        if math.isfinite(figure):
            row["validation"] = figure
        row["examples"] = float(step * self.examples)
        self.rows.append(row)
        self.sums, self.steps = {}, 0

    def new_rows(self) -> list[dict[str, float]]:
        """The rows since this was last asked."""
        new, self.written = self.rows[self.written :], len(self.rows)
        return new

    def state_dict(self) -> dict[str, Any]:
        """What has been summed since the last row."""
        return {"sums": dict(self.sums), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state; the rows themselves are given by `resume`."""
        self.sums, self.steps = dict(state["sums"]), int(state["steps"])

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
