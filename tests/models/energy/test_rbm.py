"""The restricted Boltzmann machine against sums over all of its states."""

import math

import pytest
import torch

from ptheta.inference.adapters import WithGibbs
from ptheta.inference.gibbs import BlockGibbs
from ptheta.inference.langevin import MALA
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, GaussianUnits
from ptheta.objectives.accepts import accepts
from ptheta.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from ptheta.objectives.types import Batch
from ptheta.protocols import capabilities
from ptheta.random import seeded

UNITS = {
    "binary": lambda: BinaryUnits((4,)),
    "categorical": lambda: CategoricalUnits((2, 2), 3),
    "gaussian": lambda: GaussianUnits((2,)),
}


def stirred(kind, hidden_features=3):
    """A machine with weights and biases away from their start."""
    with seeded(0), torch.no_grad():
        rbm = RBM(UNITS[kind](), hidden_features).double()
        for parameter in rbm.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return rbm


def every(kind):
    """All states of the visible units, or a grid, with what each of its points stands for."""
    if kind == "gaussian":
        line = torch.linspace(-15, 15, 601, dtype=torch.float64)
        return torch.cartesian_prod(line, line), 2 * math.log(30 / 600)
    values = torch.arange(2 if kind == "binary" else 3)
    x = torch.cartesian_prod(*[values] * 4)
    return (x.double() if kind == "binary" else x.unflatten(1, (2, 2))), 0.0


def hidden_states(features):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * features)


@pytest.mark.parametrize("kind", UNITS)
def test_the_free_energy_is_the_sum_over_all_hidden_states(kind):
    rbm, x = stirred(kind), every(kind)[0][:50]
    h = hidden_states(3)
    joint = (
        rbm.visible.log_base(x)[:, None]
        + rbm.visible.statistics(x) @ rbm.weight.t() @ h.t()
        + h @ rbm.hidden_bias
    )
    torch.testing.assert_close(rbm.unnormalized_log_prob(x), joint.logsumexp(dim=1))


@pytest.mark.parametrize("kind", UNITS)
def test_the_partition_function_is_the_sum_over_all_visible_states(kind):
    rbm, (x, log_cell) = stirred(kind), every(kind)
    total = rbm.unnormalized_log_prob(x).logsumexp(dim=0) + log_cell
    torch.testing.assert_close(rbm.log_partition(), total, rtol=1e-6, atol=1e-6)


def test_the_partition_function_of_many_hidden_units_is_refused():
    with pytest.raises(ValueError, match="25 hidden units is too long.*annealed importance"):
        RBM(BinaryUnits((2,)), 25).log_partition()


@pytest.mark.parametrize("kind", UNITS)
def test_the_units_start_where_they_follow_the_data_one_by_one(kind):
    torch.manual_seed(0)
    rbm = RBM(UNITS[kind](), 3)
    x = rbm.visible.draw(torch.randn(1, rbm.visible.statistics_features).expand(4000, -1))
    rbm.initialize(x)
    drawn = rbm.start(4000)
    statistics = rbm.visible.statistics
    error = statistics(x).std(dim=0) * (2 / 4000) ** 0.5
    assert ((statistics(drawn) - statistics(x)).mean(dim=0).abs() < 4 * error + 1e-3).all()


@pytest.mark.parametrize("kind", ["binary", "categorical"])
def test_a_sweep_leaves_the_machine_invariant(kind):
    torch.manual_seed(0)
    rbm, (x, _) = stirred(kind), every(kind)
    probabilities = rbm.unnormalized_log_prob(x).softmax(dim=0)
    n = 200_000
    start = x[torch.multinomial(probabilities, n, replacement=True)]
    swept = rbm.gibbs(start).flatten(1)
    base = 2 if kind == "binary" else 3
    codes = (swept * base ** torch.arange(3, -1, -1)).sum(dim=1).long()
    found = codes.bincount(minlength=len(x)) / n
    error = (probabilities * (1 - probabilities) / n).sqrt()
    assert ((found - probabilities).abs() < 4.5 * error).all()


