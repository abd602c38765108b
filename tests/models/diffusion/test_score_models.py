import math

import pytest
import torch

from ptheta.models.diffusion.denoiser import Denoiser, SpreadDenoiser
from ptheta.models.diffusion.paths import Cosine, Even, VarianceExploding, VariancePreserving
from ptheta.networks.residual import ResidualMLP
from ptheta.objectives.score_matching import MultiLevelDenoisingScoreMatching
from ptheta.objectives.types import Batch
from ptheta.spaces import Categorical


def perceptron(hidden_features, blocks=2):
    return lambda told: ResidualMLP(2, 2, hidden_features, blocks, told)


def test_levels_are_a_geometric_series():
    path = VarianceExploding(0.1, 12.8, levels=8)
    sigma = path.sigma(path.times())
    torch.testing.assert_close(sigma, 0.1 * 2.0 ** torch.arange(8))
    assert path.ratio == pytest.approx(2.0)
    assert (path.alpha(path.times()) == 1).all()


@pytest.mark.parametrize(("low", "high", "levels"), [(0.0, 1.0, 5), (2.0, 1.0, 5), (0.1, 1.0, 1)])
def test_levels_that_make_no_series_are_refused(low, high, levels):
    with pytest.raises(ValueError, match="expected"):
        VarianceExploding(low, high, levels)


@pytest.mark.parametrize("features", [16, 64, 784, 3072])
def test_shells_of_neighbouring_levels_overlap_by_half_or_more(features):
    path = VarianceExploding.for_standardised(features)
    torch.manual_seed(0)
    outer = path.ratio * torch.randn(4000, features).norm(dim=1)
    inner = torch.randn(4000, features).norm(dim=1)
    # technique 2: the share of the outer shell within 3 standard deviations of the inner one
    assert ((outer - inner.mean()).abs() < 3 * path.ratio / math.sqrt(2)).float().mean() > 0.45
    assert path.sigma_max == pytest.approx(2 * math.sqrt(2 * features))
    # the paper takes 232 levels for 3072 values between 0.01 and 50, where the overlap is 0.57
    if features == 3072:
        paper = VarianceExploding.for_standardised(features, sigma_min=0.01, sigma_max=50.0)
        assert 215 <= paper.levels <= 232


def test_untrained_score_is_near_that_of_a_standard_normal():
    torch.manual_seed(0)
    model = Denoiser(VarianceExploding(), perceptron(16))
    with torch.no_grad():
        model.network.leave.weight.zero_()
        model.network.leave.bias.zero_()
    x, t = torch.randn(6, 2), torch.rand(6)
    variance = 1 + model.path.sigma(t)[:, None] ** 2
    torch.testing.assert_close(model.score(x, t=t), -x / variance)


def test_time_and_context_reach_the_score_row_by_row():
    torch.manual_seed(0)
    model = Denoiser(VarianceExploding(), perceptron(16), Categorical(categories=2))
    with torch.no_grad():
        for block in model.network.blocks:
            torch.nn.init.normal_(block.second.weight)
    model.double()  # rows apart and together round differently, by processor
    x = torch.randn(4, 2, dtype=torch.float64)
    t = torch.tensor([0.0, 0.3, 0.3, 1.0], dtype=torch.float64)
    c = torch.tensor([0, 0, 1, 1])
    together = model.score(x, c, t=t)
    alone = torch.cat([model.score(x[i : i + 1], c[i : i + 1], t=t[i].item()) for i in range(4)])
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(model.score(x, c, t=t), model.score(x, 1 - c, t=t))


@pytest.mark.slow
def test_score_of_a_mixture_is_learnt_at_every_level():
    torch.manual_seed(0)
    centres = torch.tensor([[-0.9, 0.0], [0.9, 0.0]])  # of unit variance in the first value
    path = VarianceExploding(0.1, 4.0, levels=8)
    model = Denoiser(path, perceptron(64))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3000)
    objective = MultiLevelDenoisingScoreMatching()

    def draw(n):
        return centres[torch.randint(2, (n,))] + 0.4 * torch.randn(n, 2)

    for _ in range(3000):
        optimizer.zero_grad()
        objective.loss(model, Batch(draw(256))).value.backward()
        optimizer.step()
        schedule.step()
    for t in path.times():
        sigma = path.sigma(t)
        x = (draw(4000) + sigma * torch.randn(4000, 2)).requires_grad_()
        squares = (x[:, None] - centres).square().sum(2)
        log_prob = (-squares / (2 * (0.16 + sigma**2))).logsumexp(dim=1)
        (truth,) = torch.autograd.grad(log_prob.sum(), x)
        error = (model.score(x, t=t) - truth).square().sum(1).mean()
        # of the size of the score itself, a twentieth in squares
        assert error < 0.05 * truth.square().sum(1).mean()


@pytest.mark.parametrize("path", [VarianceExploding(), VariancePreserving(), Even(Cosine())])
def test_without_a_time_the_score_is_that_of_the_least_level(path):
    model = Denoiser(path, perceptron(8))
    x = torch.randn(5, 2)
    found = model.score(x)
    assert found.isfinite().all()
    torch.testing.assert_close(found, model.score(x, t=path.times()[0].expand(5)))


@pytest.mark.parametrize("kind", [Denoiser, SpreadDenoiser])
@pytest.mark.parametrize("path", [VariancePreserving(), VarianceExploding(), Even(Cosine())])
def test_times_that_are_known_beforehand_give_the_same_predictions(path, kind):
    torch.manual_seed(0)
    outputs = 4 if kind is SpreadDenoiser else 2
    model = kind(
        path, lambda told: ResidualMLP(2, outputs, 16, 1, told), Categorical(categories=3)
    ).eval()
    x, context = torch.randn(5, 2), torch.tensor([0, 2, 1, 1, 0])
    times = path.times()[[3, 1, 0]]
    predict = model.predict_at(times, context)
    # those that are known, and one that is not
    for t in (*times, torch.tensor(0.4321)):
        torch.testing.assert_close(predict(x, t), model.predict(x, context, t=t))
