"""The deep belief network against sums over all states of all of its layers."""

import pytest
import torch
from deep_machines import states
from torch.nn import functional as F

from ptheta.models.energy.dbn import DBN
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, bias_of
from ptheta.objectives.layers import UpDown
from ptheta.objectives.types import Batch
from ptheta.random import seeded


def stirred(hidden_features, depth, visible=None):
    with seeded(0), torch.no_grad():
        dbn = DBN(visible or BinaryUnits((4,)), hidden_features).double()
        x = states(4)
        for _ in range(depth - 1):
            dbn.grow(x)
        for parameter in dbn.parameters():
            parameter.add_(0.7 * torch.randn_like(parameter))
    return dbn


def log_prob(dbn, x):
    """log p(x) by sums over all states of the hidden layers, from the top down."""
    machine = dbn.machine
    layer = states(machine.visible.shape[0]) if dbn.depth > 1 else x
    found = machine.unnormalized_log_prob(layer) - machine.log_partition()
    for k in reversed(range(int(dbn.depth) - 1)):
        below = x if k == 0 else states(dbn.machines[k].visible.shape[0])
        n = len(layer)
        each = [
            dbn.machines[k].visible.log_prob(row.expand(n, -1), layer @ dbn.generative[k])
            for row in below
        ]
        found = torch.stack([(e + found).logsumexp(dim=0) for e in each])
        layer = below
    return found


def mean_bound(dbn, x):
    """The bound, its expectation taken exactly, for two machines."""
    field = dbn.machines[0].hidden_field(x)
    hidden = states(field.shape[1])
    log_q = (hidden * field[:, None]).sum(dim=-1) - F.softplus(field).sum(dim=1, keepdim=True)
    log_p = torch.stack(
        [
            dbn.machines[0].visible.log_prob(
                row.expand(len(hidden), -1), hidden @ dbn.generative[0]
            )
            for row in x
        ]
    )
    top = dbn.machine.unnormalized_log_prob(hidden) - dbn.machine.log_partition()
    return (log_q.exp() * (log_p + top - log_q)).sum(dim=1)


@pytest.mark.parametrize("hidden_features", [(3,), (3, 2), (3, 4, 2)])
def test_all_densities_sum_to_one_and_the_bound_bounds(hidden_features):
    torch.manual_seed(0)
    dbn, x = stirred(hidden_features, len(hidden_features)), states(4)
    exact = log_prob(dbn, x)
    assert exact.exp().sum().item() == pytest.approx(1)
    n = 4000
    draws = torch.stack([dbn.unnormalized_elbo(x) for _ in range(n)]) - dbn.machine.log_partition()
    error = draws.std(dim=0) / n**0.5
    assert (draws.mean(dim=0) < exact + 4 * error + 1e-9).all()
    # each draw is the log of an unbiased estimate of the density
    weights = draws.exp()
    spread = weights.std(dim=0) / n**0.5
    assert ((weights.mean(dim=0) - exact.exp()).abs() < 5 * spread + 1e-9).all()


def test_the_bound_has_the_mean_that_sums_give():
    torch.manual_seed(0)
    dbn, x, n = stirred((3, 2), 2), states(4), 4000
    draws = torch.stack([dbn.unnormalized_elbo(x) for _ in range(n)]) - dbn.machine.log_partition()
    error = draws.std(dim=0) / n**0.5
    assert ((draws.mean(dim=0) - mean_bound(dbn, x)).abs() < 4 * error).all()


def test_growing_a_machine_upside_down_leaves_every_density_as_it_was():
    dbn, x = stirred((3, 4), 1), states(4)
    before = log_prob(dbn, x)
    dbn.grow(x)
    torch.testing.assert_close(log_prob(dbn, x), before)
    # and the bound touches it, for the layer below recognises as its machine did
    torch.testing.assert_close(mean_bound(dbn, x), before)


