"""Kernels of codes, against sums over all states of small energies."""

import pytest
import torch
from torch import nn

from ptheta.inference.annealed_constant import AnnealedConstant
from ptheta.inference.discrete_langevin import DiscreteLangevin
from ptheta.inference.gibbs_with_gradients import GibbsWithGradients
from ptheta.inference.kernels import Target, run
from ptheta.inference.local_proposals import drawn
from ptheta.inference.value_gibbs import ValueGibbs
from ptheta.models.energy.discrete import DiscreteEnergy
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits
from ptheta.spaces import Categorical

CASES = [
    pytest.param(lambda: BinaryUnits((2, 2)), 2, id="binary"),
    pytest.param(lambda: CategoricalUnits((4,), 3), 3, id="categories"),
]
KERNELS = {
    "langevin": lambda codes: DiscreteLangevin(1.0),
    "gradients": lambda codes: GibbsWithGradients(2),
    "gibbs": lambda codes: ValueGibbs(codes, 2),
}


def rough(units, told=0):
    """A density that no independent values follow."""
    network = nn.Sequential(
        nn.Linear(units.statistics_features + told, 16), nn.Tanh(), nn.Linear(16, 1)
    )
    energy = DiscreteEnergy(units, network, Categorical(categories=told) if told else None)
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.add_(torch.randn_like(parameter))
    return energy.double()


def every(units, codes):
    states = torch.cartesian_prod(*[torch.arange(codes)] * 4)
    return states.reshape(-1, *units.shape)


def index(x, codes):
    return (x.flatten(1).long() * codes ** torch.arange(3, -1, -1)).sum(dim=1)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize(("units", "codes"), CASES)
def test_the_density_stays_as_it_is(kernel, units, codes):
    torch.manual_seed(0)
    energy = rough(units())
    states = every(energy.visible, codes)
    probabilities = energy.unnormalized_log_prob(states).softmax(dim=0).detach()
    n = 200_000
    start = states[torch.multinomial(probabilities, n, replacement=True)]
    transition, target = kernel(codes), Target(energy)
    state = transition.step(target, transition.init(target, start))
    # chains that stand still would be no test
    assert (state.x != start).flatten(1).any(dim=1).double().mean() > 0.2
    assert state.x.dtype == start.dtype
    found = index(state.x, codes).bincount(minlength=len(states)) / n
    error = (probabilities * (1 - probabilities) / n).sqrt()
    # 81 shares at most: 4.5 standard errors
    assert ((found - probabilities).abs() < 4.5 * error + 4.5 / n).all()


@pytest.mark.parametrize("kernel", [GibbsWithGradients(), DiscreteLangevin(1.0)], ids=str)
def test_some_proposals_of_a_rough_density_are_refused_and_none_of_a_flat_one(kernel):
    torch.manual_seed(0)
    for energy, least, most in ((rough(BinaryUnits((2, 2))), 0.2, 0.95), (flat(), 1.0, 1.0)):
        target = Target(energy)
        state = kernel.step(target, kernel.init(target, energy.start(2000)))
        assert least <= state.acceptance <= most


def flat():
    energy = rough(BinaryUnits((2, 2)))
    for parameter in energy.parameters():
        parameter.data.zero_()
    return energy


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_every_chain_has_a_context_of_its_own(kernel):
    torch.manual_seed(0)
    energy = rough(BinaryUnits((4,)), told=2)
    states, n = every(energy.visible, 2), 20_000
    context = torch.arange(n) % 2
    target = Target(energy, context)
    transition = kernel(2)
    state = run(transition, target, transition.init(target, energy.start(n)), 40)
    for label in (0, 1):
        given = torch.full((len(states),), label)
        truth = energy.unnormalized_log_prob(states, given).softmax(dim=0).detach()
        found = index(state.x[context == label], 2).bincount(minlength=16) / (n / 2)
        error = (truth * (1 - truth) / (n / 2)).sqrt()
        # what chains have not yet forgotten of their start adds to 4.5 standard errors
        assert ((found - truth).abs() < 4.5 * error + 0.005).all()


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize(("units", "codes"), CASES)
def test_constants_are_annealed_by_them_from_both_ends(kernel, units, codes):
    torch.manual_seed(0)
    energy = rough(units())
    truth = energy.unnormalized_log_prob(every(energy.visible, codes)).logsumexp(dim=0).item()
    constant = AnnealedConstant(temperatures=300, chains=400, kernel=kernel(codes))
    found = constant.bracket(energy, steps=100)
    assert abs(found.low - truth) < 4 * found.low_error + 1e-3
    assert abs(found.high - truth) < 4 * found.high_error + 1e-3
    assert found.low_error < 0.1


def test_steps_of_codes_are_tuned_to_an_acceptance_and_then_held_still():
    torch.manual_seed(0)
    energy = rough(BinaryUnits((30,)))
    kernel, target = DiscreteLangevin(5.0, target=0.574), Target(energy)
    state = run(kernel, target, kernel.init(target, energy.start(500)), 300)
    settled = run(kernel.settled(), target, state, 50)
    assert settled.step_size == state.step_size != 5.0
    # around the target goes the acceptance of one step
    assert settled.acceptance == pytest.approx(0.574, abs=0.1)


def test_draws_follow_their_logits_and_what_has_no_mass_is_never_drawn():
    torch.manual_seed(0)
    masses = torch.tensor([0.0, 0.2, 0.0, 0.7, 0.1, 0.0])
    n = 100_000
    found = drawn(masses.log().expand(n, 6)).bincount(minlength=6) / n
    error = (masses * (1 - masses) / n).sqrt()
    assert ((found - masses).abs() <= 4.5 * error).all()


def test_a_transition_without_an_update_is_one_sentence():
    with pytest.raises(ValueError, match="the step of a kernel is a number above 0"):
        DiscreteLangevin(0.0)
    with pytest.raises(ValueError, match="makes a proposal or more"):
        GibbsWithGradients(0)
    with pytest.raises(ValueError, match="two codes or more"):
        ValueGibbs(1)
    with pytest.raises(ValueError, match="draws a value or more"):
        ValueGibbs(2, updates=0)
