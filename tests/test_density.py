from functools import partial

import pytest
import torch

from ptheta.data.load import load_data
from ptheta.density import densities, draw
from ptheta.errors import PthetaError
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical, Real


@pytest.mark.parametrize("n", [0, -3])
def test_no_draws_are_refused(n):
    model = build("realnvp", Real((2,))).model
    with pytest.raises(PthetaError, match=f"number of draws must be at least 1, got {n}"):
        draw(model, n)


@pytest.mark.parametrize("code", [3, -1])
def test_a_code_of_no_category_is_refused(code):
    model = build("realnvp", Real((2,)), Categorical(categories=3)).model
    context = torch.tensor([0, code])
    with pytest.raises(ValueError, match=r"expected context of codes from 0 to 2 \(3 categories"):
        draw(model, 2, context)
    with pytest.raises(ValueError, match="expected context of codes from 0 to 2"):
        densities(model, torch.zeros(2, 2), context, space=Real((2,)))


def test_the_estimate_of_a_dear_density_is_right_in_the_mean():
    space = Real((6,))
    model, x = build("residual-flow", space).model, torch.randn(4, 6)
    model.initialize(torch.randn(100, 6))
    exact = densities(model, x, space=space)
    asked = partial(densities, model, x, space=space, verb="log_prob_estimate")
    assert (exact.kind, asked().kind) == ("exact", "estimate")
    draws = torch.stack([asked(seed=seed).values for seed in range(400)])
    error = draws.std(dim=0) / len(draws) ** 0.5
    assert ((draws.mean(dim=0) - exact.values).abs() < 4 * error + 1e-5).all()


@pytest.mark.parametrize("verb", ["elbo", "sample", "likelihood"])
def test_a_density_that_a_model_has_not_is_refused(verb):
    model = build("residual-flow", Real((6,))).model
    sentence = f"verb cannot be '{verb}': .* are log_prob, log_prob_estimate"
    with pytest.raises(PthetaError, match=sentence if verb != "likelihood" else "likelihood"):
        densities(model, torch.zeros(2, 6), space=Real((6,)), verb=verb)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_of_a_split_that_cannot_be_is_refused(seed):
    with pytest.raises(PthetaError, match=f"seed cannot be {seed}: input"):
        load_data("moons", seed=seed)
