import math

import pytest
import torch

from ptheta.models.autoregressive.order_agnostic_made import OrderAgnosticMADE
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table

TABLE = Table(
    (Column("a", Real()), Column("b", Categorical(categories=3)), Column("c", Discrete(levels=2)))
)


def model_of(space, context_space=None, **options):
    torch.manual_seed(0)
    model = OrderAgnosticMADE(space, context_space, hidden_features=(9, 8), masks=3, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model.double().eval()


@pytest.mark.parametrize("direct", [True, False])
def test_it_sums_to_one_given_each_class(direct):
    model = model_of(Categorical((3,), 3), Categorical(categories=2), direct=direct)
    x = torch.cartesian_prod(*[torch.arange(3)] * 3)
    for label in (0, 1):
        total = model.log_prob(x, torch.full((len(x),), label)).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-12)


def test_the_jacobian_of_each_member_follows_its_own_order():
    model = model_of(Real((6,)), components=1)
    x = torch.randn(6, dtype=torch.float64)
    for member, order in enumerate(model.orders.tolist()):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, k=member: model.conditionals(x[None], k).parameters[0], x
        )
        seen = torch.zeros(6, 6, dtype=torch.bool)
        seen.index_put_((model.head.owner,), jacobian != 0, accumulate=True)
        rank = torch.tensor(order).argsort()
        assert torch.equal(seen, rank[None, :] < rank[:, None])
    assert len({tuple(order) for order in model.orders.tolist()}) == 3


def test_the_density_is_the_mean_over_members_and_in_training_that_of_one():
    model = model_of(TABLE)
    x = torch.tensor([[0.3, 2, 1], [-1.0, 0, 0]], dtype=torch.float64)
    each = torch.stack([model.conditionals(x, k).log_prob(x) for k in range(3)])
    torch.testing.assert_close(model.log_prob(x), each.logsumexp(dim=0) - math.log(3))
    model.train()
    torch.manual_seed(1)
    chosen = {tuple(model.log_prob(x).tolist()) for _ in range(40)}
    assert chosen == {tuple(row.tolist()) for row in each}


def test_draws_are_those_of_a_whole_evaluation_for_each_value():
    model = model_of(TABLE, Real((2,))).float()
    uniforms, members = torch.rand(2, 3, 5), torch.tensor([0, 1, 2, 1, 0])
    context = torch.randn(5, 2)
    drawn = model.draw(uniforms, members, context)
    naive = torch.zeros(5, 3, dtype=torch.float64)
    for row, member in enumerate(members.tolist()):
        for position in model.orders[member].tolist():
            found = model.conditionals(naive[[row]], member, context[[row]]).parameters
            parameters = found[:, model.head.owner == position].t()
            kind = model.head.kind(position)
            naive[row, position] = kind.draw(parameters, uniforms[:, position, [row]])[0]
    torch.testing.assert_close(drawn, naive, rtol=1e-5, atol=1e-5)


def test_missing_values_are_refused():
    with pytest.raises(ValueError, match="no place for missing ones"):
        OrderAgnosticMADE(Table((Column("a", Real(), missing=True),)))


def test_a_value_alone_is_its_marginal():
    model = model_of(Binary((1,)))
    x = torch.tensor([[0], [1]])
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1)
