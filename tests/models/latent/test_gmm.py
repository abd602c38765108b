import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Reference

from ptheta.errors import PthetaError
from ptheta.models.latent.covariances import COVARIANCES
from ptheta.models.latent.gmm import GaussianMixture

NAMES = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}
kinds = pytest.mark.parametrize("kind", list(COVARIANCES))


def clusters(rows=400, features=3, clusters=4):
    g = torch.Generator().manual_seed(0)
    mix = torch.randn(clusters, features, features, generator=g)
    centre = 4 * torch.randn(clusters, features, generator=g)
    return torch.cat(
        [torch.randn(rows, features, generator=g) @ m + c for m, c in zip(mix, centre, strict=True)]
    )


def started(kind, x, components=4, **options):
    torch.manual_seed(1)
    mixture = GaussianMixture(x.shape[1], components, COVARIANCES[kind], **options)
    mixture.initialize(x)
    return mixture


def iterate(mixture, x, times, *, careful=False):
    means = []
    for _ in range(times):
        statistics = mixture.expectation(x, careful=careful)
        means.append((statistics.log_likelihood / statistics.rows).item())
        mixture.maximization(statistics)
    return means


@kinds
def test_the_likelihood_never_falls(kind):
    x = clusters()
    means = iterate(started(kind, x), x, 25, careful=True)
    assert all(after >= before - 1e-9 for before, after in zip(means, means[1:], strict=False))


@kinds
@pytest.mark.parametrize("careful", [True, False])
def test_the_same_start_ends_where_scikit_learn_ends(kind, careful):
    x = clusters()
    mixture = started(kind, x)
    covariances = mixture.covariances.numpy()
    matrices = kind in ("full", "tied")
    reference = Reference(
        4,
        covariance_type=NAMES[kind],
        max_iter=20,
        tol=0,
        reg_covar=1e-6,
        weights_init=mixture.weights.numpy(),
        means_init=mixture.means.numpy(),
        precisions_init=np.linalg.inv(covariances) if matrices else 1 / covariances,
    )
    with pytest.warns(ConvergenceWarning):  # twenty iterations were asked for, and no tolerance
        reference.fit(x.double().numpy())
    iterate(mixture, x, 20, careful=careful)
    expected = reference.score_samples(x.double().numpy())
    found = mixture.log_prob(x.double()).numpy()
    assert np.abs(found - expected).mean() < (1e-6 if careful else 1e-3)


@kinds
def test_natural_parameters_and_whitening_agree(kind):
    x = clusters().double()
    mixture = started(kind, x)
    fast, careful = mixture.expectation(x), mixture.expectation(x, careful=True)
    for one, other in zip(fast, careful, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@kinds
def test_the_density_is_the_mixture_of_torchs_gaussians(kind):
    x = clusters().double()
    mixture = started(kind, x)
    covariance = {
        "full": lambda c: c,
        "tied": lambda c: c.expand(4, 3, 3),
        "diagonal": torch.diag_embed,
        "spherical": lambda c: c[:, None, None] * torch.eye(3).double(),
    }[kind](mixture.covariances)
    gaussians = torch.distributions.MultivariateNormal(mixture.means, covariance)
    expected = (gaussians.log_prob(x[:, None]) + mixture.weights.log()).logsumexp(dim=1)
    torch.testing.assert_close(mixture.log_prob(x), expected)


@kinds
def test_draws_have_the_mixtures_moments(kind):
    mixture = started(kind, clusters())
    drawn = mixture.sample(40_000).double()
    mean = mixture.weights @ mixture.means
    error = drawn.std(dim=0) / 200  # of a mean of 40,000
    assert ((drawn.mean(dim=0) - mean).abs() < 5 * error).all()


def test_statistics_add_over_blocks():
    x = clusters().double()
    mixture = started("full", x)
    whole = mixture.expectation(x)
    halves = [mixture.expectation(part) for part in x.chunk(2)]
    for one, *parts in zip(whole, *halves, strict=True):
        torch.testing.assert_close(one, parts[0] + parts[1])


def test_float32_keeps_its_digits_on_narrow_components():
    # components a hundredth as wide as they are apart: the natural form alone would lose 2e-3
    g = torch.Generator().manual_seed(0)
    centre = torch.randint(0, 5, (4000, 1), generator=g).float() - 2
    x = (centre + 0.01 * torch.randn(4000, 4, generator=g)) / 1.4
    mixture = started("full", x, components=5)
    iterate(mixture, x, 10)
    iterate(mixture, x, 2, careful=True)
    exact = started("full", x.double(), components=5)
    iterate(exact, x.double(), 12, careful=True)
    assert abs(mixture.log_prob(x).double().mean() - exact.log_prob(x.double()).mean()) < 1e-4


def test_shrinkage_pulls_a_lone_row_to_the_whole():
    x = torch.cat([torch.randn(200, 2), torch.tensor([[30.0, 30.0]])])
    mixture = started("full", x, components=2, shrinkage=5.0)
    lone = mixture.means.norm(dim=1).argmax()
    # one row has no spread; five rows' worth of the whole data's covariance give it 5/6 of it,
    # correlations damped by 201 rows / (201 + 2 values)
    expected = torch.cov(x.double().T, correction=0) * 5 / 6
    damp = 201 / 203 * torch.ones(2, 2).double()
    expected = expected * damp.fill_diagonal_(1.0)
    torch.testing.assert_close(
        mixture.covariances[lone], expected + 1e-6 * torch.eye(2).double(), rtol=1e-6, atol=1e-6
    )


def test_more_components_than_rows_are_refused():
    with pytest.raises(PthetaError, match="5 components are more than the 3 training rows"):
        started("full", torch.randn(3, 2), components=5)


def test_fewer_rows_than_values_give_a_density_worth_having():
    x = torch.randn(60, 100)
    mixture = started("full", x[:40], components=2, shrinkage=30.0)
    iterate(mixture, x[:40], 5, careful=True)
    # a standard Gaussian has 142 nats; a singular covariance would have thousands
    assert mixture.log_prob(x[40:]).mean() > -300
