import pytest
import torch

from ptheta.inference import predictions
from ptheta.models.diffusion.paths import Cosine, Straight, VarianceExploding, VariancePreserving
from ptheta.noising import Prediction


@pytest.mark.parametrize(
    "path", [Cosine(), Straight(), VarianceExploding(), VariancePreserving()], ids=repr
)
def test_every_form_says_the_same(path):
    torch.manual_seed(0)
    t = torch.rand(6, 1, dtype=torch.float64) * 0.9 + 0.05
    at = predictions.rates(path, t)
    truth = Prediction(*torch.randn(2, 6, 3, dtype=torch.float64))
    x = at.alpha * truth.data + at.sigma * truth.noise
    forms = [
        predictions.from_data(x, truth.data, at.alpha, at.sigma),
        predictions.from_noise(x, truth.noise, at.alpha, at.sigma),
        predictions.from_score(x, predictions.to_score(truth, at.sigma), at.alpha, at.sigma),
        predictions.from_v(x, predictions.to_v(truth, at.alpha, at.sigma), at.alpha, at.sigma),
        predictions.from_velocity(x, predictions.to_velocity(truth, at), at),
    ]
    for found in forms:
        torch.testing.assert_close(found, truth, atol=1e-9, rtol=1e-9)


def test_rates_are_the_derivatives():
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    for path in (Cosine(), Straight(), VarianceExploding(), VariancePreserving()):
        at = predictions.rates(path, t)
        step = 1e-6
        for scale, rate in ((path.alpha, at.alpha_rate), (path.sigma, at.sigma_rate)):
            slope = (scale(t + step) - scale(t - step)) / (2 * step)
            torch.testing.assert_close(rate, slope, atol=1e-7, rtol=1e-6)
