import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import ptheta
from ptheta.cli import main
from ptheta.data.dataset import Split
from ptheta.errors import PthetaError
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Discrete, Positive, Real
from ptheta.tasks.classify import classify
from ptheta.testing.examples import example_context, example_rows, states

TWO = Categorical(categories=2)
TEXT = Categorical((3,), 4, layout="sequence")


def wine():
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    return ptheta.load_data((x, [("red", "white", "rose")[label] for label in y]), context="label")


def test_any_density_given_a_class_tells_classes_by_the_rule_of_bayes():
    space = Binary((3,))
    model = build("made", space, TWO).model
    x = states(space)
    with torch.no_grad():
        joint = torch.stack(
            [w * model.log_prob(x, torch.full((8,), c)).exp() for c, w in ((0, 0.25), (1, 0.75))],
            dim=1,
        ).double()
    found = classify(model, x, space=space, frequencies=[2, 6], batch_size=3)
    torch.testing.assert_close(found.exp(), joint / joint.sum(dim=1, keepdim=True), rtol=0,
                               atol=1e-6)  # fmt: skip


def test_bayes_by_hand_and_naive_bayes_are_the_same():
    data = wine()
    run = ptheta.fit(data, "naive-bayes")

    class Density(torch.nn.Module):
        """The same model, without its own way to tell classes."""

        def __init__(self, model):
            super().__init__()
            self.inner = model

        def log_prob(self, x, context=None):
            return self.inner.log_prob(x, context)

    own = classify(run.model, data.test.x, space=data.space)
    rule = classify(Density(run.model), data.test.x, space=data.space,
                    frequencies=run.class_counts)  # fmt: skip
    torch.testing.assert_close(own, rule, rtol=0, atol=1e-9)


def test_the_twins_agree_with_scikit_learn_from_end_to_end():
    data = wine()
    x, y = data.train.x.double(), data.train.context
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    seen, unseen = (x - mean) / scale, (data.test.x.double() - mean) / scale
    # the default solver of the peer stops a millionth short, whatever its tolerance
    exact = LogisticRegression(C=3.0, solver="newton-cg", tol=1e-12, max_iter=1000)
    peers = {
        "naive-bayes": (GaussianNB(var_smoothing=1e-9), {"var_smoothing": 1e-9}),
        "logistic-regression": (exact, {"C": 3.0}),
    }
    for recipe, (peer, settings) in peers.items():
        run = ptheta.fit(data, recipe, settings=settings)
        expected = torch.from_numpy(peer.fit(seen.numpy(), y.numpy()).predict_proba(unseen.numpy()))
        found = classify(run.model, data.test.x, space=data.space)
        torch.testing.assert_close(found.exp(), expected, rtol=0, atol=1e-6)


def test_few_rows_are_counted_even_where_the_start_does_better():
    # a class of one row is a spike, and held-out rows are likelier under no fit at all
    data = wine()
    context = data.train.context
    few = torch.cat([(context == label).nonzero()[:1, 0] for label in range(3)])
    run = ptheta.fit(replace(data, train=Split(data.train.x[few], context[few])), "naive-bayes")
    told = classify(run.model, data.train.x[few], space=data.space)
    assert torch.equal(told.argmax(dim=1), context[few])
    assert told.exp().max(dim=1).values.min() > 0.9


def test_a_row_outside_has_no_figure_and_leaves_the_others_as_they_are():
    space = Discrete((2,), 3)
    x, y = example_rows(space, 30), example_context(TWO, 30)
    algorithm = build("naive-bayes", space, TWO)
    algorithm.model.model.take(algorithm.model.model.count(x, y))
    given = torch.tensor([[0, 1], [0, 3], [2, 2]])
    found = classify(algorithm.model, given, space=space)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]].exp().sum(dim=1), torch.ones(2).double())
    assert classify(algorithm.model, given[1:2], space=space).shape == (1, 2)


@pytest.mark.parametrize("space", [Real((2,)), Positive((2,)), Discrete((2,), 3)])
def test_a_model_is_not_asked_about_no_rows(space):
    class Teller(torch.nn.Module):
        """Three classes of equal probability, of some rows at least, in the space."""

        def class_log_prob(self, x):
            assert len(x)
            assert space.contains(x).all()
            return torch.full((len(x), 3), -math.log(3))

    x = torch.full((4, 2), math.inf)
    for rows in (x, torch.cat([x, torch.ones(1, 2)])):
        found = classify(Teller(), rows, space=space, batch_size=4)
        assert found.shape == (len(rows), 3)
        assert found[:4].isnan().all()
        assert not found[4:].isnan().any()


