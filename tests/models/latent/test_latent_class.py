import itertools

import pytest
import torch

from ptheta.errors import PthetaError
from ptheta.fitting import fit
from ptheta.models.latent.latent_class import LatentClass
from ptheta.spaces import Binary, Categorical, Column, Discrete, Table

MIXED = Table((Column("a", Discrete(levels=3)), Column("b", Categorical(categories=2))))
EVERY = torch.cartesian_prod(torch.arange(3), torch.arange(2))


def some_rows(n=200):
    g = torch.Generator().manual_seed(0)
    return torch.stack([torch.randint(size, (n,), generator=g) for size in (3, 2)], dim=1)


def test_the_density_is_the_sum_of_products():
    torch.manual_seed(0)
    model = LatentClass(MIXED, 3)
    model.initialize(some_rows())
    tables = model.tables(torch.arange(3)).exp()  # classes, values, codes
    expected = sum(
        weight * table[0, EVERY[:, 0]] * table[1, EVERY[:, 1]]
        for weight, table in zip(model.weights, tables, strict=True)
    )
    torch.testing.assert_close(model.log_prob(EVERY).double().exp(), expected, rtol=1e-6, atol=0)
    assert expected.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("careful", [False, True])
def test_the_likelihood_never_falls(careful):
    torch.manual_seed(0)
    x = (torch.rand(300, 6) < torch.rand(3, 6).repeat(100, 1)).long()
    model = LatentClass(Binary((6,)), 3, smoothing=0.0)
    model.initialize(x)
    found = []
    for _ in range(30):
        statistics = model.expectation(x, careful=careful)
        found.append(statistics.log_likelihood.item())
        model.maximization(statistics)
    assert all(later >= before - 1e-3 for before, later in itertools.pairwise(found))
    assert found[-1] > found[0] + 10


def test_one_class_is_the_product_of_smoothed_marginals():
    x = torch.tensor([[0, 1], [1, 1], [1, 1]])
    model = LatentClass(Binary((2,)), 1, smoothing=1.0)
    model.initialize(x)
    model.maximization(model.expectation(x))
    # two counts, spread as the marginals, which have one count of their own spread evenly
    marginal = torch.tensor([(2 + 0.5) / 4, (3 + 0.5) / 4])
    expected = (torch.tensor([2.0, 3.0]) + 2 * marginal) / (3 + 2)
    torch.testing.assert_close(
        model.log_prob(torch.tensor([[1, 1]])), expected.prod().log()[None].double()
    )


def test_two_kinds_of_rows_are_told_apart():
    torch.manual_seed(0)
    p = torch.tensor([[0.9] * 8, [0.1] * 8])
    kind = torch.randint(2, (1000,))
    x = (torch.rand(1000, 8) < p[kind]).long()
    model = LatentClass(Binary((8,)), 2)
    model.initialize(x)
    for _ in range(30):
        model.maximization(model.expectation(x))
    guess = model.log_joint(x).argmax(dim=1)
    right = (guess == kind).double().mean().item()
    assert max(right, 1 - right) > 0.97  # Bayes' error here is 0.5%


def test_more_classes_than_rows_are_refused():
    with pytest.raises(PthetaError, match="20 classes are more than the 3 training rows"):
        LatentClass(Binary((2,)), 20).initialize(torch.zeros(3, 2))


def test_the_recipe_beats_independence_on_digits():
    from ptheta.data.load import load_data

    data = load_data("digits")
    mixed, alone = (fit(data, recipe, seed=0) for recipe in ("latent-class", "independent"))
    x = data.test.x[:]
    gain = (mixed.model.log_prob(x) - alone.model.log_prob(x)).mean().item()
    assert gain > 3
