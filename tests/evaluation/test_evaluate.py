"""Everything that is measured of one model."""

import io
import json
import math

import pytest
import torch
from evaluation_fakes import Annealed, Copycat, Normal, Sampler, labelled, plane, run_of

from ptheta.data.dataset import Truth
from ptheta.errors import PthetaError
from ptheta.evaluation.estimate import Estimate
from ptheta.evaluation.evaluate import evaluate, noise_floor
from ptheta.evaluation.quality import quality
from ptheta.evaluation.table import evaluation_table
from ptheta.spaces import Discrete, Real


def test_the_true_model_is_not_told_from_the_data() -> None:
    found = evaluate(run_of(Normal()), plane())
    q = found.quality
    # 300 rows of each, counted as 300: sd 0.029, four of them
    assert q.accuracy.value == pytest.approx(0.5, abs=0.116)
    assert q.mmd_p > 0.001
    assert q.coverage.value > 0.9
    assert q.capacity.value > 0.76
    assert found.reference.coverage.value > 0.9
    assert found.samples_per_second > 0
    assert found.densities_per_second is not None


def test_a_wrong_model_is_told() -> None:
    q = evaluate(run_of(Normal(5.0)), plane()).quality
    # shifted by 5 in both values: Phi(5 / sqrt(2)) = 0.9998 at best
    assert q.accuracy.low > 0.95
    assert q.accuracy_p < 1e-6
    assert q.mmd_p == pytest.approx(1 / 201)
    # the ball of an outlying real row may hold a few samples
    assert q.precision.value < 0.2
    assert q.coverage.value < 0.05
    assert q.capacity.value < 0.1
    assert q.capacity.low <= q.capacity.value <= q.capacity.high


def test_capacity_is_one_at_chance_and_below() -> None:
    base = noise_floor(plane())
    found = {}
    for accuracy in (0.4, 0.5, 0.75, 1.0):
        changed = {**base.__dict__, "accuracy": Estimate(accuracy, accuracy, accuracy)}
        found[accuracy] = type(base)(**changed).capacity.value
    assert found == {0.4: 1.0, 0.5: 1.0, 0.75: 0.5, 1.0: 0.0}


def test_samples_that_ignore_their_context_are_told() -> None:
    data = labelled()
    heeds, ignores = (
        evaluate(run_of(Copycat(ignores=i), data.space, data.context_space), data).quality
        for i in (False, True)
    )
    assert heeds.accuracy.value == pytest.approx(0.5, abs=0.116)
    # half of the samples stand beside the wrong label; without labels nothing would show
    assert ignores.accuracy.value == pytest.approx(0.75, abs=0.06)


def test_known_modes_are_counted() -> None:
    centres = torch.tensor([[0.0, 0.0], [50.0, 50.0]])
    data = plane(truth=Truth(lambda x: x.sum(dim=1), 0.0, centres, 3.0))
    modes = evaluate(run_of(Normal()), data).quality.modes
    assert modes is not None
    assert (modes.covered.value, modes.of) == (1, 2)


def test_samples_outside_the_space_are_counted() -> None:
    g = torch.Generator().manual_seed(0)
    real = torch.randint(5, (50, 3), generator=g).to(torch.uint8)
    samples = real.clone()
    samples[:5, 0] = 9
    assert quality(samples, real, Discrete((3,), 5)).outside.value == pytest.approx(0.1)


def test_a_diverged_model_and_too_few_rows_are_one_sentence() -> None:
    with pytest.raises(PthetaError, match="100% of the samples hold values that are not finite"):
        evaluate(run_of(Sampler(math.nan)), plane())
    with pytest.raises(PthetaError, match="at least 20 held-out rows"):
        quality(torch.zeros(5, 2), torch.zeros(5, 2), Real((2,)))


def test_the_same_seed_gives_the_same_figures() -> None:
    a, b = (evaluate(run_of(Normal()), plane(), samples=100, seed=4) for _ in range(2))
    assert a.quality == b.quality
    assert a.likelihood == b.likelihood
    assert a.quality.rows == 100


def test_json_holds_every_figure() -> None:
    text = json.dumps(evaluate(run_of(Normal()), plane()).to_json(), allow_nan=False)
    found = json.loads(text)
    assert found["likelihood"]["nats"].keys() == {"value", "low", "high"}
    assert found["quality"]["coverage"]["value"] > 0.9
    assert found["quality"]["modes"] is None


def test_the_table_names_the_kind_and_the_noise_floor() -> None:
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(evaluation_table(evaluate(run_of(Normal()), plane())))
    text = console.export_text()
    assert "held-out nats (exact)" in text
    assert "of the data itself" in text
    assert "by annealing backwards" not in text
    found = evaluate(run_of(Annealed()), plane())
    console.print(evaluation_table(found))
    rows = {line[:26].strip(): line[26:].split() for line in console.export_text().splitlines()}
    assert rows["rows"][0] == str(found.likelihood.rows)
    # the bracket of the fake, whose ends lie half a nat apart
    assert rows["error of the constant"] == ["0.100"]
    backwards = float(rows["by annealing backwards"][1])  # after the mark of an estimate
    assert backwards == pytest.approx(found.likelihood.nats.value + 0.5, abs=2e-3)
    console.print(evaluation_table(evaluate(run_of(Sampler()), plane())))
    assert "the model has no density" in console.export_text()