@pytest.mark.parametrize("recipe", ["naive-bayes", "logistic-regression", "made", "eonade"])
def test_rows_that_all_lie_outside_have_no_figure(recipe):
    space = Real((2,))
    model = build(recipe, space, TWO).model
    found = classify(model, torch.full((3, 2), math.inf), space=space, frequencies=[1, 1])
    assert found.shape == (3, 2)
    assert found.isnan().all()


def test_a_class_of_frequency_zero_has_probability_zero():
    model = build("made", Binary((2,)), TWO).model
    found = classify(model, torch.zeros(1, 2), space=Binary((2,)), frequencies=[0, 5])
    assert found.tolist() == [[-math.inf, 0.0]]


def test_what_cannot_tell_classes_is_refused():
    space = Real((2,))
    with pytest.raises(PthetaError, match="cannot tell classes: it offers sample"):
        classify(build("gan", space).model, torch.zeros(1, 2), space=space)
    with pytest.raises(PthetaError, match="frequencies=run.class_counts"):
        classify(build("made", space).model, torch.zeros(1, 2), space=space)
    with pytest.raises(PthetaError, match="fitted without context"):
        classify(build("made", space).model, torch.zeros(1, 2), space=space, frequencies=[1, 1])
    with pytest.raises(PthetaError, match="at least 0, and not all 0"):
        classify(build("made", space, TWO).model, torch.zeros(1, 2), space=space,
                 frequencies=[1, -1])  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "space"),
    [("made", Real((2,))), ("realnvp", Real((2,))), ("transformer", TEXT)],
)
def test_frequencies_are_of_the_classes_of_the_model(recipe, space):
    model, x = build(recipe, space, Categorical(categories=3)).model, example_rows(space, 4)
    for frequencies in ([1, 1], [1, 1, 1, 1]):
        with pytest.raises(PthetaError, match=f"of the 3 classes .*, got {len(frequencies)}"):
            classify(model, x, space=space, frequencies=frequencies)
    assert classify(model, x, space=space, frequencies=[1, 1, 1]).shape == (4, 3)


@pytest.mark.parametrize(
    ("recipe", "space", "context"),
    [("made", Real((2,)), Real((1,))), ("seq2seq-lstm", TEXT, Categorical((5,), 3))],
)
def test_what_is_conditioned_on_no_class_is_refused(recipe, space, context):
    model = build(recipe, space, context).model
    with pytest.raises(PthetaError, match=f"this one is conditioned on {context.describe()}"):
        classify(model, example_rows(space, 4), space=space, frequencies=[1, 1, 1])


@pytest.mark.parametrize("recipe", ["naive-bayes", "logistic-regression"])
def test_the_twins_refuse_what_is_no_class(recipe):
    for context in (None, Real((1,)), Categorical((4,), 3)):
        with pytest.raises(PthetaError, match="needs the class of each row as context"):
            build(recipe, Real((2,)), context)
    with pytest.raises(PthetaError, match="one class"):
        build(recipe, Real((2,)), Categorical(categories=1))


def people(rows):
    g = np.random.default_rng(0)
    ill = g.random(rows) < 0.3
    return pd.DataFrame(
        {
            "heat": g.normal(np.where(ill, 39.0, 36.8), 0.5),
            "cough": np.where(g.random(rows) < np.where(ill, 0.7, 0.2), "yes", "no"),
            "state": np.where(ill, "ill", "well"),
        }
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people(300).to_csv("people.csv", index=False)
    return tmp_path


def run_command(*arguments):
    try:
        main([*arguments, "--quiet"])
    except SystemExit as error:
        return error.code
    return 0


def measured(capsys):
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("recipe", "steps"), [("naive-bayes", "1"), ("logistic-regression", "500"), ("made", "50")]
)
def test_the_command_tells_held_out_rows_of_the_run(folder, capsys, recipe, steps):
    fitted = ["fit", "people.csv", recipe, "--context", "state", "--out", "run", "--steps", steps]
    assert run_command(*fitted, "--json") == 0
    said = measured(capsys)
    assert run_command("classify", "run", "--json") == 0
    found = measured(capsys)
    assert found["accuracy"]["value"] > 0.9
    if recipe == "made":  # by Bayes' rule, a pass for each class that a fit does not spend
        assert not {"accuracy", "log_loss"} & set(said)
    else:
        assert said["accuracy"] == found["accuracy"]["value"]
        assert said["log_loss"] == pytest.approx(found["log_loss"]["value"])
    assert found["rows"] == len(found["classes"]) == 60
    assert set(found["classes"]) == {"ill", "well"}


