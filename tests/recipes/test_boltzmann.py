"""What is said of Boltzmann machines alone; what is said of every recipe is tested there."""

import pytest
import torch

import ptheta
from ptheta.data.dataset import Data, Split
from ptheta.errors import PthetaError
from ptheta.models.energy.rbm import RBM
from ptheta.random import seeded
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Discrete, Real, Space


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
