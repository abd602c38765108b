"""The comparison and its report: every recipe has a row, whatever becomes of it."""

import dataclasses
import html
import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluation_fakes import levels, plane
from torch import nn

from ptheta.cli.compare import compare as compare_command
from ptheta.data.dataset import Data
from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.evaluation.bench import Event
from ptheta.evaluation.compare import Comparison, compare
from ptheta.evaluation.rating import Attempt, Spread, rate
from ptheta.evaluation.report import write_report
from ptheta.evaluation.table import COLUMNS, comparison_table, rating_cells
from ptheta.objectives.types import Batch, Loss
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.registry import RECIPES
from ptheta.recipes.settings import PositiveFloat
from ptheta.spaces import Space
from ptheta.training.gradient import GradientLearner


class Broken(nn.Module):
    """A sampler whose loss is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def sample(self, n: int, context: torch.Tensor | None = None) -> torch.Tensor:
        return torch.randn(n, 2) + self.weight.detach()


class Explodes:
    """A loss without a value."""

    def loss(self, model: Broken, batch: Batch) -> Loss:
        return Loss(model.weight * math.nan)


def broken(space: Space, *, learning_rate: PositiveFloat = 1e-3) -> Algorithm:
    """A family that diverges."""
    model = Broken()
    return Algorithm(model, GradientLearner(model, Explodes(), learning_rate=learning_rate))


def refusing(space: Space) -> Algorithm:
    """A family that serves nothing."""
    raise PthetaError("it serves <nothing>.")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, list[Event]]:
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "broken", f"{__name__}:broken")
        patch.setitem(RECIPES, "refusing", f"{__name__}:refusing")
        found = compare(
            plane(100),
            ["realnvp", "broken", "refusing"],
            out=tmp_path_factory.mktemp("runs"),
            seeds=2,
            seconds=None,
            steps=15,
            device="cpu",
            progress=events.append,
        )
    return found, events


def test_every_recipe_and_the_baseline_have_a_row(
    comparison: tuple[Comparison, list[Event]],
) -> None:
    status = {e.rating.recipe: e.rating.status for e in comparison[0].entries}
    assert status == {
        "realnvp": "done", "independent": "done", "broken": "diverged", "refusing": "refused",
    }  # fmt: skip


def test_runs_are_seeds_by_learning_rates(comparison: tuple[Comparison, list[Event]]) -> None:
    runs = {
        e.rating.recipe: [(a.seed, a.factor) for a in e.attempts] for e in comparison[0].entries
    }
    assert runs["realnvp"] == [(0, 1), (1, 1), (0, 0.25), (1, 0.25), (0, 4), (1, 4)]
    # no learning rate to vary
    assert runs["independent"] == [(0, 1), (1, 1)]
    # what is refused once is not tried again
    assert runs["refusing"] == [(0, 1)]
    assert len(runs["broken"]) == 6
    entry = next(e for e in comparison[0].entries if e.rating.recipe == "realnvp")
    rates = {a.factor: dict(a.settings).get("learning_rate") for a in entry.attempts}
    assert rates == {1: None, 0.25: pytest.approx(2.5e-4), 4: pytest.approx(4e-3)}


def test_what_diverges_is_unstable_and_says_why(
    comparison: tuple[Comparison, list[Event]],
) -> None:
    rating = next(e.rating for e in comparison[0].entries if e.rating.recipe == "broken")
    assert rating.stability is not None
    assert (rating.stability.stable, rating.stability.finite, rating.stability.runs) == (0, 0, 6)
    assert "not finite" in rating.message
    assert rating.capacity is None


def test_every_run_is_kept(comparison: tuple[Comparison, list[Event]]) -> None:
    for entry in comparison[0].entries:
        for attempt in entry.attempts:
            if attempt.status == "done":
                assert (Path(attempt.folder) / "run.json").is_file()
    folder = Path(comparison[0].entries[0].attempts[0].folder).parent
    saved = json.loads((folder / "comparison.json").read_text())
    assert {r["recipe"] for r in saved["ratings"]} >= {"realnvp", "independent"}
    assert len(saved["runs"]) == 6 + 6 + 2 + 1


def test_progress_tells_of_every_run(comparison: tuple[Comparison, list[Event]]) -> None:
    events = comparison[1]
    assert [e.kind for e in events].count("run") == 15
    assert {e.total for e in events} == {16}
    assert [e.index for e in events] == sorted(e.index for e in events)
    assert {e.recipe for e in events if e.kind == "refused"} == {"refusing"}


def test_the_report_needs_nothing_but_itself(
    comparison: tuple[Comparison, list[Event]], tmp_path: Path
) -> None:
    page = write_report(comparison[0], tmp_path / "report.html").read_text(encoding="utf-8")
    for entry in comparison[0].entries:
        assert f'<td class="word ">{entry.rating.recipe}' in page
    for name in ("script", "link", "iframe", "object"):
        assert f"<{name}" not in page
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", page)
    assert page.count("data:image/png;base64,") >= 2 * (1 + 2 + 2)
    # what a recipe says is text, not markup
    assert "it serves &lt;nothing&gt;." in page
    assert "<nothing>" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_report_says_how_to_repeat_it(
    comparison: tuple[Comparison, list[Event]], tmp_path: Path
) -> None:
    known = dataclasses.replace(comparison[0], origin=load_data("moons").origin)
    page = html.unescape(write_report(known, tmp_path / "r.html").read_text("utf-8"))
    command = "ptheta compare moons realnvp broken refusing --seeds 2 --steps 15 --device cpu"
    assert f'<pre class="command">{command}</pre>' in page
    assert "<pre class=\"command\">data = ptheta.load_data('moons')</pre>" in page
    assert (
        "ptheta.fit(data, \"realnvp\", settings={'learning_rate': 0.004}, steps=15, seed=1, "
        "device='cpu')</code>"
    ) in page


def commands(page: Path) -> list[str]:
    """What a report says to run: the command, and how the data are loaded."""
    return re.findall(
        r'(?s)<pre class="command">(.*?)</pre>', html.unescape(page.read_text("utf-8"))
    )


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--split-seed 3 --seed 7 --samples 50 --precision bf16-mixed --quick --device cpu",
        "--steps 2000000 --seconds 20",
        "--steps 5 --splits 0.8,0.1,0.1",
        "--minutes 2.5 --context label --no-stream",
        "--kind 'a b=real' --kind b=categorical --drop c --drop -d --stream --strict --size 9",
        "--steps 5 --window 32",
        "--splits 0.3333333333333333,0.3333333333333333,0.3333333333333334 --seeds 1",
    ],
)
def test_the_command_of_a_report_asks_for_the_same_comparison(
    comparison: tuple[Comparison, list[Event]],
    tmp_path: Path,
    options: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def loads(source: str, **given: Any) -> Data:
        origin = {"source": source, **given, "drop": list(given["drop"])}
        origin["splits"] = None if given["splits"] is None else list(given["splits"])
        return dataclasses.replace(plane(), origin=origin)

    def compares(data: Data, recipes: list[str], **given: Any) -> Comparison:
        for name in ("out", "progress", "on_progress"):
            del given[name]
        asked.append((data.origin, list(recipes), given))
        budget = {**comparison[0].budget, "learning_rates": [0.25, 1.0, 4.0], "settings": {}}
        budget |= {**given, "recipes": list(recipes)}
        return dataclasses.replace(comparison[0], origin=data.origin, budget=budget)

    monkeypatch.setattr("ptheta.data.load.load_data", loads)
    monkeypatch.setattr("ptheta.evaluation.compare.compare", compares)
    monkeypatch.setattr("ptheta.evaluation.report.write_report", write_report)
    out = tmp_path / "r.html"
    for words in (["moons", "gmm", *shlex.split(options)], None):
        again = commands(out)[0] if words is None else ""
        cli(words or shlex.split(again)[2:], out)
    assert asked[0] == asked[1]


def cli(words: list[str], out: Path) -> None:
    compare_command.main([*words, "--quiet", "--json", "-o", str(out)], standalone_mode=False)


def test_what_no_option_says_is_repeated_in_python(
    comparison: tuple[Comparison, list[Event]], tmp_path: Path
) -> None:
    found = comparison[0]
    command, loading = commands_of(found, tmp_path)
    assert loading == "data = ...  # plane, which was in memory"
    recipes = ["realnvp", "broken", "refusing"]
    assert command == (
        f'{loading}\nptheta.compare(data, {recipes}, out="again", seeds=2, seconds=None, '
        "steps=15, device='cpu')"
    )
    budget = {**found.budget, "learning_rates": [0.5, 1.0], "settings": {"gmm": {"components": 3}}}
    origin = load_data("moons", seed=4, stream=False).origin
    found = dataclasses.replace(found, origin=origin, budget={**budget, "precision": "bf16-mixed"})
    command, loading = commands_of(found, tmp_path)
    assert loading == "data = ptheta.load_data('moons', stream=False, seed=4)"
    assert command.startswith(f"{loading}\nptheta.compare(")
    assert "settings={'gmm': {'components': 3}}" in command
    assert "learning_rates=[0.5, 1.0]" in command
    page = html.unescape((tmp_path / "r.html").read_text("utf-8"))
    assert "seed=1, device='cpu', precision='bf16-mixed')</code>" in page


def commands_of(comparison: Comparison, folder: Path) -> list[str]:
    return commands(write_report(comparison, folder / "r.html"))


def test_bounds_are_marked_and_their_cost_is_shown(tmp_path: Path) -> None:
    found = compare(
        levels(60), ["realnvp"], out=tmp_path / "runs", seeds=1, seconds=None, steps=5,
        learning_rates=(1.0,), device="cpu",
    )  # fmt: skip
    cells = {e.rating.recipe: rating_cells(e.rating) for e in found.entries}
    assert cells["realnvp"]["density"].text == "bound"
    assert cells["realnvp"]["nats"].text.startswith("≤ ")
    assert not cells["independent"]["nats"].text.startswith("≤")
    page = write_report(found, tmp_path / "r.html").read_text("utf-8")
    assert "What the bounds cost" in page
    assert '<td class="word">dequantisation</td>' in page


def test_the_terminal_has_a_row_for_each(comparison: tuple[Comparison, list[Event]]) -> None:
    table = comparison_table(comparison[0])
    assert table.row_count == len(comparison[0].entries)
    assert [c.header for c in table.columns] == [c for c in COLUMNS if c != "modes"]


def test_a_folder_in_use_and_unknown_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(PthetaError, match="is in use already"):
        compare(plane(), ["realnvp"], out=tmp_path)
    with pytest.raises(PthetaError, match="Did you mean 'realnvp'"):
        compare(plane(), ["realnpv"], out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def attempt(figure: float, factor: float = 1.0, status: str = "done") -> Attempt:
    return Attempt("any", 0, factor, status, figure=figure)  # type: ignore[arg-type]


def test_stability_counts_the_runs_near_the_best(
    comparison: tuple[Comparison, list[Event]],
) -> None:
    evaluated = next(
        a for e in comparison[0].entries for a in e.attempts if e.rating.recipe == "realnvp"
    )
    # nats per dimension: within 0.05 of the best, which is -1.40
    runs = [
        dataclasses.replace(evaluated, figure=-1.42),
        attempt(-1.40),
        attempt(-1.44, 4.0),
        attempt(-1.46, 0.25),
        attempt(-math.inf),
        attempt(-1.0, status="diverged"),
    ]
    found = rate("any", runs).stability
    assert found is not None
    assert (found.stable, found.finite, found.runs) == (3, 4, 6)
    assert found.share == 0.5
    assert found.rates == (0.25, 1.0, 4.0)
    assert (found.figure, found.distance) == ("nats per dimension", 0.05)


def test_quick_tries_other_rates_with_one_seed(tmp_path: Path) -> None:
    data: Data = plane(60)
    found = compare(
        data, ["realnvp"], out=tmp_path / "runs", seeds=2, seconds=None, steps=2, quick=True,
        device="cpu",
    )  # fmt: skip
    runs = {e.rating.recipe: len(e.attempts) for e in found.entries}
    assert runs == {"realnvp": 4, "independent": 2}
    rating = next(e.rating for e in found.entries if e.rating.recipe == "realnvp")
    assert isinstance(rating.nats, Spread)
    assert rating.nats.runs == 2
    assert rating.freedom == ("same-dimension", "invertible")
