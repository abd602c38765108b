"""Runs that earlier versions saved load, and give the figures that they gave then.

A folder a format of ``run.json``. These are never written again: where a test here fails, what
reads them has to be mended.
"""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from ptheta.density import densities, draw
from ptheta.fitting import load
from ptheta.fitting.folder import as_begun
from ptheta.fitting.formats import built
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.univariate import Affine, Reversed
from ptheta.networks.residual import ResidualMLP
from ptheta.networks.unet import UNet
from ptheta.spaces import Discrete, Real
from ptheta.training.folder import FORMAT, RunFolder

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


def test_a_run_that_is_gone_on_with_keeps_the_format_that_its_weights_mean(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(CHECKPOINTS / "1" / "realnvp", folder)
    record = RunFolder(folder).read_record()
    now = record.model_copy(update={"format": FORMAT})
    assert as_begun(now, RunFolder(folder)).format == 1
    maps = [m.univariate for m in built(record).model.modules() if isinstance(m, Coupling)]
    assert maps == [Reversed(Affine(2.0))] * 2
    maps = [m.univariate for m in built(now).model.modules() if isinstance(m, Coupling)]
    assert maps == [Affine(4.0)] * 2


def test_denoisers_of_images_were_perceptrons_before_the_third_format():
    record = RunFolder(CHECKPOINTS / "1" / "ncsn").read_record()
    assert "network" not in record.settings
    image = {"space": Discrete((1, 4, 4), 5, layout="image")}
    for version, network in ((1, ResidualMLP), (2, ResidualMLP), (3, UNet)):
        settings = {**record.settings, "hidden_features": 16}
        changed = record.model_copy(update={**image, "format": version, "settings": settings})
        assert any(isinstance(module, network) for module in built(changed).model.modules())


def test_masked_and_image_flows_of_the_first_format_are_turned_round():
    record = RunFolder(CHECKPOINTS / "1" / "realnvp").read_record()
    for recipe, space, bound in (
        ("maf", Real((2,)), 5.0),
        ("iaf", Real((2,)), 5.0),
        ("glow", Discrete((1, 4, 4), 4, layout="image"), 2.0),
        ("realnvp-multiscale", Discrete((1, 4, 4), 4, layout="image"), 2.0),
    ):
        update = {"recipe": recipe, "settings": {}, "space": space}
        model = built(record.model_copy(update=update)).model
        maps = [m.univariate for m in model.modules() if hasattr(m, "univariate")]
        assert maps == [Reversed(Affine(bound))] * len(maps)
        assert maps


@pytest.mark.parametrize("recipe", ["nsf-coupling", "nsf-autoregressive"])
def test_splines_of_the_first_format_are_tempered_by_the_width_of_their_network(recipe):
    record = RunFolder(CHECKPOINTS / "1" / "realnvp").read_record()
    update = {"recipe": recipe, "settings": {"hidden_features": 64}}
    model = built(record.model_copy(update=update)).model
    tempers = {m.univariate.temper for m in model.modules() if hasattr(m, "univariate")}
    assert tempers == {8.0}
