"""What is said of `gan`, `ebm` and `ncsn` alone; what is said of every recipe is tested there."""

import math

import pytest
import torch
from lightning_fabric import Fabric

from ptheta.errors import PthetaError
from ptheta.inference.adapters import WithMCMC
from ptheta.objectives.contrastive import PersistentContrastiveDivergence
from ptheta.objectives.score_matching import DenoisingScoreMatching
from ptheta.objectives.types import Batch
from ptheta.protocols import density_kind
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Discrete, Real

CENTRES = 4 * torch.tensor(
    [[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)]
)


def eight_gaussians(n):
    k = torch.randint(8, (n,))
    return CENTRES[k] + 0.3 * torch.randn(n, 2), k


def trained(name, steps, context_space=None, **settings):
    torch.manual_seed(0)
    algorithm = build(name, Real((2,)), context_space, settings)
    x, k = eight_gaussians(20_000)
    algorithm.model.initialize(x)
    algorithm.learner.setup(Fabric(accelerator="cpu", devices=1))
    average = [p.detach().clone() for p in algorithm.model.parameters()]
    for _ in range(steps):
        rows = torch.randint(len(x), (algorithm.batch_size,))
        algorithm.learner.step(Batch(x[rows]))
        torch._foreach_lerp_(average, [p.detach() for p in algorithm.model.parameters()], 0.01)
    for parameter, mean in zip(algorithm.model.parameters(), average, strict=True):
        parameter.data.copy_(mean)
    return algorithm.model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps", "settings"),
    [
        ("gan", 3000, {}),
        ("ebm", 3000, {}),
        ("ebm", 4000, {"objective": "dsm"}),
        ("ncsn", 3000, {}),
    ],
)
def test_all_modes_are_covered(name, steps, settings):
    x = trained(name, steps, **settings).sample(2000)
    distance, nearest = torch.cdist(x, CENTRES).min(dim=1)
    near = distance < 0.9  # three standard deviations
    # of 2000 true draws each mode has 247, give or take 15
    assert torch.bincount(nearest[near], minlength=8).min() > 80
    assert near.float().mean() > 0.8


def test_the_two_objectives_of_ebm_are_one_setting_apart():
    algorithms = {o: build("ebm", Real((2,)), settings={"objective": o}) for o in ("pcd", "dsm")}
    learners = {o: a.learner for o, a in algorithms.items()}
    assert isinstance(learners["pcd"].objective, PersistentContrastiveDivergence)
    assert isinstance(learners["dsm"].objective, DenoisingScoreMatching)
    shapes = [[p.shape for p in a.model.parameters()] for a in algorithms.values()]
    assert shapes[0] == shapes[1]
    with pytest.raises(PthetaError, match="objective"):
        build("ebm", Real((2,)), settings={"objective": "cd"})


def test_ebm_takes_off_the_noise_that_training_puts_on():
    for objective in ("pcd", "dsm"):
        for space in (Real((2,)), Binary((3,))):
            algorithm = build("ebm", space, settings={"objective": objective})
            chain, learnt = algorithm.model.model, algorithm.learner.objective
            assert isinstance(chain, WithMCMC)
            assert chain.jump == getattr(learnt, "noise", None) or chain.jump == learnt.sigma


def test_densities_are_what_they_say():
    space = Discrete((1, 2, 2), 5, layout="image")
    kinds = {name: density_kind(build(name, space).model) for name in ("gan", "ebm", "ncsn")}
    assert kinds == {"gan": "none", "ebm": "unnormalised", "ncsn": "none"}


def test_draws_of_ncsn_cost_about_the_same_at_every_size():
    for shape in ((2,), (64,), (784,)):
        sampler = build("ncsn", Real(shape)).model.model
        assert 100 <= sampler.steps * sampler.model.path.levels <= 350


def test_levels_in_the_wrong_order_are_one_sentence():
    with pytest.raises(PthetaError, match="sigma_min < sigma_max"):
        build("ncsn", Real((2,)), settings={"sigma_min": 3.0, "sigma_max": 1.0})