def test_stacking_never_lowers_the_bound():
    torch.manual_seed(0)
    dbn, x = stirred((3, 4), 1), states(4)
    data = torch.tensor([0.0, 3, 0, 1, 0, 0, 5, 0, 2, 0, 0, 0, 4, 0, 1, 0]).double()
    data = data / data.sum()
    dbn.grow(x)
    posterior = torch.sigmoid(dbn.machines[0].hidden_field(x)).detach()
    hidden = states(3)
    q = (hidden * posterior[:, None].log() + (1 - hidden) * (-posterior[:, None]).log1p()).sum(-1)
    seen = data @ q.exp()  # what the upper machine is fitted to
    optimizer = torch.optim.SGD(dbn.machine.parameters(), lr=0.2)
    likelihoods, bounds = [], []
    for _ in range(50):
        fitted = dbn.machine.unnormalized_log_prob(hidden) - dbn.machine.log_partition()
        likelihoods.append((seen @ fitted).item())
        bounds.append((data @ mean_bound(dbn, x)).item())
        optimizer.zero_grad()
        (-(seen @ fitted)).backward()
        optimizer.step()
    rises = torch.tensor(likelihoods, dtype=torch.float64).diff()
    assert (rises > 0).all()
    # what the upper machine gains on its data, the bound on the data gains
    found = torch.tensor(bounds, dtype=torch.float64).diff()
    torch.testing.assert_close(found, rises, rtol=1e-7, atol=1e-9)


def test_a_machine_of_another_size_starts_where_it_follows_the_layer_below():
    torch.manual_seed(0)
    dbn = stirred((3, 2), 1)
    x = states(4)[torch.randint(16, (2000,))]
    expected = torch.sigmoid(dbn.machines[0].hidden_field(x)).mean(dim=0)
    dbn.grow(x)
    found = torch.sigmoid(bias_of(dbn.machine.visible))
    assert ((found - expected).abs() < 4 * 0.5 / 2000**0.5).all()


def test_draws_follow_the_density():
    torch.manual_seed(0)
    dbn, x = stirred((3, 2), 2), states(4)
    hidden = states(3)
    top = (dbn.machine.unnormalized_log_prob(hidden) - dbn.machine.log_partition()).exp()
    n = 100_000
    drawn = dbn.visible_of(hidden[torch.multinomial(top, n, replacement=True)])
    codes = (drawn @ torch.tensor([8.0, 4, 2, 1], dtype=torch.float64)).long()
    found, expected = codes.bincount(minlength=16) / n, log_prob(dbn, x).exp()
    assert ((found - expected).abs() < 4.5 * (expected * (1 - expected) / n).sqrt()).all()


def test_units_of_categories_generate_too():
    dbn = DBN(CategoricalUnits((2,), 3), (3, 2))
    x = torch.tensor([[0, 2], [1, 1]])
    dbn.initialize(x)
    dbn.grow(x)
    drawn = dbn.visible_of(torch.zeros(5, 3))
    assert drawn.shape == (5, 2)
    assert drawn.max() < 3
    assert dbn.unnormalized_elbo(x).shape == (2,)


def test_up_down_trains_each_set_of_weights_by_its_own_term():
    torch.manual_seed(0)
    dbn, x = stirred((3, 2), 2), states(4)
    found = UpDown(steps=1).loss(dbn, Batch(x))
    found.value.backward()
    recognition, generation = dbn.machines[0].weight.grad, dbn.generative[0].grad
    torch.manual_seed(0)
    awake = dbn.recognise(x)
    top = dbn.machine.gibbs(awake[-1])
    asleep = dbn.generate(top)
    # the delta rules of the paper: what was there less what was expected, times what it came from
    visible = dbn.machines[0].visible
    expected = torch.sigmoid(awake[1] @ dbn.generative[0] + bias_of(visible))
    torch.testing.assert_close(generation, -(awake[1].t() @ (awake[0] - expected)) / len(x))
    guessed = torch.sigmoid(dbn.machines[0].hidden_field(asleep[0]))
    torch.testing.assert_close(recognition, -((asleep[1] - guessed).t() @ asleep[0]) / len(x))
    contrast = dbn.machine.unnormalized_log_prob(top) - dbn.machine.unnormalized_log_prob(awake[1])
    (expected,) = torch.autograd.grad(contrast.mean(), dbn.machine.weight)
    torch.testing.assert_close(dbn.machine.weight.grad, expected)
