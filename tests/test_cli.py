import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ptheta.cli import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ptheta(capsys):
    """Runs a command; gives its exit code, output and errors."""

    def run(*arguments):
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_recipes_are_listed_with_their_density(ptheta):
    code, out, _ = ptheta("recipes", "--json")
    found = {recipe["name"]: recipe for recipe in json.loads(out)}
    assert code == 0
    assert found["realnvp"]["densities"]["real vectors"] == "exact"
    assert found["realnvp"]["densities"]["levelled images"] == "bound"
    assert found["gan"]["densities"]["real vectors"] == "none"
    assert found["ebm"]["densities"]["real vectors"] == "unnormalised"
    code, out, _ = ptheta("recipes")
    assert all(name in out for name in found)


def test_one_recipe_shows_its_settings(ptheta):
    code, out, _ = ptheta("recipes", "realnvp")
    assert code == 0
    assert "layers" in out
    assert "int >= 1" in out
    assert "coupling" in out


def test_fit_sample_score_and_evaluate(ptheta):
    code, out, _ = ptheta("fit", "moons", "gmm", "--set", "components=4", "--out", "run")
    assert code == 0
    assert "exact: -log_prob" in out
    code, _, _ = ptheta("sample", "run", "-n", "10", "-o", "draws.csv")
    assert code == 0
    assert pd.read_csv("draws.csv").shape == (10, 2)
    code, _, _ = ptheta("score", "run", "draws.csv", "-o", "scores.csv")
    assert code == 0
    scores = pd.read_csv("scores.csv")
    assert list(scores) == ["log_prob"]
    assert len(scores) == 10
    assert np.isfinite(scores["log_prob"]).all()
    code, out, _ = ptheta("evaluate", "run", "--samples", "100", "--json")
    assert code == 0
    assert json.loads(out)["likelihood"]["kind"] == "exact"


def test_scores_on_the_screen_are_those_in_the_file(ptheta):
    ptheta("fit", "moons", "gmm", "--out", "run")
    ptheta("sample", "run", "-n", "5", "-o", "draws.csv")
    ptheta("score", "run", "draws.csv", "-o", "scores.csv")
    _, out, _ = ptheta("score", "run", "draws.csv")
    heading, *values = out.split()
    assert heading == "log_prob"
    written = pd.read_csv("scores.csv")["log_prob"]
    assert np.allclose([float(value) for value in values], written, atol=1e-5)


def test_the_same_seed_gives_the_same_draws(ptheta):
    ptheta("fit", "moons", "gmm", "--out", "run")
    for name in ("a.csv", "b.csv"):
        ptheta("sample", "run", "-n", "5", "-o", name, "--seed", "7")
    ptheta("sample", "run", "-n", "5", "-o", "c.csv", "--seed", "8")
    a, b, c = (pd.read_csv(name) for name in ("a.csv", "b.csv", "c.csv"))
    assert a.equals(b)
    assert not a.equals(c)


def test_ones_own_table_is_fitted_and_scored_row_by_row(ptheta):
    rows = np.random.default_rng(0).normal([1e6, 5.0], [1.0, 2.0], (200, 2))
    pd.DataFrame(rows, columns=["far", "near"]).to_csv("mine.csv", index=False)
    code, _, _ = ptheta("fit", "mine.csv", "gmm", "--set", "components=1", "--out", "run")
    assert code == 0
    ptheta("score", "run", "mine.csv", "-o", "scores.csv")
    scores = pd.read_csv("scores.csv")["log_prob"]
    assert len(scores) == 200
    # the entropy of the two Gaussians: the sum of log(sd sqrt(2 pi e))
    entropy = np.log(1.0 * 2.0) + np.log(2 * np.pi * np.e)
    assert abs(-scores.mean() - entropy) < 0.2


