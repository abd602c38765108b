import time
from collections.abc import Callable

import pytest
import torch

from ptheta.data.dataset import Split
from ptheta.evaluation.rows import affordable

ROWS = Split(torch.arange(1000)[:, None])


@pytest.mark.parametrize(
    ("cost", "rows"),
    [
        (lambda _, n: 0.01 * n, 1000),
        # a second a row: 1 row, 4 and 16 have been asked about, and 20 fit
        (lambda _, n: 1.0 * n, 20),
        # a minute a row: not even few fit, and few are taken
        (lambda _, n: 60.0 * n, 4),
        # a second a call: among more, a row takes less
        (lambda _, n: 1 + 0.001 * n, 1000),
        # what is made once does not count
        (lambda call, n: 0.01 * n if call else 100.0, 1000),
    ],
)
def test_as_many_rows_are_taken_as_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch, cost: Callable[[int, int], float], rows: int
) -> None:
    asked: list[int] = []
    clock = 0.0

    def ask(split: Split) -> None:
        nonlocal clock
        clock += cost(len(asked), len(split))
        asked.append(len(split))

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    assert len(affordable(ask, ROWS, 20.0, seed=0)) == rows
    # finding out takes no longer than a few times as long
    assert clock - cost(0, 1) <= max(2 * 20.0, cost(1, 4))


def test_few_rows_are_all_taken() -> None:
    asked: list[int] = []
    few = Split(torch.arange(3)[:, None])
    assert affordable(lambda split: asked.append(len(split)), few, 0.0, seed=0) is few
    assert asked == [1]


def test_rows_are_chosen_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    first, again, other = (
        affordable(lambda _: None, ROWS, 1.0, seed=seed).x[:] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
