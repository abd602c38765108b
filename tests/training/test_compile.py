import pytest
import torch

import ptheta
from ptheta.training import devices, gradient


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["nsf-coupling", "maf"])
def test_a_compiled_loss_is_learnt_from_as_the_loss_is(recipe):
    data = ptheta.load_data("moons")
    plain, compiled = (
        ptheta.fit(data, recipe, steps=20, device="cpu", compile=choice) for choice in (False, True)
    )
    x = data.test.x[:100]
    torch.testing.assert_close(
        compiled.model.log_prob(x), plain.model.log_prob(x), rtol=1e-3, atol=1e-3
    )


def test_the_loss_is_compiled_where_it_is_asked_for(monkeypatch):
    compiled = []

    def compiles(function):
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compiles)
    monkeypatch.setattr(gradient, "has_compiler", lambda device: True)
    data = ptheta.load_data("moons")
    ptheta.fit(data, "made", steps=2, device="cpu")
    assert not compiled
    ptheta.fit(data, "made", steps=2, device="cpu", compile=True)
    assert [function.__name__ for function in compiled] == ["_loss"]


def test_without_a_compiler_a_fit_goes_on_as_it_would(monkeypatch):
    def fails(function):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", fails)
    devices.has_compiler.cache_clear()
    data = ptheta.load_data("moons")
    plain, compiled = (
        ptheta.fit(data, "made", steps=5, device="cpu", compile=choice) for choice in (False, True)
    )
    devices.has_compiler.cache_clear()
    x = data.test.x[:100]
    assert torch.equal(plain.model.log_prob(x), compiled.model.log_prob(x))


def test_what_has_no_loss_to_compile_says_so():
    with pytest.raises(ptheta.PthetaError, match="nothing to compile"):
        ptheta.fit(ptheta.load_data("moons"), "gmm", steps=2, device="cpu", compile=True)
