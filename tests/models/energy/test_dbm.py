"""The deep Boltzmann machine against sums over all states of all of its layers."""

import pytest
import torch
from deep_machines import states

from ptheta.models.energy.dbm import DBM, layer_input, layer_machines
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, bias_of
from ptheta.random import seeded

SIZES = [(3,), (3, 2), (3, 2, 2), (2, 3, 2, 2)]


def stirred(hidden_features, visible=None, **options):
    with seeded(0), torch.no_grad():
        dbm = DBM(visible or BinaryUnits((4,)), hidden_features, **options).double()
        for parameter in dbm.parameters():
            parameter.add_(0.7 * torch.randn_like(parameter))
    return dbm


def layer_weights(dbm, sizes):
    """The weights between each layer and the next, (lower, upper), read from the joint matrix."""
    found, ends, places = [], [0, 0], []
    for k, size in enumerate((4, *sizes)):
        places.append((ends[k % 2], ends[k % 2] + size))
        ends[k % 2] += size
    weight = dbm.machine.weight
    for k in range(len(sizes)):
        odd, even = (k, k + 1) if k % 2 else (k + 1, k)
        block = weight[slice(*places[odd]), slice(*places[even])]
        found.append(block if k % 2 else block.t())
    return found


def log_joint(dbm, layers):
    """log p(v, h_1, ..., h_L) up to the constant, straight from the definition."""
    sizes = [layer.shape[1] for layer in layers[1:]]
    biases = [bias_of(dbm.even.parts[0])]
    odd = list(dbm.machine.hidden_bias.split(sizes[::2]))
    even = [bias_of(units) for units in dbm.even.parts[1:]]
    biases += [odd[k // 2] if k % 2 == 0 else even[k // 2] for k in range(len(sizes))]
    total = sum(layer @ bias for layer, bias in zip(layers, biases, strict=True))
    for k, weight in enumerate(layer_weights(dbm, sizes)):
        total = total + ((layers[k] @ weight) * layers[k + 1]).sum(dim=1)
    return total


def sums(dbm, sizes):
    """log p(v) up to the constant, for all v, and the log of the constant."""
    every = states(4 + sum(sizes))
    joint = log_joint(dbm, every.split((4, *sizes), dim=1))
    return joint.reshape(16, -1).logsumexp(dim=1), joint.logsumexp(dim=0)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_even_layers_and_the_odd_ones_are_a_machine(sizes):
    dbm = stirred(sizes)
    _, log_z = sums(dbm, sizes)
    torch.testing.assert_close(dbm.machine.log_partition(), log_z)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_mean_field_bound_lies_below_the_likelihood(sizes):
    dbm = stirred(sizes)
    exact, _ = sums(dbm, sizes)
    found = dbm.unnormalized_elbo(states(4))
    assert (found <= exact + 1e-9).all()
    if len(sizes) == 1:
        torch.testing.assert_close(found, exact)
    else:
        assert (found < exact - 1e-4).any()


@pytest.mark.parametrize("sizes", SIZES[1:])
def test_rounds_of_the_mean_field_never_lower_the_bound(sizes):
    x = states(4)
    bounds = [stirred(sizes, mean_field_steps=k).unnormalized_elbo(x) for k in range(8)]
    assert (torch.stack(bounds).diff(dim=0) > -1e-9).all()


def test_the_mean_field_is_where_each_mean_follows_from_the_others():
    dbm, x = stirred((3, 2), mean_field_steps=300), states(4)
    rows = dbm.mean_field(x)
    odd = torch.sigmoid(dbm.machine.hidden_field(rows))
    first, second = layer_weights(dbm, (3, 2))
    expected = torch.sigmoid(odd @ second + bias_of(dbm.even.parts[1]))
    torch.testing.assert_close(rows[:, 4:], expected)
    torch.testing.assert_close(
        odd, torch.sigmoid(x @ first + rows[:, 4:] @ second.t() + dbm.machine.hidden_bias)
    )


def test_weights_between_layers_that_are_not_neighbours_stay_zero():
    dbm = stirred((3, 2, 2))
    optimizer = torch.optim.Adam(dbm.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        dbm.unnormalized_elbo(states(4)).mean().backward()
        optimizer.step()
    # the third hidden layer and the visible units
    assert (dbm.machine.weight[3:, :4] == 0).all()
    assert (dbm.machine.weight[3:, 4:] != 0).all()


def test_the_visible_units_may_be_categories():
    dbm = stirred((3, 2), CategoricalUnits((2,), 3))
    x = torch.tensor([[0, 2], [1, 1]])
    assert dbm.unnormalized_elbo(x).shape == (2,)
    with seeded(0):
        state = dbm.machine.start(5)
        for _ in range(3):
            state = dbm.machine.gibbs(state)
    drawn = dbm.visible_of(state)
    assert drawn.shape == (5, 2)
    assert set(drawn.unique().tolist()) <= {0, 1, 2}


def test_the_layers_machines_double_what_the_deep_machine_has_on_both_sides():
    torch.manual_seed(0)
    visible, x = BinaryUnits((4,)).double(), states(4)
    first, middle, last = (m.double() for m in layer_machines(visible, (3, 2, 5)))
    # twice the field from below, for what will come from above
    seen = layer_input([first], x)
    assert seen.shape == (16, 8)
    half = first.weight[:, :4]
    torch.testing.assert_close(first.hidden_field(seen), 2 * x @ half.t() + first.hidden_bias)
    assert middle.weight.shape == (2, 3)
    assert last.weight.shape == (10, 2)
    torch.testing.assert_close(last.weight[:5], last.weight[5:])
    assert layer_input([first, middle, last], x).shape == (16, 2)


def test_the_deep_machine_has_the_mean_of_the_fields_of_the_machines_it_starts_from():
    torch.manual_seed(0)
    visible, sizes, x = BinaryUnits((4,)).double(), (3, 2, 5), states(4)
    machines = [m.double() for m in layer_machines(visible, sizes)]
    with torch.no_grad():
        for machine in machines:
            for parameter in machine.parameters():
                parameter.add_(torch.randn_like(parameter))
    dbm = DBM(visible, sizes).double()
    dbm.assemble(machines, x)
    first, second, third = layer_weights(dbm, sizes)
    h = [torch.rand(16, n).double() for n in sizes]
    below = machines[0].hidden_field(torch.cat([x, x], dim=1))
    above = h[1] @ machines[1].weight + bias_of(machines[1].visible)
    rows = torch.cat([x, h[1]], dim=1)
    torch.testing.assert_close(dbm.machine.hidden_field(rows)[:, :3], (below + above) / 2)
    below = machines[1].hidden_field(h[0])
    above = torch.cat([h[2], h[2]], dim=1) @ machines[2].weight + bias_of(machines[2].visible)
    found = h[0] @ second + h[2] @ third.t() + bias_of(dbm.even.parts[1])
    torch.testing.assert_close(found, (below + above) / 2)
    # the visible units see the weights of the one copy, the top those of one of its two
    torch.testing.assert_close(first.t(), machines[0].weight[:, :4])
    top = dbm.machine.hidden_field(rows)[:, 3:]
    torch.testing.assert_close(top, machines[2].hidden_field(h[1])[:, :5])