def test_resume_goes_on(ptheta):
    ptheta("fit", "moons", "realnvp", "--steps", "5", "--out", "run", "--quiet")
    code, out, _ = ptheta(
        "fit", "moons", "realnvp", "--steps", "9", "--out", "run", "--resume", "--json"
    )
    assert code == 0
    assert json.loads(out)["steps"] == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "moons", "realnpv"], "Did you mean 'realnvp'"),
        (["fit", "moons", "realnvp", "--set", "layrs=3"], "Did you mean 'layers'"),
        (["fit", "moons", "realnvp", "--set", "layers=-3"], "greater than or equal to 1"),
        (["fit", "moons", "realnvp", "--set", "layers"], "SETTING=VALUE"),
        (["fit", "moons", "realnvp", "--seconds", "1", "--minutes", "1"], "not both"),
        (["fit", "moons", "realnvp", "--device", "abacus"], "abacus"),
        (["fit", "nowhere.csv", "realnvp"], "nowhere.csv"),
        (["fit", "moons", "realnvp", "--splits", "1,2"], "three shares"),
        (["sample", "nowhere", "-o", "x.csv"], "no run folder"),
        (["recipes", "gna"], "Did you mean"),
        (["data", "moosn"], "moons"),
        (["compare", "moons", "gmm", "realnpv"], "realnvp"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(ptheta, arguments, words):
    code, _, err = ptheta(*arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_a_model_without_a_density_says_what_it_offers(ptheta):
    ptheta("fit", "moons", "gan", "--steps", "2", "--out", "run", "--quiet")
    code, _, err = ptheta("score", "run", "moons")
    assert code == 2
    assert "no density" in err
    assert "sample" in err
    assert "realnvp" in err


def test_data_of_another_shape_are_refused_at_score(ptheta):
    ptheta("fit", "moons", "gmm", "--out", "run")
    pd.DataFrame({"a": [1.0, 2.0]}).to_csv("one.csv", index=False)
    code, _, err = ptheta("score", "run", "one.csv")
    assert code == 2
    assert "one.csv" in err or "columns" in err


def test_compare_rates_and_reports(ptheta):
    code, out, _ = ptheta(
        "compare", "moons", "gmm", "--seeds", "1", "--steps", "20", "--quick",
        "--samples", "100", "-o", "report.html",
    )  # fmt: skip
    assert code == 0
    assert "gmm" in out
    assert "independent" in out
    page = Path("report.html").read_text()
    assert "gmm" in page


def test_conditional_runs_are_sampled_by_label(ptheta):
    ptheta("fit", "moons", "realnvp", "--context", "label", "--steps", "5", "--out", "run")
    code, _, _ = ptheta("sample", "run", "-n", "4", "-o", "a.csv", "--context", "1")
    assert code == 0
    code, _, err = ptheta("sample", "run", "-n", "4", "-o", "a.csv", "--context", "nine")
    assert code == 2
    assert "nine" in err


def test_a_row_that_cannot_be_scored_has_no_figure(ptheta):
    ptheta("fit", "moons", "gmm", "--out", "run")
    Path("gaps.csv").write_text("x0,x1\n0.5,0.5\n,1\n")
    code, _, err = ptheta("score", "run", "gaps.csv", "-o", "scores.csv")
    assert code == 0
    assert "row 2" in err
    assert "missing" in err
    scores = pd.read_csv("scores.csv", skip_blank_lines=False)["log_prob"]
    assert scores.isna().tolist() == [False, True]


def test_names_that_look_like_markup_are_shown_as_they_are(ptheta):
    folder = Path("[/old] data")
    folder.mkdir(parents=True)
    rows = "".join(f"{i / 7},{i % 3}\n" for i in range(9))
    (folder / "rows.csv").write_text(f"size [/b],[red]\n{rows}")
    code, out, _ = ptheta("data", folder / "rows.csv")
    assert code == 0
    assert "[/old] data/rows.csv" in out
    assert "size [/b]" in out
    assert "[red]" in out
