"""What is said of `gan`, `ebm` and `ncsn` together."""

import math

import pytest
import torch
from lightning_fabric import Fabric

from ptheta.objectives.types import Batch
from ptheta.protocols import density_kind
from ptheta.recipes.registry import build
from ptheta.spaces import Discrete, Real

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
        ("ebm", 4000, {"objective": "nce"}),
        ("ebm", 4000, {"objective": "fce"}),
        ("ncsn", 3000, {}),
        ("ddpm", 3000, {}),
        ("ddpm", 3000, {"schedule": "linear", "sampler": "multistep", "sample_steps": 40}),
        ("score-sde", 3000, {}),
        ("flow-matching", 3000, {}),
        ("flow-matching", 3000, {"optimal_transport": True}),
    ],
)
def test_all_modes_are_covered(name, steps, settings):
    x = trained(name, steps, **settings).sample(2000)
    distance, nearest = torch.cdist(x, CENTRES).min(dim=1)
    near = distance < 0.9  # three standard deviations
    # of 2000 true draws each mode has 247, give or take 15
    assert torch.bincount(nearest[near], minlength=8).min() > 80
    assert near.float().mean() > 0.8


def test_densities_are_what_they_say():
    space = Discrete((1, 2, 2), 5, layout="image")
    kinds = {name: density_kind(build(name, space).model) for name in ("gan", "ebm", "ncsn")}
    assert kinds == {"gan": "none", "ebm": "unnormalised", "ncsn": "none"}
    for objective in ("nce", "fce"):
        model = build("ebm", space, settings={"objective": objective}).model
        assert density_kind(model) == "estimate"
