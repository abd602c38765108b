import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ptheta.cli import main
from ptheta.models.flows.fixed_point import fixed_point


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


def test_what_is_known_up_to_a_constant_is_not_called_a_likelihood(ptheta):
    code, out, _ = ptheta("fit", "moons", "ebm", "--steps", "2", "--out", "run")
    assert code == 0
    assert "nats" not in out
    assert "is no likelihood" in out
    code, out, _ = ptheta("fit", "moons", "ebm", "--steps", "2", "--out", "other", "--json")
    summary = json.loads(out)
    assert summary["kind"] == "unnormalised"
    assert "nats" not in summary
    assert "mean" in summary


def test_the_example_of_a_conditional_fit_has_its_class(ptheta, fitted):
    drawn = pd.read_csv("run/samples/samples.csv")
    assert drawn["label"].tolist() == ["p", "q"] * 32


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
        (["sample", "nowhere", "-o", "x.csv", "--seed", str(2**70)], "is not in the range"),
        (["evaluate", "nowhere", "--seed", "-1"], "is not in the range"),
        (["data", "moons", "--split-seed", "-1"], "is not in the range"),
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


def test_a_report_that_cannot_be_written_is_refused_before_the_first_fit(ptheta):
    Path("taken").mkdir()
    Path("file").write_text("mine")
    for out, words in (("taken", "taken: it is a folder"), ("file/r.html", "Not a directory")):
        code, _, err = ptheta("compare", "moons", "gmm", "--steps", "5", "-o", out)
        assert code == 2
        assert err.startswith("ptheta: cannot write ")
        assert words in err
    assert sorted(path.name for path in Path().iterdir()) == ["file", "taken"]


