import math

import pytest
import torch

from ptheta.data.load import load_data
from ptheta.data.planar import grid_entropy
from ptheta.data.synthetic import SYNTHETIC
from ptheta.random import seeded

SMOOTH = [name for name in SYNTHETIC if name != "checkerboard"]


@pytest.mark.parametrize("name", SMOOTH)
def test_density_integrates_to_one(name):
    planar = SYNTHETIC[name].make()
    axis = torch.linspace(
        -planar.extent,
        planar.extent,
        math.ceil(4 * planar.extent / planar.scale),
        dtype=torch.float64,
    )
    cell = (axis[1] - axis[0]) ** 2
    mass = planar.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * cell
    # the trapezoidal rule at half a width is exact to 1e-7 on a smooth density
    assert mass == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", list(SYNTHETIC))
def test_mean_log_prob_of_draws_is_minus_entropy(name):
    planar = SYNTHETIC[name].make()
    n = 20_000
    with seeded(0):
        log_prob = planar.log_prob(planar.sample(n)[0].double())
    error = abs(float(log_prob.mean()) + planar.entropy())
    # z-bound of 4 at n = 20,000: a wrong test in 16,000 per set
    assert error <= 4 * float(log_prob.std()) / math.sqrt(n) + 1e-9


@pytest.mark.parametrize("name", ["moons", "spirals", "swiss-roll"])
def test_quadrature_along_the_curve_agrees_with_kernels_of_many_draws(name):
    planar = SYNTHETIC[name].make()
    with seeded(1):
        x = planar.sample(50)[0].double()
        u = torch.rand(200_000, dtype=torch.float64) ** planar.power
    points = torch.cat([curve(u[:: len(planar.curves)]) for curve in planar.curves])
    square = torch.cdist(x, points).square() / planar.std**2
    kernels = (-0.5 * square).exp() / (2 * math.pi * planar.std**2)
    error = (kernels.mean(dim=1) - planar.log_prob(x).exp()).abs()
    # z-bound of 5 over 50 points
    assert (error <= 5 * kernels.std(dim=1) / math.sqrt(len(points))).all()


@pytest.mark.parametrize("name", ["circles", "pinwheel", "eight-gaussians"])
def test_closed_form_agrees_with_a_histogram_of_draws(name):
    planar = SYNTHETIC[name].make()
    n, cells = 200_000, 40
    with seeded(2):
        x = planar.sample(n)[0].double()
    edges = torch.linspace(-planar.extent / 2, planar.extent / 2, cells + 1, dtype=torch.float64)
    counts = torch.histogramdd(x, [edges, edges]).hist
    fine = (edges[:-1, None] + (edges[1] - edges[0]) * (torch.arange(8) + 0.5) / 8).flatten()
    density = planar.log_prob(torch.cartesian_prod(fine, fine)).exp()
    expected = density.reshape(cells, 8, cells, 8).mean(dim=(1, 3)) * (edges[1] - edges[0]) ** 2 * n
    busy = expected > 20
    z = (counts - expected)[busy] / expected[busy].sqrt()
    # the squares of busy cells are about chi-squared with one degree each: 5 deviations
    assert z.square().sum() <= busy.sum() + 5 * math.sqrt(2 * int(busy.sum()))


def test_entropy_of_far_apart_gaussians_is_that_of_one_and_of_the_choice():
    planar = SYNTHETIC["twenty-five-gaussians"].make()
    expected = math.log(25) + 1 + math.log(2 * math.pi * 0.05**2)
    assert planar.entropy() == pytest.approx(expected, abs=1e-6)


def test_grid_entropy_of_a_gaussian():
    log_prob = torch.distributions.Normal(0.0, 1.0).log_prob
    entropy = grid_entropy(lambda x: log_prob(x).sum(dim=1), 9.0, 0.5)
    assert entropy == pytest.approx(1 + math.log(2 * math.pi), abs=1e-9)


def test_checkerboard_has_no_mass_off_its_squares():
    planar = SYNTHETIC["checkerboard"].make()
    inside = torch.tensor([[-3.0, -3.0], [1.0, 1.0], [1.0, -3.0]])
    outside = torch.tensor([[-1.0, -3.0], [5.0, 1.0], [-4.5, -4.5]])
    assert planar.log_prob(inside) == pytest.approx(-math.log(32))
    assert planar.log_prob(outside).isneginf().all()


@pytest.mark.parametrize("name", ["eight-gaussians", "twenty-five-gaussians"])
def test_modes_hold_their_draws_within_three_deviations(name):
    data = load_data(name)
    assert data.truth is not None
    assert data.truth.modes is not None
    distance = torch.cdist(data.train.x[:], data.truth.modes).min(dim=1).values
    share = float((distance <= data.truth.mode_radius).double().mean())
    # 1 - exp(-9/2) of a round Gaussian lies within three deviations; 4 standard errors at 7000
    assert share == pytest.approx(1 - math.exp(-4.5), abs=4 * math.sqrt(0.011 / 7000))


def test_truth_is_that_of_the_data_in_the_dtype_of_the_data():
    data = load_data("moons")
    assert data.truth is not None
    log_prob = data.truth.log_prob(data.test.x[:])
    assert log_prob.dtype == torch.float32
    assert float(-log_prob.mean()) == pytest.approx(data.truth.entropy, abs=0.1)
    assert data.truth.log_prob(data.test.x[:0]).shape == (0,)


def test_label_names_the_part_and_takes_the_truth_of_all_parts_away():
    data = load_data("eight-gaussians", context="label")
    assert data.context_space is not None
    assert data.context_space.categories == 8
    angle = torch.atan2(data.train.x[:][:, 1], data.train.x[:][:, 0])
    nearest = (angle / (math.pi / 4)).round().long() % 8
    # neighbours are 6 deviations apart, so nearly every draw is nearest to its own centre
    assert (nearest == data.train.context).double().mean() > 0.99
    assert data.truth is None


def test_same_seed_same_data_and_another_seed_other_data():
    first, again, other = (load_data("rings", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.train.x[:], again.train.x[:])
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_data("moons")
    assert torch.equal(torch.rand(1), expected)
