from itertools import permutations

import torch

from ptheta.models.diffusion.paths import Straight
from ptheta.noising import Prediction
from ptheta.objectives.flow_matching import FlowMatching, paired
from ptheta.objectives.types import Batch


def test_noise_is_paired_with_the_examples_that_are_nearest_in_all():
    torch.manual_seed(0)
    x, eps = torch.randn(6, 2, 3), torch.randn(6, 2, 3)

    def distance(rows):
        return (x - rows).square().sum().item()

    best = min(distance(eps[list(order)]) for order in permutations(range(6)))
    found = paired(x, eps)
    assert abs(distance(found) - best) < 1e-4
    torch.testing.assert_close(found.sum(dim=0), eps.sum(dim=0))


def test_the_velocity_of_a_straight_way_is_noise_less_data():
    class Watched:
        def __init__(self, path):
            self.path = path

        def predict(self, x, context=None, *, t):
            return Prediction(torch.zeros_like(x), torch.zeros_like(x))

    x = 5 * torch.ones(2000, 3)
    torch.manual_seed(0)
    loss = FlowMatching().loss(Watched(Straight(sigma_min=1e-6)), Batch(x)).value
    torch.manual_seed(0)
    expected = (torch.randn_like(x) - x).square().sum(dim=1).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
