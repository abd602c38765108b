"""Runs that earlier versions saved load, and give the figures that they gave then.

A folder a format of ``run.json``. These are never written again: where a test here fails, what
reads them has to be mended.
"""

import json
import math
from pathlib import Path

import pytest
import torch

from ptheta.density import densities, draw
from ptheta.fitting import load
from ptheta.training.folder import RunFolder

CHECKPOINTS = Path(__file__).parent / "checkpoints"
EXPECTED = {
    folder.name: json.loads((folder / "expected.json").read_text())
    for folder in sorted(CHECKPOINTS.iterdir())
}
MOONS = [(version, recipe) for version, found in EXPECTED.items() for recipe in found["values"]]


@pytest.mark.parametrize(("version", "recipe"), MOONS)
def test_a_density_is_what_it_was(version, recipe):
    expected = EXPECTED[version]
    verb, *values = expected["values"][recipe]
    run = load(CHECKPOINTS / version / recipe)
    found = densities(run.model, torch.tensor(expected["x"]), None, space=run.space, seed=0)
    assert found.verb == verb
    assert found.values.tolist() == pytest.approx(values, abs=1e-4)


@pytest.mark.parametrize("recipe", EXPECTED["1"]["levels"])
def test_a_density_of_levels_is_what_it_was(recipe):
    expected = EXPECTED["1"]["levels"][recipe]
    verb, *values = expected["values"]
    run = load(CHECKPOINTS / "1" / recipe)
    found = densities(run.model, torch.tensor(expected["x"]), space=run.space, seed=0)
    assert found.verb == verb
    assert found.values.tolist() == pytest.approx(values, abs=1e-4)


@pytest.mark.parametrize("recipe", ["char-lstm", "transformer"])
def test_the_state_of_an_optimiser_belongs_to_the_parameters_that_it_did(recipe):
    folder = RunFolder(CHECKPOINTS / "1" / recipe)
    parameters = list(load(folder.path).model.parameters())
    # those that decay come first
    ordered = sorted(parameters, key=lambda p: p.dim() <= 1)
    kept = folder.read_state()["learner"]["optimizer"]["state"]
    assert [p.shape for p in ordered] == [state["exp_avg"].shape for state in kept.values()]


@pytest.mark.parametrize("recipe", ["gan", "ncsn"])
def test_models_without_a_density_still_draw(recipe):
    run = load(CHECKPOINTS / "1" / recipe)
    assert run.space.contains(draw(run.model, 5, None, seed=0)).all()


def test_a_table_with_gaps_labels_and_a_context_is_what_it_was():
    run = load(CHECKPOINTS / "1" / "table")
    assert run.columns == ("size", "colour", "count")
    assert run.space.columns[1].space.labels == ("blue", "red")
    assert run.context_space.labels == ("a", "b")
    x = torch.tensor([[0.5, 1, 0], [math.nan, 0, 3]], dtype=torch.float64)
    verb, *values = EXPECTED["1"]["table"]
    found = densities(run.model, x, torch.tensor([0, 1]), space=run.space, seed=0)
    assert found.verb == verb
    assert found.values.tolist() == pytest.approx(values, abs=1e-4)
