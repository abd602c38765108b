"""What is said of `discrete-ebm` alone; what is said of every recipe is tested there."""

import pytest
import torch
from test_boltzmann import one_mostly

import ptheta
from ptheta.errors import PthetaError
from ptheta.inference.discrete_langevin import DiscreteLangevin
from ptheta.inference.gibbs_with_gradients import GibbsWithGradients
from ptheta.inference.value_gibbs import ValueGibbs
from ptheta.models.energy.discrete import DiscreteEnergy
from ptheta.protocols import capabilities
from ptheta.recipes.registry import build, find
from ptheta.recipes.settings import refuse_idle
from ptheta.spaces import Binary, Categorical, Discrete, Real

KERNELS = {"langevin": DiscreteLangevin, "gibbs-with-gradients": GibbsWithGradients,
           "gibbs": ValueGibbs}  # fmt: skip


ANNEALED = {"constant": "annealed", "temperatures": 100}
SMALL = {"hidden_features": 32, "learning_rate": 3e-3, **ANNEALED}


@pytest.mark.parametrize(
    ("space", "settings", "steps"),
    [
        (Binary((4,)), {"objective": "pcd"}, 600),
        pytest.param(
            Binary((4,)), {"objective": "cd", "kernel": "gibbs"}, 600, marks=pytest.mark.slow
        ),
        (Binary((4,)), {"objective": "ratio-matching"}, 800),
        pytest.param(
            Categorical((4,), 3),
            {"objective": "pcd", "kernel": "gibbs-with-gradients"},
            600,
            marks=pytest.mark.slow,
        ),
        (Categorical((4,), 3), {"objective": "pseudolikelihood"}, 800),
    ],
    ids=str,
)
def test_consistent_objectives_find_the_distribution(space, settings, steps):
    data = one_mostly(space, 4000)
    run = ptheta.fit(data, "discrete-ebm", settings={**SMALL, **settings}, steps=steps, seed=0)
    energy = next(m for m in run.model.modules() if isinstance(m, DiscreteEnergy))
    k = space.categories if isinstance(space, Categorical) else 2
    every = torch.cartesian_prod(*[torch.arange(k)] * 4)
    each = torch.full((k, k), 0.4 / k) + 0.6 * torch.eye(k)
    truth = each[:, every].prod(dim=2).mean(dim=0)
    with torch.no_grad():
        found = energy.unnormalized_log_prob(every).log_softmax(dim=0)
        estimate = run.model.log_prob_estimate(every.to(space.dtype))
    divergence = (truth * (truth.log() - found)).sum().item()
    alone = (truth * truth.log()).sum().item() + 4 * torch.tensor(k).log().item()
    # a sample of 4000 rows leaves half a state in 4000 for each of the 80 that are free: 0.01
    assert divergence < 0.025 < alone / 10
    # the constant by a hundred temperatures
    torch.testing.assert_close(estimate, found, atol=0.05, rtol=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_its_kernel_is_one_setting(kernel):
    algorithm = build("discrete-ebm", Binary((4,)), settings={"kernel": kernel, **ANNEALED})
    drawn = algorithm.model.model
    assert isinstance(algorithm.learner.objective.kernel, KERNELS[kernel])
    assert isinstance(drawn.kernel, KERNELS[kernel])
    assert isinstance(drawn.constant.kernel, KERNELS[kernel])


def test_its_mass_has_a_constant_where_one_is_asked_for():
    space, given = Binary((4,)), Categorical(categories=3)
    free = ("sample", "unnormalized_log_prob")
    for context in (None, given):
        assert capabilities(build("discrete-ebm", space, context).model) == free
    model = build("discrete-ebm", space, None, ANNEALED).model
    assert capabilities(model) == ("sample", "log_prob_estimate", "unnormalized_log_prob")
    with pytest.raises(PthetaError, match="each context has a constant of its own"):
        build("discrete-ebm", space, given, ANNEALED)
    with pytest.raises(PthetaError, match="'temperatures' of discrete-ebm does nothing with const"):
        refuse_idle("discrete-ebm", find("discrete-ebm"), {"temperatures": 10})


@pytest.mark.parametrize("space", [Real((2,)), Discrete((2,), 65), Categorical((2,), 65)], ids=str)
def test_what_is_no_code_is_refused(space):
    with pytest.raises(PthetaError, match="the same number of levels or categories, up to 64, and"):
        build("discrete-ebm", space)


def test_ratios_are_of_two_levels():
    with pytest.raises(PthetaError, match="and these have 3; take objective=pseudolikelihood"):
        build("discrete-ebm", Categorical((2,), 3), settings={"objective": "ratio-matching"})
