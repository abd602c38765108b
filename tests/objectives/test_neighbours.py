import math

import pytest
import torch
from reference import mean_gradient_z
from torch import nn

from ptheta.objectives.neighbours import Pseudolikelihood, RatioMatching
from ptheta.objectives.types import Batch


class Tabled(nn.Module):
    """A log-density for each of the examples of some values on some levels."""

    def __init__(self, values, levels):
        super().__init__()
        self.levels = levels
        self.table = nn.Parameter(torch.randn([levels] * values, dtype=torch.float64))

    def unnormalized_log_prob(self, x, context=None):
        return self.table[tuple(x.flatten(1).long().T)]

    def every(self):
        return torch.cartesian_prod(*[torch.arange(self.levels)] * self.table.dim())


@pytest.mark.parametrize(("values", "levels"), [(4, 2), (3, 3)])
def test_pseudolikelihood_is_that_of_the_conditionals(values, levels):
    torch.manual_seed(0)
    model = Tabled(values, levels)
    x = model.every()[torch.randint(levels**values, (30,))]
    expected = 0.0
    for i in range(values):
        conditional = model.table.log_softmax(dim=i)
        expected -= conditional[tuple(x.T)].mean()
    found = Pseudolikelihood(levels).loss(model, Batch(x)).value
    torch.testing.assert_close(found, expected)


def test_ratio_matching_is_the_squared_probability_of_the_other_level():
    torch.manual_seed(0)
    model = Tabled(4, 2)
    x = model.every()
    expected = 0.0
    for i in range(4):
        other = x.clone()
        other[:, i] = 1 - other[:, i]
        conditional = model.table.softmax(dim=i)
        expected += conditional[tuple(other.T)].square().mean()
    torch.testing.assert_close(RatioMatching().loss(model, Batch(x)).value, expected)


@pytest.mark.parametrize("kind", [Pseudolikelihood, RatioMatching])
def test_a_few_values_give_the_loss_of_all_in_the_mean(kind):
    torch.manual_seed(0)
    model, draws = Tabled(5, 2), 400
    batch = Batch(model.every().to(torch.float64))
    few = torch.stack([kind(values=2).loss(model, batch).value.detach() for _ in range(draws)])
    error = few.std() / math.sqrt(draws)
    assert error > 0
    assert abs(few.mean() - kind().loss(model, batch).value) < 4 * error


def test_images_and_contexts_go_along_with_their_neighbours():
    seen = []

    class Watched(nn.Module):
        def unnormalized_log_prob(self, x, context=None):
            seen.append((x, context))
            return x.flatten(1).sum(dim=1)

    x = torch.tensor([[[0, 1], [1, 1]], [[1, 0], [0, 0]]])[:, None].float()
    Pseudolikelihood().loss(Watched(), Batch(x, torch.tensor([3, 4])))
    neighbours, context = seen[0]
    assert neighbours.shape == (8, 1, 2, 2)
    assert context.tolist() == [3] * 4 + [4] * 4
    differing = (neighbours != x.repeat_interleave(4, dim=0)).flatten(1)
    assert torch.equal(differing, torch.eye(4, dtype=torch.bool).repeat(2, 1))


class Pairs(nn.Module):
    """Four values of 0 and 1 with a bias each and a coupling for each pair."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([0.2, -0.4, 0.1, 0.5]))
        self.coupling = nn.Parameter(torch.tensor([0.8, -0.6, 0.3, 0.5, -0.9, 0.7]))
        self.pairs = torch.combinations(torch.arange(4))

    def unnormalized_log_prob(self, x, context=None):
        together = x[:, self.pairs[:, 0]] * x[:, self.pairs[:, 1]]
        return x @ self.bias + together @ self.coupling

    @torch.no_grad()
    def sample(self, n):
        every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
        shares = self.unnormalized_log_prob(every).softmax(dim=0)
        return every[torch.multinomial(shares, n, replacement=True)]


@pytest.mark.parametrize("objective", [Pseudolikelihood(), RatioMatching()])
def test_the_mean_gradient_is_zero_at_the_truth_alone(objective):
    torch.manual_seed(0)
    truth = Pairs()

    def z(model):
        losses = (objective.loss(model, Batch(truth.sample(256))).value for _ in range(300))
        return mean_gradient_z(model, losses).abs()

    # ten parameters, 300 independent batches: beyond 4 by chance once in 1600 runs
    assert z(truth).max() < 4
    beside = Pairs()
    for parameter in beside.parameters():
        parameter.data += 0.4
    assert (z(beside) > 8).all()


@pytest.mark.parametrize("kind", [Pseudolikelihood, RatioMatching])
def test_no_values_to_look_at_are_refused(kind):
    with pytest.raises(ValueError, match="one value or more"):
        kind(values=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
def test_codes_of_any_type_have_the_same_neighbours(dtype):
    torch.manual_seed(0)
    model = Tabled(2, 200)
    x = torch.randint(200, (50, 2))
    found = Pseudolikelihood(200).loss(model, Batch(x.to(dtype))).value
    torch.testing.assert_close(found, Pseudolikelihood(200).loss(model, Batch(x)).value)


def test_bits_may_be_truths():
    torch.manual_seed(0)
    model = Tabled(3, 2)
    found = RatioMatching().loss(model, Batch(model.every().bool())).value
    torch.testing.assert_close(found, RatioMatching().loss(model, Batch(model.every())).value)
