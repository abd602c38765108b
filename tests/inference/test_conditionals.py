"""Marginals along Gibbs chains against sums over all states."""

import pytest
import torch
from grids import evidence, marginals, stirred

from ptheta.inference.conditionals import gibbs_marginals
from ptheta.inference.kernels import Target


@pytest.mark.parametrize(("shape", "states"), [((3, 3), 2), ((2, 3), 3), ((1, 2, 3), 3)], ids=str)
def test_marginals_are_those_of_the_sum_over_all_states(shape, states):
    torch.manual_seed(0)
    field, chains = stirred(shape, states), 1500
    context = evidence(1, shape, states)
    target = Target(field, context.expand(chains, *context.shape[1:]))
    x = torch.zeros(chains, *shape, dtype=torch.uint8)
    found = gibbs_marginals(target, x, sweeps=15, burn_in=30)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones_like(found[..., 0]))
    # chains are independent, so that their spread is the error; 18 probabilities at most
    error = found.std(dim=0) / chains**0.5
    assert ((found.mean(dim=0) - marginals(field, context)[0]).abs() < 4 * error).all()


def test_averages_of_conditionals_vary_less_than_draws():
    torch.manual_seed(0)
    field, chains = stirred((3, 3), 2, scale=0.4), 1000
    x = torch.zeros(chains, 3, 3, dtype=torch.long)
    by_conditionals = gibbs_marginals(Target(field), x, sweeps=1)[..., 1]
    for _ in range(21):
        x = field.gibbs(x)
    assert (by_conditionals.var(dim=0) < 0.5 * x.double().var(dim=0)).all()


@pytest.mark.parametrize("settings", [{"sweeps": 0}, {"burn_in": -1}])
def test_numbers_of_sweeps_out_of_bounds_are_refused(settings):
    with pytest.raises(ValueError, match="expected one sweep or more, after none or more"):
        gibbs_marginals(Target(stirred((2, 2))), torch.zeros(1, 2, 2), **settings)
