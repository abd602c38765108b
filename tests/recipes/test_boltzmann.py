"""What is said of Boltzmann machines alone; what is said of every recipe is tested there."""

import math

import pytest
import torch

import ptheta
from ptheta.data.dataset import Data, Split
from ptheta.errors import PthetaError
from ptheta.models.energy.dbm import layer_input, layer_machines
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, GaussianUnits
from ptheta.random import seeded
from ptheta.recipes.energy.visible import visible_units
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Space, Table


def one_mostly(space: Space, rows: int) -> Data:
    """All values of a row the same code, but for four in ten of them, which are any.

    So many tie the codes together: objectives that look at neighbours alone are slow to weigh
    modes that lie far apart.
    """
    categories = space.categories if isinstance(space, Categorical) else 2

    def drawn(n: int) -> Split:
        x = torch.randint(categories, (n, 1)).expand(n, 4)
        any_code = torch.randint(categories, (n, 4))
        return Split(torch.where(torch.rand(n, 4) < 0.4, any_code, x).to(space.dtype))

    with seeded(0):
        return Data("codes", space, drawn(rows), drawn(2000), drawn(2000))


@pytest.mark.parametrize(
    ("space", "objective"),
    [
        (Binary((4,)), "pcd"),
        (Binary((4,)), "pseudolikelihood"),
        (Binary((4,)), "ratio-matching"),
        (Categorical((4,), 3), "pcd"),
        (Categorical((4,), 3), "pseudolikelihood"),
    ],
    ids=str,
)
def test_consistent_objectives_find_the_distribution(space, objective):
    data = one_mostly(space, 4000)
    settings = {"objective": objective, "hidden_features": 8, "learning_rate": 0.01}
    run = ptheta.fit(data, "rbm", settings={**settings, "temperatures": 5}, steps=1500, seed=0)
    machine = next(m for m in run.model.modules() if isinstance(m, RBM))
    k = space.categories if isinstance(space, Categorical) else 2
    every = torch.cartesian_prod(*[torch.arange(k)] * 4)
    # the truth: a code by chance, each value of it kept or drawn afresh
    each = torch.full((k, k), 0.4 / k) + 0.6 * torch.eye(k)
    truth = each[:, every].prod(dim=2).mean(dim=0)
    with torch.no_grad():
        found = machine.unnormalized_log_prob(every.float()) - machine.log_partition()
    divergence = (truth * (truth.log() - found)).sum().item()
    # independent values would be 0.29 nats off with two codes, and 0.53 with three
    assert 0 < divergence < 0.03


@pytest.mark.parametrize("objective", ["pseudolikelihood", "ratio-matching"])
@pytest.mark.parametrize("space", [Real((2,)), Discrete((2,), 5)], ids=str)
def test_objectives_on_codes_of_what_is_none_are_one_sentence(objective, space):
    with pytest.raises(PthetaError, match=f"{objective} is for values of two levels or of cat"):
        build("rbm", space, settings={"objective": objective})


def test_ratio_matching_of_categories_is_one_sentence():
    with pytest.raises(PthetaError, match=r"of two levels, and these have 3; take objective=ps"):
        build("rbm", Categorical((4,), 3), settings={"objective": "ratio-matching"})


def test_a_machine_of_a_mixed_table_has_units_of_each_kind_and_integrates_to_one():
    columns = (
        Column("height", Real()),
        Column("smoker", Discrete(levels=2)),
        Column("town", Categorical(categories=3)),
    )
    with seeded(0):
        x = torch.stack(
            [170 + 10 * torch.randn(400), *torch.randint(2, (2, 400)).float()], dim=1
        ).double()
        model = build("rbm", Table(columns), settings={"hidden_features": 4}).model
        model.initialize(x)
        machine = next(m for m in model.modules() if isinstance(m, RBM))
        with torch.no_grad():
            machine.weight.normal_()
    kinds = [type(part) for part in machine.visible.parts]
    assert kinds == [GaussianUnits, BinaryUnits, CategoricalUnits]
    heights = torch.linspace(0, 340, 3401, dtype=torch.float64)
    codes = torch.arange(3.0, dtype=torch.float64)
    rows = torch.cartesian_prod(heights, codes[:2], codes)
    model.eval()
    with torch.no_grad():
        total = model.unnormalized_log_prob(rows).logsumexp(dim=0) + math.log(0.1)
        # the bridge counts the unit of the heights
        torch.testing.assert_close(total.float(), machine.log_partition(), rtol=0, atol=1e-3)
    draws = model.sample(50)
    assert Table(columns).contains(draws).all()


def test_counts_in_a_mixed_table_are_made_real():
    columns = (Column("children", Discrete(levels=9)), Column("town", Categorical(categories=3)))
    units, bridge = visible_units(Table(columns))
    assert [type(part) for part in units.parts] == [GaussianUnits, CategoricalUnits]
    assert bridge.stochastic
    x = torch.tensor([[3.0, 2.0], [8.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    bridge.initialize(x)
    u, _ = bridge.to_reals(x)
    assert torch.equal(u[:, 1], x[:, 1].float())
    assert torch.equal(bridge.to_data(u), x)


def test_gaps_in_a_mixed_table_are_one_sentence():
    columns = (Column("age", Real(), missing=True), Column("town", Categorical(categories=3)))
    with pytest.raises(PthetaError, match=r"missing values cannot be mapped.*'age'"):
        build("rbm", Table(columns))


def test_layers_of_a_deep_machine_of_a_mixed_table_see_one_copy_or_two():
    columns = (Column("height", Real()), Column("town", Categorical(categories=3)))
    x = torch.randn(5, 2)
    for layers, copies in ((1, 1), (2, 2)):
        machines = layer_machines(visible_units(Table(columns))[0], [4] * layers)
        assert torch.equal(layer_input(machines[:1], x), torch.cat([x] * copies, dim=1))


def test_bits_are_bits_whatever_stands_beside_them():
    columns = (Column("a", Real()), Column("b", Discrete((), 2)), Column("c", Discrete((), 2)))
    units, _ = visible_units(Table(columns))
    assert [type(part).__name__ for part in units.parts] == ["GaussianUnits", "BinaryUnits"]
    # a table of numbers alone is one piece
    assert isinstance(visible_units(Table(columns[:1]))[0], GaussianUnits)
