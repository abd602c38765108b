"""Draws at a temperature, from Python and from the command line."""

import numpy as np
import pytest
import torch

import ptheta


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for recipe in ("affine", "gmm"):
        ptheta.fit("moons", recipe, steps=20, out=folder / recipe)
    return folder


def test_an_affine_flow_spreads_by_the_temperature(folder):
    model = ptheta.load(folder / "affine").model
    cold, plain = (ptheta.draw(model, 500, temperature=t, seed=1) for t in (0.5, 1.0))
    # the same noise, halved, and the map is linear but for a shift
    torch.testing.assert_close(cold.std(dim=0), 0.5 * plain.std(dim=0), rtol=1e-4, atol=1e-4)


def test_the_command_line_takes_a_temperature_too(folder, tmp_path, exit_code):
    for t in (0, 0.5):
        out = tmp_path / f"{t}.npy"
        options = ("-n", 6, "--temperature", t, "-o", out)
        assert exit_code("sample", folder / "affine", *options) == 0
    assert len(np.unique(np.load(tmp_path / "0.npy"), axis=0)) == 1
    model = ptheta.load(folder / "affine").model
    expected = ptheta.draw(model, 6, temperature=0.5)
    np.testing.assert_allclose(np.load(tmp_path / "0.5.npy"), expected, rtol=1e-6)


def test_a_model_without_temperature_says_so_and_who_has_one(folder, tmp_path, capsys, exit_code):
    model = ptheta.load(folder / "gmm").model
    with pytest.raises(ptheta.PthetaError, match="draws at temperature 1 alone"):
        ptheta.draw(model, 3, temperature=0.5)
    out = tmp_path / "x.npy"
    assert exit_code("sample", folder / "gmm", "--temperature", 0.5, "-o", out) == 2
    said = capsys.readouterr().err
    assert "gmm cannot draw at a temperature" in said
    assert "realnvp" in said
    assert "char-gru" in said


@pytest.mark.parametrize("temperature", [-1.0, float("nan")])
def test_a_temperature_that_is_none_is_one_sentence(folder, temperature):
    model = ptheta.load(folder / "affine").model
    with pytest.raises(ptheta.PthetaError, match="temperature (must be 0 or more|cannot be nan)"):
        ptheta.draw(model, 3, temperature=temperature)
