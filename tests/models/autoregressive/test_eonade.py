import math

import pytest
import torch

from ptheta.models.autoregressive.eonade import EoNADE
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table

MIXED = Table(
    (
        Column("a", Categorical(categories=3), missing=True),
        Column("b", Discrete(levels=2)),
        Column("c", Discrete(levels=4), missing=True),
    )
)


def model_of(space, context_space=None, orders=3, hidden_features=(7, 6)):
    torch.manual_seed(0)
    model = EoNADE(space, context_space, hidden_features=hidden_features, orders=orders)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return model.double().eval()


def every(*sizes):
    return torch.cartesian_prod(*[torch.arange(size) for size in sizes])


@pytest.mark.parametrize(
    ("space", "sizes"), [(Binary((4,)), (2,) * 4), (Categorical((3,), 3), (3,) * 3)]
)
def test_it_sums_to_one_given_each_class(space, sizes):
    model = model_of(space, Categorical(categories=2))
    x = every(*sizes)
    for label in (0, 1):
        total = model.log_prob(x, torch.full((len(x),), label)).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-12)


def test_the_density_is_the_mean_over_orders_of_products_of_conditionals():
    space = Table((Column("a", Real()), *MIXED.columns[:2], Column("d", Real())))
    model = model_of(space)
    x = torch.tensor([[0.3, 2, 1, -1.2], [-0.8, 0, 0, 0.1]], dtype=torch.float64)
    members = []
    for order in model.orders.tolist():
        total = torch.zeros(2, dtype=torch.float64)
        for d, position in enumerate(order):
            known = torch.zeros(2, 4, dtype=torch.bool)
            known[:, order[:d]] = True
            total += model.log_prob_given(x, known)[:, position]
        members.append(total)
    expected = torch.stack(members).logsumexp(dim=0) - math.log(3)
    torch.testing.assert_close(model.log_prob(x), expected)


def test_a_conditional_sees_what_is_known_and_nothing_else():
    model = model_of(Real((5,)))
    x = torch.randn(1, 5, dtype=torch.float64, requires_grad=True)
    known = torch.tensor([[True, False, True, True, False]])
    parameters = model.conditionals(x, known).parameters
    gradient = torch.autograd.grad(parameters.square().sum(), x)[0]
    assert torch.equal(gradient != 0, known)


@pytest.mark.parametrize(
    ("gap", "sizes"), [((0,), (1, 2, 4)), ((2,), (3, 2, 1)), ((0, 2), (1, 2, 1))]
)
def test_what_is_missing_is_left_out_and_the_rest_sums_to_one(gap, sizes):
    model = model_of(MIXED)
    x = every(*sizes).double()
    x[:, gap] = math.nan
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_draws_are_those_of_a_whole_evaluation_for_each_value():
    model = model_of(MIXED, Real((2,)))
    n = 5
    uniforms = torch.rand(2, 3, n, dtype=torch.float64)
    members, context = torch.tensor([0, 1, 2, 0, 1]), torch.randn(n, 2)
    drawn = model.draw(uniforms, members, context)
    naive = torch.zeros(n, 3, dtype=torch.float64)
    for row, member in enumerate(members.tolist()):
        known = torch.zeros(1, 3, dtype=torch.bool)
        for position in model.orders[member].tolist():
            distribution = model.conditionals(naive[[row]], known, context[[row]])
            rows = model.head.owner == position
            kind = model.head.kind(position)
            parameters = distribution.parameters[:, rows].t()
            naive[row, position] = kind.draw(parameters, uniforms[:, position, [row]])[0]
            known[0, position] = True
    assert torch.equal(drawn, naive)


def test_what_is_known_is_kept_and_the_rest_follows_its_conditional():
    model = model_of(MIXED)
    n = 20_000
    row = torch.tensor([[math.nan, 1.0, 3.0]], dtype=torch.float64)
    known = torch.tensor([False, True, True])
    drawn = model.complete(row.expand(n, -1), known)
    assert torch.equal(drawn[:, 1:], row[:, 1:].expand(n, -1))
    each = torch.tensor([[0, 1, 3], [1, 1, 3], [2, 1, 3]], dtype=torch.float64)
    p = model.log_prob_given(each, known.expand(3, -1))[:, 0].exp()
    assert p.sum().item() == pytest.approx(1)
    share = torch.stack([(drawn[:, 0] == value).double().mean() for value in range(3)])
    # four standard deviations of a share of 20,000 draws
    assert ((share - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()


def test_shapes_of_what_is_known_are_checked():
    model = model_of(Binary((4,)))
    with pytest.raises(ValueError, match=r"known of shape \(4,\), got \(2, 4\) and \(2, 4\)"):
        model.complete(torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.bool))