def test_a_disk_that_fills_up_ends_a_comparison(ptheta, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = ptheta(
        "compare", "moons", "gmm", "--steps", "5", "--quiet", "--runs", "mine", "-o", "r.html"
    )
    assert code == 2
    assert "refused" not in out
    assert "No space left on device" in err
    assert "The comparison ended there. Make room, and compare again" in err
    assert "--resume" not in err


def test_a_folder_for_runs_that_cannot_be_made_is_a_sentence(ptheta):
    Path("file").write_text("mine")
    code, _, err = ptheta("compare", "moons", "gmm", "--steps", "5", "--runs", "file/runs")
    assert code == 2
    assert "cannot write file/runs: Not a directory" in err


def test_the_command_is_a_module_too():
    done = subprocess.run(
        [sys.executable, "-m", "ptheta", "data", "moosn"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Did you mean 'moons'" in done.stderr


def people(rows, seed, kinds="xyz"):
    """A table of a number, a level, a category and a class."""
    g = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "size": g.normal(size=rows),
            "count": np.arange(rows) % 9,
            "kind": g.choice(list(kinds), rows),
            "label": g.choice(["p", "q"], rows),
        }
    )


@pytest.fixture
def fitted(ptheta):
    """A run given a class, in the folder run, of the table people.csv."""
    people(300, 0).to_csv("people.csv", index=False)
    ptheta("fit", "people.csv", "vae", "--context", "label", "--steps", "2", "--out", "run")


def test_another_table_is_measured_in_the_space_of_the_run(ptheta, fitted):
    # with a category fewer, a level fewer, a column more, and columns in another order
    other = people(80, 1, "xy").assign(count=3, extra=1)[
        ["kind", "extra", "label", "count", "size"]
    ]
    other.to_csv("other.csv", index=False)
    code, out, err = ptheta("evaluate", "run", "--data", "other.csv", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["likelihood"]["rows"] == 80
    assert found["quality"]["rows"] == 80
    assert found["reference"]["rows"] == 40
    assert found["outside"] == 0


def test_rows_outside_the_space_of_the_run_are_counted(ptheta, fitted):
    other = people(80, 1)
    other.loc[3, "kind"] = "unheard of"
    other.loc[5, "count"] = 1000
    other.to_csv("other.csv", index=False)
    code, out, err = ptheta("evaluate", "run", "--data", "other.csv", "--json")
    assert code == 0
    assert "2 of the 80 rows of other.csv lie outside" in err
    assert json.loads(out)["outside"] == 2
    assert json.loads(out)["likelihood"]["rows"] == 78


def test_too_few_rows_of_another_table_are_refused(ptheta, fitted):
    people(80, 1, "w").to_csv("other.csv", index=False)
    code, _, err = ptheta("evaluate", "run", "--data", "other.csv")
    assert code == 2
    assert "other.csv has 0 rows inside what the run was fitted to (80 lie outside)" in err


def test_the_data_of_the_fit_keep_their_test_split(ptheta, fitted):
    _, out, _ = ptheta("evaluate", "run", "--json")
    _, same, _ = ptheta("evaluate", "run", "--data", "people.csv", "--json")
    assert json.loads(out)["likelihood"] == json.loads(same)["likelihood"]
    people(300, 2).to_csv("people.csv", index=False)
    code, _, err = ptheta("evaluate", "run")
    assert code == 2
    assert "people.csv has changed since the run was fitted" in err
    _, out, _ = ptheta("evaluate", "run", "--data", "people.csv", "--json")
    assert json.loads(out)["likelihood"]["rows"] == 300


def test_a_built_in_set_of_another_space_is_refused(ptheta, fitted):
    code, _, err = ptheta("evaluate", "run", "--data", "moons")
    assert code == 2
    assert "and moons is real numbers, vector 2 given 2 categories, scalar: they differ" in err


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_draws_say_which_class_they_were_drawn_for(ptheta, fitted, ending):
    code, _, _ = ptheta("sample", "run", "-n", "6", "-o", f"draws.{ending}")
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}.get(ending)
    drawn = pd.read_json("draws.jsonl", lines=True) if read is None else read(f"draws.{ending}")
    assert code == 0
    assert list(drawn) == ["size", "count", "kind", "label"]
    assert drawn["label"].tolist() == ["p", "q"] * 3
    code, out, _ = ptheta("score", "run", f"draws.{ending}")
    assert code == 0
    assert len(out.split()) == 7


def test_draws_without_names_are_scored_beside_their_class(ptheta):
    ptheta("fit", "moons", "realnvp", "--context", "label", "--steps", "2", "--out", "run")
    ptheta("sample", "run", "-n", "4", "-o", "draws.csv", "--context", "1")
    drawn = pd.read_csv("draws.csv")
    assert list(drawn) == ["x0", "x1", "label"]
    assert set(drawn["label"]) == {1}
    code, out, _ = ptheta("score", "run", "draws.csv")
    assert code == 0
    assert len(out.split()) == 5


@pytest.mark.parametrize("command", [["sample", "run", "-o", "x.csv"], ["evaluate", "run"]])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", b"\xff\n{}\n"),
        ("run.json", b"[" * 10**5),
        ("run.json", b'{"format": "2"}'),
        ("extra.pkl", b""),
    ],
)
def test_a_damaged_run_is_a_sentence_and_exit_code_2(ptheta, command, name, content):
    ptheta("fit", "moons", "gmm", "--out", "run")
    (Path("run") / name).write_bytes(content)
    code, _, err = ptheta(*command)
    assert code == 2
    assert name in err
    assert err.count("\n") == 1


def test_an_origin_that_cannot_be_loaded_is_a_sentence(ptheta):
    ptheta("fit", "moons", "gmm", "--out", "run")
    record = json.loads(Path("run/run.json").read_text())
    record["origin"]["surprise"] = 1
    Path("run/run.json").write_text(json.dumps(record))
    code, _, err = ptheta("evaluate", "run")
    assert code == 2
    assert "run.json is damaged at 'origin" in err


def test_draws_that_are_not_found_are_a_sentence_and_exit_code_2(ptheta, monkeypatch):
    code, _, _ = ptheta("fit", "moons", "i-resnet", "--steps", "2", "--out", "run")
    assert code == 0

    def one_step(step, start, **options):
        return fixed_point(step, start, **options | {"iterations": 1})

    monkeypatch.setattr("ptheta.models.flows.residual.fixed_point", one_step)
    code, out, err = ptheta("sample", "run", "-n", "3", "-o", "draws.csv")
    assert code == 2
    assert out == ""
    assert err.startswith("ptheta: the inverse of a residual layer was not found for 3 of 3 rows")
    assert "fit again with a smaller learning_rate" in err
