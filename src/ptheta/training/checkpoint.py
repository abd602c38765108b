"""Checkpoints: everything that has state, once in a while, so that nothing is lost."""

from __future__ import annotations

__all__ = ["Checkpoint", "Interruption"]

import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from ptheta.errors import PthetaError
from ptheta.training.folder import RunFolder
from ptheta.training.history import History
from ptheta.training.loop import Stop
from ptheta.training.types import Metrics

if TYPE_CHECKING:
    from lightning_fabric import Fabric


_AGREE_EVERY = 10


class Stateful(Protocol):
    """Anything with a state that can be taken and put back."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> object: ...


class Checkpoint:
    """Writes the state of a run every so many seconds; when makes no difference to what is learnt.

    Arguments:
        folder: Where to.
        parts: What has state, by name.
        history: The record, whose new rows are written along.
        elapsed: Gives the seconds of training so far.
        seconds: The seconds between checkpoints.
    """

    def __init__(
        self,
        folder: RunFolder,
        parts: Mapping[str, Stateful],
        history: History,
        elapsed: Callable[[], float],
        seconds: float,
    ) -> None:
        self.folder = folder
        self.parts = parts
        self.history = history
        self.elapsed = elapsed
        self.seconds = seconds
        self.last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() - self.last >= self.seconds

    def write(self, step: int) -> None:
        """Writes now."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        state["step"], state["seconds"] = step, self.elapsed()
        self.folder.append_metrics(self.history.new_rows())
        self.folder.write_state(step, state)
        self.last = time.monotonic()

    def restore(self) -> tuple[int, float] | None:
        """Puts the last state back.

        Returns:
            The number of steps and of seconds done, or None where nothing was written.

        Raises:
            PthetaError: The state or the history is damaged. Parts may then be half restored,
                and are not to be used.
        """
        state = self.folder.read_state()
        if state is None:
            # a run cut off in its first checkpoint may have left rows of a history
            self.folder.rewrite_metrics([])
            return None
        rows = self.folder.read_metrics()
        try:
            step, seconds = _progress(state)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            raise PthetaError(
                f"{self.folder.path / 'state.json'} does not hold the state of this run: it was "
                "edited or damaged, or is of another version. Restore it, or fit again into "
                "another folder."
            ) from None
        self.history.resume(rows, step)
        self.folder.rewrite_metrics(self.history.rows)
        return step, seconds


def _progress(state: Mapping[str, Any]) -> tuple[int, float]:
    step, seconds = state["step"], float(state["seconds"])
    if not isinstance(step, int) or step < 0 or not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError("a step or a time that cannot be")
    return step, seconds


class Interruption:
    """Ctrl-C ends the run after the step in hand; a second one ends it at once.

    Arguments:
        fabric: What several processes agree through, so that all end at the same step.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.asked = False
        self.fabric = fabric if fabric.world_size > 1 else None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self.before)

    def __call__(self, step: int, metrics: Metrics) -> Stop | None:
        asked = self.asked
        if self.fabric is not None:
            asked = step % _AGREE_EVERY == 0 and self.fabric.broadcast(self.asked)
        return Stop("interrupted", finished=False) if asked else None

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
