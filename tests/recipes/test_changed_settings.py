"""Settings that change when a fitted model is used, and settings that do nothing."""

import pytest
import torch

import ptheta
from ptheta.errors import PthetaError
from ptheta.inference.denoising import heun
from ptheta.recipes.registry import describe, find, names
from ptheta.recipes.settings import changed_settings, check_settings, refuse_idle, settings_of

SMALL = {"hidden_features": 8, "blocks": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("runs") / "a"
    ptheta.fit("moons", "ddpm", settings=SMALL, steps=5, out=at)
    return at


def test_a_fitted_denoiser_is_drawn_from_in_another_way(folder):
    as_fitted = ptheta.load(folder)
    other = ptheta.load(folder, settings={"sampler": "heun", "sample_steps": "7"})
    assert (other.model.model.sampler, other.model.model.steps) == (heun, 7)
    assert other.settings["sample_steps"] == 7
    assert as_fitted.model.model.steps == as_fitted.settings["sample_steps"] == 250
    for name, weights in as_fitted.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], weights)


def test_what_training_knew_of_is_not_changed(folder):
    sentence = "'schedule' of ddpm is one that a model is fitted with.*These can: sampler, sample_"
    with pytest.raises(PthetaError, match=sentence):
        ptheta.load(folder, settings={"schedule": "linear"})
    with pytest.raises(PthetaError, match="Did you mean 'sampler'"):
        ptheta.load(folder, settings={"samplr": "heun"})
    with pytest.raises(PthetaError, match="sample_steps.*greater than or equal to 1"):
        ptheta.load(folder, settings={"sample_steps": 0})


def test_guidance_that_training_left_out_is_one_sentence(tmp_path):
    data = ptheta.load_data("digits", context="label")
    settings = {"network": "mlp", **SMALL}
    ptheta.fit(data, "ddpm", settings=settings, steps=2, out=tmp_path / "a")
    with pytest.raises(PthetaError, match=r"another model than these settings ask.*guidance=2"):
        ptheta.load(tmp_path / "a", settings={"guidance": 2})
    settings["guidance"] = 0.5
    ptheta.fit(data, "ddpm", settings=settings, steps=2, out=tmp_path / "b")
    leaning = ptheta.load(tmp_path / "b", settings={"guidance": 2})
    assert leaning.model.model.model.weight == 2


def test_a_recipe_without_such_settings_says_so():
    with pytest.raises(PthetaError, match=r"components.*It has none that can\."):
        changed_settings("gmm", find("gmm"), {}, {"components": 3})


@pytest.mark.parametrize("name", names())
def test_every_way_of_drawing_can_be_changed(name):
    found = {s.name: s for s in settings_of(find(name))}
    for key in ("sampler", "sample_steps", "temperatures"):
        assert key not in found or found[key].when_used
    # the mark is not shown among the bounds
    assert all("Used" not in s.type_text for s in describe(name).settings)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("ebm", {"objective": "sm", "chains": 5}, "'chains' of ebm does nothing with objective=sm"),
        ("ebm", {"noise_ratio": 2}, "with objective=pcd: it is for objective=nce. Leave it out"),
        ("rbm", {"values": 3}, "it is for objective=pseudolikelihood or ratio-matching"),
        ("rbm", {"objective": "cd", "tempering": 3}, "'tempering' of rbm does nothing"),
        ("flow-matching", {"sample_steps": 20}, "'sample_steps' .* does nothing with sampler=flow"),
    ],
)
def test_settings_that_do_nothing_are_one_sentence(name, settings, sentence):
    with pytest.raises(PthetaError, match=sentence):
        ptheta.fit("moons", name, settings=settings, steps=1)


def test_settings_at_their_defaults_and_of_use_are_taken():
    refuse_idle("ebm", find("ebm"), {"objective": "sm", "chains": 1024})
    refuse_idle("ebm", find("ebm"), {"objective": "nce", "noise_ratio": "2"})
    refuse_idle("flow-matching", find("flow-matching"), {"sampler": "heun", "sample_steps": 20})


@pytest.mark.parametrize("name", names())
def test_what_settings_go_with_is_there(name):
    found = {s.name: s for s in settings_of(find(name))}
    for setting in found.values():
        for mark in setting.only_with:
            for value in mark.values:
                check_settings(name, find(name), {mark.name: value})
        assert "OnlyWith" not in setting.type_text


def test_what_does_nothing_is_no_change(tmp_path):
    ptheta.fit("moons", "flow-matching", settings=SMALL, steps=2, out=tmp_path / "a")
    with pytest.raises(PthetaError, match="'sample_steps'.*does nothing with sampler=flow"):
        ptheta.load(tmp_path / "a", settings={"sample_steps": 10})
    ptheta.load(tmp_path / "a", settings={"sample_steps": 10, "sampler": "heun"})