def test_the_command_tells_the_rows_of_a_file(folder, capsys):
    run_command("fit", "people.csv", "naive-bayes", "--context", "state", "--out", "run")
    new = people(40).drop(columns="state")
    new.loc[3, "cough"] = "a little"
    new.to_csv("new.csv", index=False)
    capsys.readouterr()
    assert run_command("classify", "run", "new.csv", "-o", "told.csv") == 0
    said = capsys.readouterr()
    assert "40 rows in told.csv" in said.out
    assert "nothing to compare with" in said.err
    assert "1 of the rows lie outside" in said.err
    told = pd.read_csv("told.csv")
    assert list(told) == ["class", "p(ill)", "p(well)"]
    assert told.isna().any(axis=1).tolist() == [row == 3 for row in range(40)]
    rest = told.dropna()
    assert np.allclose(rest["p(ill)"] + rest["p(well)"], 1)
    assert ((rest["p(ill)"] > 0.5) == (rest["class"] == "ill")).all()
    assert run_command("classify", "run", "people.csv") == 0
    assert "naive-bayes on 300 rows: accuracy " in capsys.readouterr().out
    people(20).rename(columns={"state": "truth"}).to_csv("named.csv", index=False)
    assert run_command("classify", "run", "named.csv", "--context", "truth") == 0
    assert "naive-bayes on 20 rows: accuracy" in capsys.readouterr().out


def test_a_class_that_the_fit_never_saw_is_named(folder, capsys):
    run_command("fit", "people.csv", "naive-bayes", "--context", "state", "--out", "run")
    people(20).replace("ill", "dead").to_csv("new.csv", index=False)
    capsys.readouterr()
    assert run_command("classify", "run", "new.csv", "--context", "state") == 2
    assert "'state' of new.csv is 'dead'" in capsys.readouterr().err


def test_the_command_refuses_a_run_that_cannot(folder, capsys):
    run_command("fit", "people.csv", "made", "--steps", "1", "--out", "a")
    run_command("fit", "people.csv", "vae", "--steps", "1", "--context", "state", "--out", "b")
    capsys.readouterr()
    assert run_command("classify", "a") == 2
    assert "fitted without a class" in capsys.readouterr().err
    assert run_command("classify", "b") == 2
    said = capsys.readouterr().err
    assert "vae cannot tell classes: it offers sample" in said
    assert "naive-bayes, logistic-regression" in said


def test_gaps_are_refused_by_name_where_they_have_no_place(folder, capsys):
    table = people(100)
    table.loc[5, "heat"] = None
    table.to_csv("gaps.csv", index=False)
    fitted = "fit", "gaps.csv", "--context", "state", "--out"
    assert run_command(*fitted[:2], "logistic-regression", *fitted[2:], "a") == 2
    said = capsys.readouterr().err
    assert "no place for missing values (columns 'heat')" in said
    assert "Recipes that can: independent, naive-bayes" in said
    assert run_command(*fitted[:2], "naive-bayes", *fitted[2:], "b") == 0


def test_what_draws_nothing_is_not_asked_for_draws(folder, capsys):
    fitted = "fit", "people.csv", "logistic-regression", "--context", "state", "--out", "run"
    assert run_command(*fitted, "--steps", "3") == 0
    assert not (folder / "run" / "samples").exists()
    capsys.readouterr()
    for command in (("sample", "run", "-o", "x.csv"), ("evaluate", "run")):
        assert run_command(*command) == 2
        assert "cannot be sampled: it offers class_log_prob" in capsys.readouterr().err


def test_images_are_told_by_file_and_brought_to_the_size_of_the_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    g = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "pictures" / ("dark" if i % 2 else "light") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = g.integers(0, 40, (8, 8)) + (0 if i % 2 else 200)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    fitted = ("fit", "pictures", "naive-bayes", "--context", "label", "--size", "4")
    assert run_command(*fitted, "--out", "run") == 0
    capsys.readouterr()
    assert run_command("classify", "run", "pictures/dark", "--json") == 0
    found = measured(capsys)
    assert found["file"] == [f"{i:02}.png" for i in range(1, 20, 2)]
    assert found["classes"] == ["dark"] * 10
    assert run_command("score", "run", "pictures", "-o", "scores.csv") == 0
    table = pd.read_csv("scores.csv")
    assert list(table) == ["file", "log_prob"]
    assert table["file"][0] == "dark/01.png"
