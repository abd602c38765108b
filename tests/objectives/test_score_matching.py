import pytest
import torch
from reference import ReferenceGaussian

from ptheta.objectives.score_matching import (
    DenoisingScoreMatching,
    MultiLevelDenoisingScoreMatching,
    MultiScaleDenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from ptheta.objectives.types import Batch

POINTS = torch.tensor([-1.0, 0.2, 2.0])
SIGMA = 0.6


def explicit_gradient(model):
    """Of half the mean squared distance of scores under the smoothed points, by quadrature."""
    grid = torch.linspace(-7, 8, 6001)[:, None].requires_grad_()
    log_q = (-(grid - POINTS).square() / (2 * SIGMA**2)).logsumexp(dim=1)
    (target,) = torch.autograd.grad(log_q.sum(), grid)
    weights = log_q.detach().softmax(dim=0)
    loss = (weights * (model.score(grid.detach()) - target).square().sum(dim=1)).sum() / 2
    return torch.stack(torch.autograd.grad(SIGMA**2 * loss, list(model.parameters()))).flatten()


def test_gradient_is_that_of_explicit_score_matching_on_the_smoothed_density():
    torch.manual_seed(0)
    model = ReferenceGaussian([0.5], [1.3])
    objective = DenoisingScoreMatching(SIGMA)
    x = POINTS.repeat(1000)[:, None]
    gradients = []
    for _ in range(200):
        loss = objective.loss(model, Batch(x)).value
        gradients.append(torch.stack(torch.autograd.grad(loss, list(model.parameters()))).flatten())
    stacked = torch.stack(gradients)
    error = stacked.std(dim=0) / 200**0.5
    # 200 independent draws of the noise of 3000 points
    assert ((stacked.mean(dim=0) - explicit_gradient(model)).abs() < 4 * error).all()


class Zero:
    """A score of zero, whose loss is half the dimension at every level."""

    class path:  # noqa: N801
        @staticmethod
        def alpha(t):
            return torch.ones_like(t)

        @staticmethod
        def sigma(t):
            return 1 + t

        @staticmethod
        def times():
            return torch.linspace(0, 1, 4)

    def __init__(self):
        self.seen = []

    def score(self, x, context=None, *, t=0.0):
        self.seen.append(t)
        return torch.zeros_like(x)


@pytest.mark.parametrize("shape", [(5,), (1, 2, 3)])
def test_loss_of_no_score_is_half_the_dimension(shape):
    torch.manual_seed(0)
    n, features = 4000, torch.Size(shape).numel()
    loss = MultiLevelDenoisingScoreMatching().loss(Zero(), Batch(torch.zeros(n, *shape)))
    # half a chi-square of d degrees, averaged over n: standard error sqrt(d / 2 / n)
    assert abs(loss.value.item() - features / 2) < 4 * (features / 2 / n) ** 0.5


def test_levels_are_spread_evenly_over_a_batch():
    model = Zero()
    MultiLevelDenoisingScoreMatching().loss(model, Batch(torch.zeros(40, 2)))
    assert torch.unique(model.seen[0], return_counts=True)[1].tolist() == [10, 10, 10, 10]


class Correlated:
    """The score of a Gaussian of this precision."""

    precision = torch.tensor([[2.0, 1.0], [1.0, 1.5]])

    def score(self, x, context=None):
        return -x @ self.precision


def sliced(batch, n, **options):
    torch.manual_seed(0)
    objective = SlicedScoreMatching(**options)
    return torch.stack([objective.loss(Correlated(), batch).value.detach() for _ in range(n)])


def test_slices_have_the_mean_of_the_whole_and_less_variance_where_the_length_is_whole():
    batch = Batch(torch.randn(20, 2))
    whole = ScoreMatching().loss(Correlated(), batch).value
    # of a score that is linear: half its squared length less the trace of the precision
    expected = (batch.x @ Correlated.precision).square().sum(dim=1).mean() / 2 - 3.5
    torch.testing.assert_close(whole, expected)
    spreads = []
    for reduced in (True, False):
        found = sliced(batch, 500, variance_reduction=reduced)
        spreads.append(found.std())
        assert (found.mean() - whole).abs() < 4 * found.std() / 500**0.5
    assert spreads[0] < spreads[1]


def test_more_slices_have_less_variance():
    batch = Batch(torch.randn(20, 2))
    one, many = (sliced(batch, 500, projections=k).var() for k in (1, 16))
    # directions are drawn apart, so the variance falls as their number; 500 draws know it to 6 %
    assert one / many == pytest.approx(16, rel=0.4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SlicedScoreMatching(0),
        lambda: DenoisingScoreMatching(0.0),
        lambda: MultiScaleDenoisingScoreMatching(1.0, 0.5),
        lambda: MultiScaleDenoisingScoreMatching(sigma=0.0),
    ],
)
def test_no_direction_and_no_noise_are_refused(make):
    with pytest.raises(ValueError, match=r"expected a direction|above 0|0 < sigma_min"):
        make()
