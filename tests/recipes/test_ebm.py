"""What is said of `ebm` alone; what is said of every recipe is tested there."""

import math

import pytest
import torch
from lightning_fabric import Fabric

from ptheta.errors import PthetaError
from ptheta.inference.adapters import WithMCMC
from ptheta.models.energy.energy import Energy
from ptheta.networks.downsampling import DownsamplingCNN
from ptheta.objectives.accepts import accepts
from ptheta.objectives.score_matching import ScoreMatching
from ptheta.objectives.types import Batch
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Discrete, Positive, Real

OBJECTIVES = ("pcd", "cd", "sm", "ssm", "dsm", "mdsm", "nce", "fce")


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("space", [Real((2,)), Binary((3,))], ids=str)
def test_the_objectives_of_ebm_are_one_setting_apart(objective, space):
    algorithm = build("ebm", space, settings={"objective": objective})
    torch.manual_seed(0)
    x = torch.randn(40, 2) if isinstance(space, Real) else torch.randint(2, (40, 3))
    algorithm.model.initialize(x)
    algorithm.learner.setup(Fabric(accelerator="cpu", devices=1))
    energy = next(m for m in algorithm.model.modules() if isinstance(m, Energy))
    before = [p.detach().clone() for p in energy.parameters()]
    assert math.isfinite(algorithm.learner.step(Batch(x))["loss"])
    assert accepts(algorithm.learner.objective, algorithm.learner.model)
    # all of the same network learns, but for the constant where an objective sees slopes alone
    moved = [not torch.equal(p, q) for p, q in zip(energy.parameters(), before, strict=True)]
    assert all(moved[:-1])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_energies_of_images_may_be_convolutions_of_bounded_slope(objective):
    space = Discrete((1, 5, 4), 4, layout="image")
    settings = {"objective": objective, "network": "cnn", "spectral_norm": 0.7}
    algorithm = build("ebm", space, settings=settings)
    torch.manual_seed(0)
    x = torch.randint(4, (40, 1, 5, 4))
    algorithm.model.initialize(x)
    algorithm.learner.setup(Fabric(accelerator="cpu", devices=1))
    assert math.isfinite(algorithm.learner.step(Batch(x))["loss"])
    energy = next(m for m in algorithm.model.modules() if isinstance(m, Energy))
    assert isinstance(energy.network, DownsamplingCNN)
    far = 5 * torch.randn(200, 20)
    # sides of 5 and 4 are halved once; the gain of 3 is on what goes in and what comes out
    bent = energy.score(far) + far
    assert bent.norm(dim=1).max() <= 3 * 3 * 0.7**2 * 1.1
    assert "lipschitz" in algorithm.constraints
    assert not build("ebm", space).constraints


def test_convolutions_of_what_is_no_image_are_one_sentence():
    with pytest.raises(PthetaError, match="network=cnn is for images, and this is"):
        build("ebm", Real((2,)), settings={"network": "cnn"})


def test_an_unknown_objective_is_one_sentence():
    with pytest.raises(PthetaError, match="objective"):
        build("ebm", Real((2,)), settings={"objective": "kl"})


@pytest.mark.parametrize("objective", ["dsm", "mdsm"])
def test_denoising_without_noise_is_one_sentence(objective):
    with pytest.raises(PthetaError, match=f"{objective} learns to take noise off"):
        build("ebm", Real((2,)), settings={"objective": objective, "noise": 0.0})


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_ebm_takes_off_the_noise_that_training_puts_on(objective):
    for space in (Real((2,)), Binary((3,))):
        algorithm = build("ebm", space, settings={"objective": objective})
        chain, learnt = algorithm.model.model, algorithm.learner.objective
        assert isinstance(chain, WithMCMC)
        put_on = learnt.sigma if objective in ("dsm", "mdsm") else learnt.noise
        assert chain.jump == put_on


@pytest.mark.parametrize("kernel", ["mala", "ula", "random-walk"])
def test_ebm_is_drawn_from_by_any_kernel(kernel):
    torch.manual_seed(0)
    model = build("ebm", Real((2,)), settings={"kernel": kernel}).model
    energy = next(m for m in model.modules() if isinstance(m, Energy))
    for parameter in energy.network.parameters():
        parameter.data.zero_()  # what is left is the standard normal
    model.initialize(torch.randn(100, 2))
    drawn = model.model.sample(4000)
    # starts are of that law already: it stays, to 4 standard errors and the bias of ula of 0.25 %
    assert abs(drawn.var() - 1) < 4 * math.sqrt(2 / 8000) + 0.003


@pytest.mark.parametrize(("rows", "objective"), [(40, "nce"), (40, "fce"), (150, "nce")])
def test_the_constant_holds_where_rows_are_fewer_than_values(rows, objective):
    # against a covariance of no width the constant is that of a sheet: hundreds of nats were lost
    torch.manual_seed(0)
    algorithm = build("ebm", Real((100,)), None, {"objective": objective})
    x = torch.rand(rows, 100)
    algorithm.model.initialize(x)
    with torch.no_grad():
        nats = -algorithm.model.log_prob_estimate(torch.rand(500, 100)).mean().item()
    # the volume of the cube is 1, and no density has less than 0 nats of it in the mean
    assert 0 < nats < 50


def test_an_image_is_halved_until_nothing_is_left_to_halve():
    space = Discrete((1, 8, 8), 17, layout="image")
    build("ebm", space, None, {"network": "cnn", "layers": 3, "hidden_features": 2})
    with pytest.raises(PthetaError, match="can be halved 3 times, and layers is 9"):
        build("ebm", space, None, {"network": "cnn", "layers": 9})


def test_the_score_of_a_run_can_be_learnt_by():
    torch.manual_seed(0)
    model = build("ebm", Positive((2,)), settings={"spectral_norm": 1.0}).model
    x = torch.rand(50, 2) + 0.5
    model.initialize(x)
    objective = ScoreMatching()
    assert accepts(objective, model)
    loss = objective.loss(model, Batch(x)).value
    # by the density itself, of which it is the score in the units of the data
    at = x.clone().requires_grad_()
    score = torch.autograd.grad(model.unnormalized_log_prob(at).sum(), at, create_graph=True)[0]
    slopes = [
        torch.autograd.grad(score[:, i].sum(), at, retain_graph=True)[0][:, i] for i in (0, 1)
    ]
    expected = (score.square().sum(dim=1) / 2 + slopes[0] + slopes[1]).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad is not None for p in model.model.model.network.parameters() if p.dim() > 1)
