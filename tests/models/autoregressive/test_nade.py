import math

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.fitting import fit
from ptheta.models.autoregressive import nade
from ptheta.models.autoregressive.nade import NADE
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Column, Discrete, Positive, Real, Table
from ptheta.testing.examples import example_context, grid

ORDER = (3, 0, 1, 6, 5, 4, 2)


def random_model(space, **options):
    torch.manual_seed(0)
    model = NADE(space, hidden_features=8, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.double()


def one_value_at_a_time(model, x):
    """The equations of the paper, for binary values, which enter as -1 and 1."""
    units, total = model.start.expand(len(x), -1), 0.0
    for d, position in enumerate(model.order.tolist()):
        logit = (units.sigmoid() @ model.outward[d] + model.bias[d])[:, 0]
        total = total + x[:, position] * logit - F.softplus(logit)
        units = units + (2 * x[:, position : position + 1].double() - 1) @ model.inward[d]
    return total


@pytest.mark.parametrize("values", [1, 3 * 6 * 8, 2**19])
def test_blocks_of_any_size_give_the_paper_s_density_and_its_gradient(monkeypatch, values):
    monkeypatch.setattr(nade, "_BLOCK_VALUES", values)
    model = random_model(Binary((7,)), order=ORDER)
    x = torch.randint(2, (6, 7))
    found, expected = model.log_prob(x), one_value_at_a_time(model, x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    parameters = list(model.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(found.sum(), parameters),
        torch.autograd.grad(expected.sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("values", [1, 3 * 4 * 8, 2**19])
def test_the_gradient_by_real_values_is_that_of_differences(monkeypatch, values):
    monkeypatch.setattr(nade, "_BLOCK_VALUES", values)
    model = random_model(Real((5,)), components=2, order=(3, 0, 1, 4, 2))
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    # features are of single precision, so that steps must not be small
    assert torch.autograd.gradcheck(model.log_prob, x, eps=1e-3, atol=1e-3, rtol=1e-3)


def test_nothing_has_no_densities():
    assert random_model(Binary((7,))).log_prob(torch.empty(0, 7)).shape == (0,)


def test_a_value_sees_only_those_before_it():
    model = random_model(Binary((7,)), order=ORDER)
    x = torch.randint(2, (1, 7))

    def parameters(x):
        return model.conditionals(x).parameters[0]

    for d, position in enumerate(ORDER):
        flipped = x.clone()
        flipped[0, position] ^= 1
        moved = (parameters(flipped) - parameters(x)).abs() > 1e-9
        assert {i for i in range(7) if moved[i]} == set(ORDER[d + 1 :])


def test_draws_are_those_of_a_whole_evaluation_for_each_value():
    model = random_model(Binary((7,)), order=ORDER).float()
    uniforms = torch.rand(2, 7, 50)
    drawn = model.draw(uniforms)
    x = torch.zeros(50, 7, dtype=torch.uint8)
    for position in ORDER:
        p = model.conditionals(x).parameters[:, position].sigmoid()
        x[:, position] = uniforms[0, position] < p
    assert torch.equal(drawn, x)


@torch.no_grad()
@pytest.mark.parametrize(
    "space", [Binary((4,)), Categorical((4,), 3), Discrete((4,), 50), Real((4,))]
)
@pytest.mark.parametrize("context_space", [None, Categorical(categories=3), Real((2,))])
def test_draws_of_every_kind_are_those_of_whole_evaluations(space, context_space):
    options = {"components": 3, "order": (2, 0, 3, 1), "context_space": context_space}
    model = random_model(space, **options)
    context = example_context(context_space, 40)
    model.context.initialize_context(context)
    uniforms = torch.rand(2, 4, 40, dtype=torch.float64)
    x = torch.zeros(40, 4, dtype=torch.float64)
    for position in model.order.tolist():
        parameters = model.conditionals(x, context).parameters.unflatten(1, (-1, 4))
        own = parameters[:, :, position].T
        x[:, position] = model.head.kind(position).draw(own, uniforms[:, position]).double()
    drawn = model.draw(uniforms, context)
    assert drawn.dtype == space.dtype
    torch.testing.assert_close(drawn.double(), x, rtol=1e-6, atol=1e-6)
    if context is not None:
        # the context is heard: given another, the same noise comes to something else
        assert not torch.equal(model.draw(uniforms, context.roll(1, 0)), drawn)


@pytest.mark.parametrize("space", [Categorical((4,), 3), Discrete((4,), 5)])
def test_categories_and_levels_sum_to_one(space):
    model = random_model(space)
    every = torch.cartesian_prod(*[torch.arange(model.head.kinds[0].size)] * 4)
    assert model.log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_real_values_integrate_to_one():
    model = random_model(Real((2,)), components=3).float()
    points, area = grid(40.0, 1601)
    assert (model.log_prob(points).exp().sum() * area).item() == pytest.approx(1, abs=1e-2)


def test_positive_values_integrate_to_one_by_exponentials():
    model = random_model(Positive((2,)), components=3).float()
    points, area = grid(40.0, 3201)
    # the midpoints of the cells of the quarter where both are positive
    points = points[(points > 0).all(dim=1)] - 40.0 / 3200
    assert (model.log_prob(points).exp().sum() * area).item() == pytest.approx(1, abs=1e-2)


def test_exponentials_fit_waiting_times_as_they_are():
    torch.manual_seed(0)
    first = torch.empty(3000, 1).exponential_()
    x = torch.cat([first, first * torch.empty(3000, 1).exponential_() + 1e-3], dim=1)
    frame = pd.DataFrame(50 * x.numpy(), columns=["a", "b"])
    data = load_data(frame, kinds={"a": "positive", "b": "positive"})
    run = fit(data, "nade", settings={"positive": "exponential"}, steps=400)
    # an exponential of mean m has entropy 1 + log m; the mean of log m is minus Euler's constant
    entropy = 1 + (1 - 0.5772) + 2 * math.log(50)
    found = -run.model.log_prob(data.test.x[:]).mean().item()
    assert found == pytest.approx(entropy, abs=0.25)


def test_exponentials_of_values_that_are_not_positive_are_refused():
    with pytest.raises(PthetaError, match="exponentials are for positive values"):
        build("nade", Real((2,)), None, {"positive": "exponential"})


def test_a_context_shifts_the_density():
    model = random_model(Binary((3,)), context_space=Categorical(categories=2)).float()
    x = torch.tensor([[0, 1, 1]] * 2)
    one, other = model.log_prob(x, torch.tensor([0, 1]))
    assert one != other


MIXED = Table(
    (
        Column("a", Categorical(categories=3)),
        Column("b", Real()),
        Column("c", Discrete(levels=5)),
        Column("d", Binary()),
    )
)


def test_values_of_several_kinds_have_conditionals_of_their_own():
    model = random_model(MIXED, order=(2, 0, 3, 1), components=2)
    codes = torch.cartesian_prod(torch.arange(3), torch.arange(5), torch.arange(2)).double()
    line = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    a, c, d = (codes[:, None, i].expand(-1, len(line)) for i in range(3))
    x = torch.stack([a, line.expand(len(codes), -1), c, d], dim=2)
    density = model.log_prob(x.flatten(0, 1)).exp().unflatten(0, (len(codes), -1))
    assert math.isclose(torch.trapezoid(density, line).sum().item(), 1, rel_tol=1e-6)


def test_no_value_of_several_kinds_sees_those_after_it():
    model = random_model(MIXED, order=(2, 0, 3, 1), components=2)
    x = torch.tensor([[1, 0.3, 4, 1]], dtype=torch.float64)
    each = model.conditionals(x).log_prob_values(x)
    changed = torch.tensor([[1, -2.0, 4, 0]], dtype=torch.float64)
    again = model.conditionals(changed).log_prob_values(x)
    # c, a and d come before b, and c and a before d
    torch.testing.assert_close(each[:, [0, 2, 3]], again[:, [0, 2, 3]])
    assert each[0, 1] != again[0, 1]


def test_values_that_may_be_missing_are_refused():
    table = Table((Column("a", Real(), missing=True), Column("b", Discrete(levels=3))))
    with pytest.raises(PthetaError, match=r"missing.*Recipes that can: .*eonade"):
        build("nade", table)
