import math

import numpy as np
import pandas as pd
import pytest
import torch

from ptheta.cli import main
from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.fitting import fit
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical, Column, Discrete, Positive, Real, Table
from ptheta.tasks.impute import impute

SPACE = Table(
    (
        Column("size", Real()),
        Column("weight", Positive()),
        Column("kind", Categorical(categories=3)),
        Column("count", Discrete(levels=4)),
    )
)
NAN = math.nan


def test_what_is_there_is_kept_to_the_last_bit_and_what_is_missing_is_drawn():
    model = build("eonade", SPACE).model
    x = torch.tensor(
        [[0.1, 1e-3, 2, NAN], [NAN, NAN, NAN, NAN], [0.3, 7.7, 1, 3], [NAN, 2.5, NAN, 0]],
        dtype=torch.float64,
    )
    filled = impute(model, x, space=SPACE, draws=5, batch_size=3)
    assert filled.shape == (5, 4, 4)
    assert SPACE.contains(filled.flatten(0, 1)).all()
    there = ~x.isnan()
    assert torch.equal(filled[:, there], x[there].expand(5, -1))
    assert len(filled[:, 1, 0].unique()) == 5
    assert torch.equal(filled, impute(model, x, space=SPACE, draws=5, batch_size=3))


def test_many_draws_of_a_row_are_drawn_together_and_follow_its_law():
    space = Table((Column("a", Discrete(levels=2)), Column("b", Discrete(levels=2))))
    model = build("independent", space).model
    model.model.take(model.model.count(torch.tensor([[0, 0], [0, 1], [0, 1], [0, 1]])))
    calls = []
    complete = model.complete
    model.complete = lambda x, known, context=None: calls.append(len(x)) or complete(x, known)
    x = torch.tensor([[0.0, NAN], [1.0, NAN]])
    filled = impute(model, x, space=space, draws=5000)
    assert filled.shape == (5000, 2, 2)
    assert (filled[:, :, 0] == torch.tensor([0, 1])).all()
    # a thousand rows at a time, of two rows five hundred draws
    assert calls == [1000] * 10
    share = filled[:, :, 1].double().mean(dim=0)
    p = model.log_prob(torch.tensor([[0, 0], [0, 1]])).exp()
    p = p[1] / p.sum()
    assert ((share - p).abs() < 5 * (p * (1 - p) / 5000).sqrt()).all()


@pytest.mark.parametrize(
    ("position", "value", "name"),
    [(2, 3.0, "kind"), (3, 7.0, "count"), (1, -1.0, "weight"), (0, math.inf, "size")],
)
def test_a_value_outside_the_space_is_named_by_row_and_column(position, value, name):
    x = torch.tensor([[0.1, 1.0, 2, NAN]] * 3, dtype=torch.float64)
    x[1, position] = value
    with pytest.raises(PthetaError, match=rf"row 2 holds a value outside .* in '{name}' \("):
        impute(build("eonade", SPACE).model, x, space=SPACE)


def test_a_model_that_cannot_is_refused():
    model = build("made", Real((2,))).model
    with pytest.raises(PthetaError, match="cannot fill in what is missing.* can: .*eonade"):
        impute(model, torch.zeros(1, 2), space=Real((2,)))


def test_what_depends_on_the_rest_is_filled_in_from_it():
    g = np.random.default_rng(0)
    a = g.normal(size=4000)
    frame = pd.DataFrame({"a": a, "b": np.where(a > 0, 3.0, -3.0) + 0.1 * g.normal(size=4000)})
    run = fit(load_data(frame), "eonade", steps=300)
    gaps = torch.tensor([[1.0, NAN], [-1.0, NAN]]).repeat(100, 1)
    filled = impute(run.model, gaps, space=run.space)[0, :, 1]
    assert (filled[::2] - 3).abs().mean() < 0.5
    assert (filled[1::2] + 3).abs().mean() < 0.5


def people(rows):
    g = np.random.default_rng(0)
    kind = g.choice(["x", "y"], rows)
    return pd.DataFrame(
        {"size": g.normal(size=rows), "kind": kind, "label": g.choice(["p", "q"], rows)}
    )


def test_the_command_fills_in_a_table_row_by_row(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    whole = people(200)
    whole.to_csv("people.csv", index=False)
    gaps = whole[:30].copy()
    gaps.loc[3:9, "size"] = np.nan
    gaps.loc[7:12, "kind"] = None
    gaps.to_csv("gaps.csv", index=False)
    fitted = ["fit", "people.csv", "eonade", "--context", "label", "--steps", "2", "--out", "run"]
    assert run_command(fitted) == 0
    assert run_command(["impute", "run", "gaps.csv", "-o", "filled.csv", "--draws", "2"]) == 0
    assert "13 values of 30 rows filled in, 2 times" in capsys.readouterr().out
    filled = pd.read_csv("filled.csv")
    assert list(filled) == ["size", "kind", "label"]
    assert len(filled) == 60
    assert not filled.isna().any(axis=None)
    for part in (filled[:30], filled[30:].reset_index(drop=True)):
        for name in gaps:
            there = gaps[name].notna()
            assert (part[name][there] == gaps[name][there]).all()


def test_the_command_refuses_a_run_that_cannot(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_command(["fit", "moons", "made", "--steps", "1", "--out", "run"])
    assert run_command(["impute", "run", "moons", "-o", "filled.csv"]) == 2
    found = capsys.readouterr().err
    assert "made cannot fill in what is missing: it offers sample" in found
    assert "eonade" in found


def run_command(arguments):
    try:
        main([*arguments, "--quiet"])
    except SystemExit as error:
        return error.code
    return 0