def test_a_sweep_leaves_gaussian_units_invariant():
    torch.manual_seed(0)
    rbm, (x, _) = stirred("gaussian"), every("gaussian")
    weights = rbm.unnormalized_log_prob(x).softmax(dim=0)
    start = x[torch.multinomial(weights.float(), 100_000, replacement=True)]
    swept = rbm.gibbs(start)
    moments = torch.cat([x, x.square(), x[:, :1] * x[:, 1:]], dim=1)
    found = torch.cat([swept, swept.square(), swept[:, :1] * swept[:, 1:]], dim=1)
    expected = weights @ moments
    error = found.std(dim=0) / 100_000**0.5
    assert ((found.mean(dim=0) - expected).abs() < 4 * error).all()


@pytest.mark.parametrize("kind", UNITS)
def test_the_gradient_of_long_chains_is_that_of_the_exact_likelihood(kind):
    torch.manual_seed(0)
    rbm, (every_x, _) = stirred(kind), every(kind)
    n = 20_000
    data = rbm.visible.draw(torch.randn(n, rbm.visible.statistics_features).double())
    objective = ContrastiveDivergence(BlockGibbs(), steps=60)
    parameters = list(rbm.parameters())
    losses = [objective.loss(rbm, Batch(rows)).value for rows in data.split(n // 20)]
    found = [torch.autograd.grad(loss, parameters) for loss in losses]
    log_z = rbm.unnormalized_log_prob(every_x).logsumexp(dim=0)
    exact = [
        torch.autograd.grad(
            log_z - rbm.unnormalized_log_prob(rows).mean(), parameters, retain_graph=True
        )
        for rows in data.split(n // 20)
    ]
    for index in range(len(parameters)):
        gaps = torch.stack([a[index] - b[index] for a, b in zip(found, exact, strict=True)])
        error = gaps.std(dim=0) / 20**0.5
        assert (gaps.mean(dim=0).abs() < 5 * error + 1e-12).all()


def test_the_gradient_of_one_step_is_biased_where_chains_mix_slowly():
    torch.manual_seed(0)
    rbm = stirred("binary")
    with torch.no_grad():
        rbm.weight.mul_(6)
    x = torch.zeros(20_000, 4).double()
    loss = ContrastiveDivergence(BlockGibbs(), steps=1).loss(rbm, Batch(x)).value
    log_z = rbm.log_partition()
    exact = torch.autograd.grad(log_z - rbm.unnormalized_log_prob(x).mean(), rbm.weight)[0]
    found = torch.autograd.grad(loss, rbm.weight)[0]
    assert (found - exact).norm() > 0.2 * exact.norm()


def test_persistent_chains_of_codes_live_on():
    torch.manual_seed(0)
    rbm = RBM(CategoricalUnits((2,), 3), 4)
    objective = PersistentContrastiveDivergence(
        BlockGibbs(), (2,), chains=16, start=lambda shape: torch.randint(0, 3, shape)
    )
    before = objective.chains.clone()
    objective.loss(rbm, Batch(torch.zeros(16, 2, dtype=torch.long))).value.backward()
    assert objective.chains.dtype == torch.long
    assert (objective.chains != before).any()
    assert objective.chains.min() >= 0
    assert objective.chains.max() <= 2


def test_draws_follow_the_machine():
    torch.manual_seed(0)
    rbm, (x, _) = stirred("binary"), every("binary")
    model = WithGibbs(rbm, steps=100)
    assert capabilities(model) == ("sample", "unnormalized_log_prob")
    codes = (model.sample(100_000) * 2 ** torch.arange(3, -1, -1)).sum(dim=1).long()
    probabilities = rbm.unnormalized_log_prob(x).softmax(dim=0)
    error = (probabilities * (1 - probabilities) / 100_000).sqrt()
    assert ((codes.bincount(minlength=16) / 100_000 - probabilities).abs() < 4.5 * error).all()


def test_a_sweep_needs_a_model_that_has_one():
    rbm = stirred("binary")
    energy = torch.nn.Module()
    energy.unnormalized_log_prob = lambda x, context=None: -x.sum(dim=1)
    by_gibbs = ContrastiveDivergence(BlockGibbs())
    assert accepts(by_gibbs, rbm)
    assert not accepts(by_gibbs, energy)
    assert accepts(ContrastiveDivergence(MALA(0.1)), energy)


def test_a_machine_has_no_context():
    rbm = RBM(BinaryUnits((4,)), 3)
    with pytest.raises(ValueError, match="fitted without context"):
        rbm.unnormalized_log_prob(torch.zeros(2, 4), torch.zeros(2))
    with pytest.raises(ValueError, match="fitted without context"):
        rbm.gibbs(torch.zeros(2, 4), torch.zeros(2))
