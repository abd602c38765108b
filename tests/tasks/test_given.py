import numpy as np
import pandas as pd
import pytest
import torch

from ptheta.data.load import load_data
from ptheta.fitting import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table in which the size goes with the kind."""
    g = np.random.default_rng(0)
    kind = g.choice(["red", "blue"], size=600)
    frame = pd.DataFrame(
        {"kind": kind, "wet": g.integers(0, 2, 600), "size": np.where(kind == "red", "s", "l")}
    )
    folder = tmp_path_factory.mktemp("given") / "run"
    fit(load_data(frame), "chow-liu", out=folder)
    return folder


def test_draws_have_what_is_given_and_follow_from_it(run, tmp_path, exit_code):
    out = tmp_path / "out.csv"
    given = ("--given", "kind=red", "--given", "wet=1")
    assert exit_code("sample", run, "-n", 400, *given, "-o", out) == 0
    drawn = pd.read_csv(out)
    assert set(drawn["kind"]) == {"red"}
    assert set(drawn["wet"]) == {1}
    # of 300 red rows or so all are small, but for the pair's smoothing of one count
    assert (drawn["size"] == "s").mean() > 0.98


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["kind=green"],
            "--given kind=green is outside what the run was fitted to: one of blue, red",
        ),
        (["wet=7"], "--given wet=7 is outside what the run was fitted to: a whole number from 0"),
        (["colour=red"], "no value 'colour'"),
        (["red"], "--given is written NAME=VALUE, such as kind=red, and not 'red'"),
        (["kind=red", "kind=blue"], "--given says both kind=red and kind=blue"),
        (["wet=often"], "needs numbers, but row 1 holds 'often'"),
    ],
)
def test_what_contradicts_the_table_is_one_sentence(run, tmp_path, capsys, given, said, exit_code):
    options = [word for each in given for word in ("--given", each)]
    assert exit_code("sample", run, *options, "-o", tmp_path / "out.csv") == 2
    assert said in capsys.readouterr().err


def test_a_run_that_cannot_says_who_can(tmp_path, capsys, exit_code):
    fit(load_data(torch.randn(60, 2)), "made", steps=1, out=tmp_path / "run")
    out = tmp_path / "out.csv"
    assert exit_code("sample", tmp_path / "run", "--given", "x0=1", "-o", out) == 2
    assert "made cannot draw some values given others (--given)" in capsys.readouterr().err


def test_values_without_names_are_called_as_their_draws_are(tmp_path, exit_code):
    fit(load_data(torch.randn(60, 2)), "gmm", settings={"components": 1}, out=tmp_path / "run")
    out = tmp_path / "out.csv"
    assert exit_code("sample", tmp_path / "run", "-n", 5, "--given", "x1=0.5", "-o", out) == 0
    assert pd.read_csv(out)["x1"].tolist() == [0.5] * 5
