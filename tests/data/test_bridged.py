import math

import pytest
import torch
from torch import nn

from ptheta.data.bridged import bridged
from ptheta.data.bridging import dequantising, standardising
from ptheta.protocols import capabilities
from ptheta.random import seeded
from ptheta.recipes.registry import build
from ptheta.spaces import Discrete, Positive, Real


class Sampler(nn.Module):
    """A standard Gaussian that can only be drawn from."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.started = None

    def sample(self, n, context=None):
        return torch.randn(n, self.features)

    def initialize(self, x, context=None):
        self.started = x


class Density(Sampler):
    def log_prob(self, x, context=None):
        return (-0.5 * x.square() - 0.5 * math.log(2 * math.pi)).sum(dim=1)


class Flow(Density):
    def sample_tempered(self, n, context=None, *, temperature):
        return temperature * torch.randn(n, self.features)

    def encode(self, x, context=None):
        return x

    def decode(self, z, context=None):
        return z


class Bound(Sampler):
    def encode(self, x, context=None):
        return x

    def decode(self, z, context=None):
        return z

    def elbo(self, x, context=None, *, particles=1):
        return torch.full((len(x),), float(particles))


class Energy(Sampler):
    def unnormalized_log_prob(self, x, context=None):
        return -0.5 * x.square().sum(dim=1)


REAL = Real((2,))
LEVELS = Discrete((2,), 3)


def fitted(model, space, bridge):
    joined = bridged(model, bridge(space), space)
    with seeded(0):
        x = (2 + 3 * torch.randn(500, 2)) if space == REAL else torch.randint(3, (500, 2)).byte()
    joined.initialize(x)
    return joined, x


@pytest.mark.parametrize(
    ("model", "exact", "dequantised"),
    [
        (Sampler, {"sample"}, {"sample"}),
        (Density, {"sample", "log_prob"}, {"sample", "elbo"}),
        (
            Flow,
            {"sample", "sample_tempered", "log_prob", "encode", "decode"},
            {"sample", "sample_tempered", "elbo", "encode", "decode"},
        ),
        (Bound, {"sample", "elbo", "encode", "decode"}, {"sample", "elbo", "encode", "decode"}),
        (Energy, {"sample", "unnormalized_log_prob"}, {"sample", "unnormalized_log_prob"}),
    ],
)
def test_what_comes_out_offers_what_remains_true(model, exact, dequantised):
    assert set(capabilities(fitted(model(2), REAL, standardising)[0])) == exact
    assert set(capabilities(fitted(model(2), LEVELS, dequantising)[0])) == dequantised


def test_exact_density_is_that_of_the_scaled_gaussian():
    model, x = fitted(Density(2), REAL, standardising)
    mean, deviation = x.double().mean(dim=0), x.double().std(dim=0, correction=0)
    expected = torch.distributions.Normal(mean, deviation).log_prob(x.double()).sum(dim=1)
    torch.testing.assert_close(model.log_prob(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_density_of_positive_numbers_integrates_to_one():
    model = bridged(Density(1), standardising(Positive((1,))), Positive((1,)))
    with seeded(1):
        model.initialize(torch.randn(100, 1).exp())
    x = torch.linspace(1e-4, 200, 400_001)[:, None]
    mass = torch.trapezoid(model.log_prob(x).exp().double(), x[:, 0].double())
    assert float(mass) == pytest.approx(1.0, abs=1e-3)


def exact_mass(model, x):
    """The mass of a cell of levels under a Gaussian: a difference of its distribution function."""
    standardise = model.bridge.steps[1]
    normal = torch.distributions.Normal(standardise.mean, standardise.scale)
    return (normal.cdf(x.double() + 1) - normal.cdf(x.double())).log().sum(dim=1)


def test_dequantised_bound_lies_under_the_exact_mass_and_nears_it_with_particles():
    model, x = fitted(Density(2), LEVELS, dequantising)
    exact = exact_mass(model, x).mean()
    with seeded(3):
        one, many = (model.elbo(x, particles=k).double() for k in (1, 64))
    # z-bound of 4 at 500 rows: the bound holds in expectation
    assert one.mean() < exact + 4 * one.std() / math.sqrt(500)
    assert one.mean() < many.mean()
    assert float(exact - many.mean()) == pytest.approx(0.0, abs=0.02)


def test_samples_lie_in_the_space_and_have_its_dtype():
    model, _ = fitted(Density(2), LEVELS, dequantising)
    with seeded(4):
        x = model.sample(1000)
    assert x.dtype == torch.uint8
    assert LEVELS.contains(x).all()


@pytest.mark.parametrize("space", [REAL, LEVELS])
def test_a_temperature_reaches_the_noise_of_a_flow(space):
    model, x = fitted(Flow(2), space, dequantising)
    with seeded(4):
        cold, warm = model.sample_tempered(4000, temperature=0.5), model.sample(4000)
    ratio = cold.double().std() / warm.double().std()
    # levels are cut at the ends and rounded, which the colder draws hardly meet
    assert float(ratio) == pytest.approx(0.5, abs=0.02 if space == REAL else 0.2)
    assert len(model.sample_tempered(3, temperature=0.0).unique(dim=0)) == 1


def test_encode_takes_levels_at_the_centre_so_that_it_is_no_draw():
    model, x = fitted(Flow(2), LEVELS, dequantising)
    assert torch.equal(model.encode(x), model.encode(x))
    assert torch.equal(model.decode(model.encode(x)), x)


def test_energy_counts_the_log_det_so_that_differences_are_those_of_the_data():
    model, x = fitted(Energy(2), REAL, standardising)
    density, _ = fitted(Density(2), REAL, standardising)
    gap = model.unnormalized_log_prob(x) - density.log_prob(x)
    # the two differ by the Gaussian's constant alone
    assert float(gap.max() - gap.min()) < 1e-4


def test_initialize_hands_the_model_what_the_bridge_makes_of_the_data():
    model, x = fitted(Density(2), REAL, standardising)
    started = model.model.started
    assert started.mean(dim=0).tolist() == pytest.approx([0, 0], abs=1e-5)
    torch.testing.assert_close(started, model.bridge.to_reals(x)[0])


def test_rows_outside_have_no_density_and_rows_that_are_undefined_none_that_is_known():
    model = build("realnvp", Real((2,))).model.eval()
    x = torch.tensor([[0.0, 1.0], [torch.nan, 0.0], [torch.inf, 0.0]])
    assert model.log_prob(x).isnan().tolist() == [False, True, True]
    levels = build("realnvp", Discrete((2,), 5)).model.eval()
    found = levels.elbo(torch.tensor([[0, 4], [0, 5], [-1, 0]]))
    assert found.isneginf().tolist() == [False, True, True]


def test_what_lies_nowhere_has_no_latent_and_no_example():
    model = build("realnvp", Discrete((2,), 5), settings={"logit": 0.05}).model.eval()
    with pytest.raises(ValueError, match="2 of 3 examples are no"):
        model.encode(torch.tensor([[0, 4], [0, 5], [-1, 0]]))
    with pytest.raises(ValueError, match="latents must be finite"):
        model.decode(torch.tensor([[0.0, torch.nan]]))


@pytest.mark.parametrize("n", [-1, 2.5, "3"])
def test_a_number_of_draws_that_is_none_is_refused_in_a_sentence(n):
    with pytest.raises(ValueError, match="expected a whole number of draws, got"):
        build("realnvp", Real((2,))).model.sample(n)


def test_what_is_no_tensor_is_refused_with_what_takes_it():
    model = build("realnvp", Real((2,))).model
    for x in ([[0.0, 1.0]], torch.zeros(1, 2).numpy()):
        with pytest.raises(ValueError, match=r"expected a tensor, got .*ptheta.densities takes"):
            model.log_prob(x)


@pytest.mark.parametrize("recipe", ["realnvp", "vae", "ddpm"])
def test_a_bound_by_no_particles_is_refused(recipe):
    model = build(recipe, Discrete((2,), 4)).model
    with pytest.raises(ValueError, match="at least one particle, got 0"):
        model.elbo(torch.zeros(3, 2, dtype=torch.uint8), particles=0)
