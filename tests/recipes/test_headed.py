"""The recipes whose models have a head for every kind of value."""

import math

import pytest
import torch

from ptheta.density import densities
from ptheta.errors import PthetaError
from ptheta.protocols import density_kind
from ptheta.recipes.registry import build
from ptheta.spaces import Column, Discrete, Positive, Real, Table

GAPS = Table((Column("size", Real(), missing=True), Column("b", Real())))


def test_made_names_the_columns_with_gaps_and_who_serves_them():
    with pytest.raises(PthetaError, match="'size'.*independent, eonade, vae"):
        build("made", GAPS)


def test_counting_is_not_conditioned_on_numbers():
    with pytest.raises(PthetaError, match="numbers.*made.*realnvp.*vae"):
        build("independent", Real((2,)), Real((1,)))
    with pytest.raises(PthetaError, match="power of two"):
        build("independent", Real((2,)), settings={"bins": 100})


@pytest.mark.parametrize(
    ("name", "kind"), [("independent", "exact"), ("made", "exact"), ("vae", "bound")]
)
@pytest.mark.parametrize("space", [Discrete((2,), 30), Positive((2,)), Real((2,))])
def test_no_space_turns_an_exact_density_into_a_bound(name, kind, space):
    assert density_kind(build(name, space).model) == kind


@pytest.mark.parametrize("name", ["independent", "made"])
def test_the_density_is_of_the_data_in_their_own_units(name):
    # the same data in metres and millimetres differ by log 1000 a value
    metres = torch.randn(300, 1) * 2 + 5
    found = []
    for x in (metres, metres * 1000):
        torch.manual_seed(0)
        model = build(name, Real((1,))).model
        model.initialize(x)
        found.append(densities(model, x, space=Real((1,))).values.mean())
    assert (found[0] - found[1]).item() == pytest.approx(math.log(1000), abs=1e-3)
