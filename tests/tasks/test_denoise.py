"""Noise taken off grids: the posterior of all states on small ones, and handwritten digits."""

from typing import get_args

import pytest
import torch
from lightning_fabric import Fabric
from sklearn.datasets import load_digits
from torch.nn import functional as F

from ptheta.errors import PthetaError
from ptheta.models.energy.pairwise import PairwiseField
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits
from ptheta.objectives.pseudolikelihood import ConditionalPseudolikelihood
from ptheta.objectives.types import Batch
from ptheta.random import seeded
from ptheta.recipes.registry import build
from ptheta.spaces import Discrete
from ptheta.tasks.denoise import Method, SupportsDenoising, denoise, flipping_evidence
from ptheta.training.quasi_newton import QuasiNewtonLearner

METHODS = get_args(Method)
NOISE = 0.1


def stirred(shape, states):
    with seeded(1), torch.no_grad():
        field = PairwiseField(shape, states, tables=True).double()
        for parameter in field.parameters():
            parameter.copy_(0.7 * torch.randn_like(parameter))
    return field


def noised(x, states, noise=NOISE):
    """Each site keeps its state, or takes one of the others at random."""
    other = (x + torch.randint(1, states, x.shape)).remainder(states).to(x.dtype)
    return torch.where(torch.rand(x.shape) < noise, other, x)


@torch.no_grad()
def posterior(field, noisy, noise):
    """The marginals of Bayes' rule, by the sum over all states of a grid, for each row."""
    states, sites = field.states, noisy[0].numel()
    x = torch.cartesian_prod(*[torch.arange(states)] * sites)
    prior = field.unnormalized_log_prob(x.reshape(-1, *field.shape))
    same = (noisy.flatten(1)[:, None] == x).double().sum(dim=2)
    channel = (1 - noise) ** same * (noise / (states - 1)) ** (sites - same)
    shares = (prior.softmax(dim=0) * channel).T
    codes = F.one_hot(x, states).double().flatten(1)
    return (codes.T @ (shares / shares.sum(dim=0))).T.reshape(*noisy.shape, states)


def test_messages_on_a_chain_are_the_posterior():
    torch.manual_seed(0)
    field, noisy = stirred((1, 7), 3), torch.randint(0, 3, (6, 1, 7), dtype=torch.uint8)
    found = denoise(field, noisy, 0.3)
    expected = posterior(field, noisy, 0.3)
    # messages stop within 1e-4 nats of the next ones, and six of them lie between the ends
    torch.testing.assert_close(found.marginals, expected, rtol=0, atol=6e-4)
    assert torch.equal(found.x, expected.argmax(dim=-1).to(torch.uint8))
    assert found.settled.tolist() == [True] * 6


@pytest.mark.parametrize(("shape", "states"), [((3, 3), 2), ((1, 2, 3), 3)], ids=str)
def test_sweeps_give_the_posterior(shape, states):
    torch.manual_seed(0)
    field, chains = stirred(shape, states), 800
    noisy = torch.randint(0, states, (1, *shape))
    found = denoise(field, noisy.expand(chains, *shape), 0.3, method="gibbs", steps=40)
    error = found.marginals.std(dim=0) / chains**0.5
    # chains are independent; 18 probabilities
    gap = found.marginals.mean(dim=0) - posterior(field, noisy, 0.3)[0]
    assert (gap.abs() < 4 * error).all()
    assert found.settled is None


def test_modes_are_no_less_likely_than_what_was_seen():
    torch.manual_seed(0)
    field = stirred((4, 5), 3)
    noisy = torch.randint(0, 3, (50, 4, 5))
    found = denoise(field, noisy, 0.3, method="icm")
    given = flipping_evidence(noisy, 3, 0.3)
    before, after = (field.unnormalized_log_prob(x, given) for x in (noisy, found.x))
    # an image that is such a mode already stays
    assert torch.equal(after > before, (found.x != noisy).flatten(1).any(dim=1))
    assert (after >= before).all()
    assert (after > before).any()
    assert found.settled.all()
    assert found.marginals is None


@pytest.fixture(scope="module")
def digits():
    """A field fitted to clean digits, and others.

    Digits of 8 x 8 are all edges: a field of four neighbours leaves 7 to 9 % of their sites wrong,
    even with couplings that are trained for that. Drawn three times as fine, between their grey
    levels, they are strokes. Copies of sites, as of `numpy.kron`, would not do: none ever differs
    from most of its neighbours, so that the best couplings are infinite.
    """
    grey = torch.tensor(load_digits().images, dtype=torch.float32)[:, None]
    fine = F.interpolate(grey, scale_factor=3, mode="bilinear", align_corners=False)
    x = (fine[torch.randperm(len(fine), generator=torch.Generator().manual_seed(0))] >= 8).byte()
    half = len(x) // 2
    field = PairwiseField((1, 24, 24)).double()
    field.initialize(x[:100])
    learner = QuasiNewtonLearner(field, ConditionalPseudolikelihood(), tolerance=1e-3)
    learner.setup(Fabric(accelerator="cpu", devices=1))
    for _ in range(40):
        learner.step(Batch(x[:100]))
        if learner.converged:
            return field.float(), x[half : half + 100]
    raise AssertionError("not converged")


