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


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_of_a_split_that_cannot_be_is_refused(seed):
    with pytest.raises(PthetaError, match=f"seed cannot be {seed}: input"):
        load_data("moons", seed=seed)