@pytest.mark.parametrize(
    ("method", "steps"), [("belief-propagation", 100), ("gibbs", 30), ("icm", 100)]
)
def test_noise_of_digits_is_halved(digits, method, steps):
    torch.manual_seed(0)
    field, clean = digits
    noisy = noised(clean, 2)
    found = denoise(field, noisy, NOISE, method=method, steps=steps)
    error, before = ((x != clean).float().mean().item() for x in (found.x, noisy))
    assert found.x.dtype == torch.uint8
    # 57,600 sites
    assert before == pytest.approx(NOISE, abs=4 * (NOISE * (1 - NOISE) / clean.numel()) ** 0.5)
    # 2.6 % are left by messages, 2.7 % by sweeps and 3.0 % by conditional modes
    assert error <= before / 2


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_and_the_callers_state_is_left_alone(method):
    field, noisy = stirred((3, 4), 3), torch.randint(0, 3, (7, 3, 4))
    state = torch.get_rng_state()
    one, two = (denoise(field, noisy, 0.2, method=method, steps=5, seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.x, two.x)
    assert one.x.shape == noisy.shape
    if one.marginals is not None:
        assert torch.equal(one.marginals, two.marginals)
        assert one.marginals.shape == (7, 3, 4, 3)


@pytest.mark.parametrize("method", ["belief-propagation", "icm"])
def test_batches_do_not_matter(method):
    torch.manual_seed(0)
    field, noisy = stirred((3, 4), 3), torch.randint(0, 3, (7, 3, 4))
    one, two = (denoise(field, noisy, 0.2, method=method, batch_size=n) for n in (3, None))
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.settled, two.settled)
    assert len(denoise(field, noisy[:0], 0.2, method=method).x) == 0


def test_the_evidence_is_the_log_probability_of_what_is_seen():
    noisy = torch.randint(0, 4, (5, 2, 3), dtype=torch.uint8)
    found = flipping_evidence(noisy, 4, 0.3).exp()
    assert found.shape == (5, 2, 3, 4)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(5, 2, 3))
    seen = found.gather(-1, noisy.long().unsqueeze(-1))
    torch.testing.assert_close(seen, torch.full_like(seen, 0.7))


@pytest.mark.parametrize("noise", [0.0, 1.0, -0.1, float("nan")])
def test_noise_out_of_bounds_is_refused(noise):
    with pytest.raises(PthetaError, match="noise cannot be"):
        denoise(PairwiseField((2, 2)), torch.zeros(1, 2, 2), noise)


def test_an_unknown_method_is_refused():
    with pytest.raises(PthetaError, match="method cannot be 'median'.*'gibbs'"):
        denoise(PairwiseField((2, 2)), torch.zeros(1, 2, 2), 0.1, method="median")


@pytest.mark.parametrize("bad", [2.0, -1.0, 0.5])
def test_codes_that_are_no_states_are_refused(bad):
    with pytest.raises(PthetaError, match="expected codes from 0 to 1, got values from"):
        denoise(PairwiseField((2, 2)), torch.full((1, 2, 2), bad), 0.1)


@pytest.mark.parametrize("method", METHODS)
def test_images_of_another_shape_are_refused(method):
    with pytest.raises(PthetaError, match=r"expected grids with shape \(batch, height, width\)"):
        denoise(PairwiseField((2, 2)), torch.zeros(2, 2), 0.1, method=method)


def test_a_model_that_is_no_field_is_refused():
    assert isinstance(PairwiseField((2, 2)), SupportsDenoising)
    with pytest.raises(PthetaError, match="expected a field on a grid .*unnormalized_log_prob"):
        denoise(RBM(BinaryUnits((4,)), 2), torch.zeros(1, 4), 0.1)


def test_what_a_recipe_fitted_takes_noise_off_as_its_field_does():
    space = Discrete((1, 4, 4), 3, layout="image")
    model = build("potts", space).model
    torch.manual_seed(0)
    noisy = torch.randint(3, (5, 1, 4, 4), dtype=torch.uint8)
    field = model.model.model
    with torch.no_grad():
        field.horizontal.add_(torch.eye(3))
        field.vertical.add_(torch.eye(3))
    assert torch.equal(denoise(model, noisy, 0.2).marginals, denoise(field, noisy, 0.2).marginals)
