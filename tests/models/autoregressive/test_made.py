import copy
import math

import pytest
import torch

from ptheta.models.autoregressive.made import MADE
from ptheta.models.autoregressive.stack import degrees
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.types import Batch
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table
from ptheta.testing.examples import example_context, example_rows, grid, states
from ptheta.training.ema import Average
from ptheta.training.gradient import GradientLearner

MIXED = Table(
    (
        Column("a", Categorical(categories=3)),
        Column("b", Discrete(levels=12)),
        Column("c", Discrete(levels=2)),
        Column("d", Discrete(levels=4)),
    )
)
REALS = Table((Column("a", Real()), Column("b", Categorical(categories=3)), Column("c", Real())))


def trained(model, context_space=None, steps=15, average=None):
    from lightning_fabric import Fabric

    x = example_rows(model.space, 200)
    context = example_context(context_space, 200)
    model.initialize(x)
    learner = GradientLearner(
        model, MaximumLikelihood(), learning_rate=3e-2, weight_decay=0.5, clip=1.0
    )
    learner.setup(Fabric(accelerator="cpu", devices=1))
    average = Average(model, 0.9) if average else None
    for _ in range(steps):
        learner.step(Batch(x, context))
        if average is not None:
            average.update()
    return (average.model if average is not None else model).eval()


def dependence(model, x, context=None):
    """Which parameters' owners move with which inputs, as ranks: (values, values)."""
    features = model.features(x).requires_grad_()
    model.features.forward = lambda x: features
    parameters = model.conditionals(x, context).parameters.sum(dim=0)
    found = torch.zeros(model.space.features, model.space.features, dtype=torch.bool)
    for owner, parameter in zip(model.head.owner.tolist(), parameters, strict=True):
        (gradient,) = torch.autograd.grad(parameter, features, retain_graph=True)
        moved = gradient.abs().sum(dim=0) > 0
        found[owner, model.features.owner[moved]] = True
    order = list(model.order)
    return found[order][:, order]


@pytest.mark.parametrize("order", [None, (3, 0, 2, 1)])
@pytest.mark.parametrize("served", ["weights", "average", "loaded", "copy"])
def test_a_value_depends_on_all_before_it_and_nothing_else(order, served):
    make = lambda: MADE(MIXED, hidden_features=(12, 9), order=order)  # noqa: E731
    model = trained(make(), average=served == "average")
    if served == "loaded":
        state = model.state_dict()
        model = make()
        model.load_state_dict(state)
    if served == "copy":
        model = trained(copy.deepcopy(model))
    model.eval()
    found = dependence(model, example_rows(MIXED, 64))
    assert torch.equal(found, torch.ones(4, 4, dtype=torch.bool).tril(-1))


def test_fewer_units_than_values_leave_none_unseen():
    model = MADE(Binary((40,)), hidden_features=(6,), direct=False)
    found = dependence(model, example_rows(model.space, 64))
    spread = degrees(6, 40)
    assert spread[0] == 0
    assert spread[-1] == 38
    assert not found.triu().any()
    # units of degree 0, 8, 15, 23, 30, 38: the last value sees all through the last of them
    assert found[39, :39].all()


@pytest.mark.parametrize(
    "space", [Binary((8,)), Discrete((2, 2), 6), MIXED, Discrete((2,), 50), Categorical((4,), 5)]
)
def test_masses_sum_to_one(space):
    model = trained(MADE(space, hidden_features=(16, 16), components=3))
    assert model.log_prob(states(space)).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_the_density_integrates_to_one():
    model = trained(MADE(Real((2,)), hidden_features=(16,), components=3))
    points, area = grid(10.0, 801)
    # the trapezium rule on a grid of 0.025; scales of this short training are above 0.1
    assert (model.log_prob(points).exp().sum() * area).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("context_space", [Categorical(categories=3), Real((2,))])
def test_each_context_has_its_own_normalised_masses(context_space):
    space = Discrete((3,), 4)
    model = trained(MADE(space, context_space, hidden_features=(16, 16)), context_space)
    every = states(space)
    context = example_context(context_space, 6)
    log_p = torch.stack([model.log_prob(every, c.expand(len(every), *c.shape)) for c in context])
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(6), rtol=0, atol=1e-4)
    first = log_p.reshape(6, 4, -1).exp().sum(dim=2)
    assert (first.std(dim=0) > 1e-3).all()  # the first value hears the context too


def naive(model, uniforms, context=None):
    """A full pass for each value."""
    x = torch.zeros(uniforms.shape[2], model.space.features, dtype=torch.float64)
    for d in model.order:
        distribution = model.conditionals(x.reshape(-1, *model.space.shape), context)
        blocks = model.head.split(distribution.parameters)
        for group, kind, block in zip(model.head.groups, model.head.kinds, blocks, strict=True):
            if d in group.positions:
                own = block[..., group.positions.index(d)].t()
                x[:, d] = kind.draw(own, uniforms[:, d]).double()
    return x.reshape(-1, *model.space.shape)


@pytest.mark.parametrize("hidden_features", [(), (5,), (30, 20), (8, 16, 8)])
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("order", [None, (2, 5, 0, 4, 1, 3)])
def test_cached_draws_are_those_of_full_passes(hidden_features, direct, order):
    space = Discrete((2, 3), 5)
    model = MADE(space, hidden_features=hidden_features, direct=direct, order=order)
    model = trained(model, steps=5)
    uniforms = torch.rand(2, 6, 50)
    assert torch.equal(model.draw(uniforms).double(), naive(model, uniforms))


@pytest.mark.parametrize("hidden_features", [(), (50,), (300, 40)])
@pytest.mark.parametrize("order", [None, tuple(7 * i % 75 for i in range(75))])
@pytest.mark.parametrize("context_space", [None, Categorical(categories=3)])
def test_cached_draws_over_several_blocks_of_values(hidden_features, order, context_space):
    model = MADE(Binary((75,)), context_space, hidden_features=hidden_features, order=order)
    model = trained(model.double(), context_space, steps=5)
    uniforms = torch.rand(2, 75, 20, dtype=torch.float64)
    context = None if context_space is None else example_context(context_space, 20)
    assert torch.equal(model.draw(uniforms, context), naive(model, uniforms, context))


@pytest.mark.parametrize("context_space", [None, Categorical(categories=3), Real((2,))])
def test_cached_draws_of_mixed_rows_are_those_of_full_passes(context_space):
    model = trained(MADE(REALS, context_space, hidden_features=(20, 20)), context_space, steps=5)
    uniforms, context = torch.rand(2, 3, 40), example_context(context_space, 40)
    drawn = model.draw(uniforms, context)
    torch.testing.assert_close(drawn, naive(model, uniforms, context), rtol=1e-4, atol=1e-4)


def test_draws_follow_the_density():
    space = Discrete((2,), 4)
    n = 20_000
    model = trained(MADE(space, hidden_features=(16,)))
    every = states(space)
    p = model.log_prob(every).exp()
    code = model.sample(n).long() @ torch.tensor([4, 1])
    share = torch.bincount(code, minlength=16) / n
    assert ((share - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1e-6).all()


def test_it_learns_a_dependence_that_marginals_cannot():
    # two equal fair bits have log 2 nats, their marginals 2 log 2
    x = torch.randint(0, 2, (256, 1), dtype=torch.uint8).expand(-1, 2)
    model = MADE(Binary((2,)), hidden_features=(8,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        loss = -model.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < math.log(2) + 0.05


def test_it_starts_near_the_marginals():
    x = example_rows(MIXED, 500)
    model = MADE(MIXED, hidden_features=(32,))
    model.initialize(x)
    marginal = model.head(model.head.fit(x)).log_prob(x).mean()
    assert abs(model.log_prob(x).mean() - marginal) < 0.3


def test_a_sample_shape_and_a_context_multiply():
    model = MADE(Binary((3,)), Categorical(categories=2), hidden_features=(4,))
    assert model(torch.tensor([0, 1])).sample((5,)).shape == (5, 2, 3)
    with pytest.raises(ValueError, match="one for each draw"):
        model.sample(3, torch.tensor([0, 1]))


def test_what_cannot_be_served_is_refused():
    with pytest.raises(ValueError, match="order"):
        MADE(Binary((3,)), order=(0, 1, 1))
    with pytest.raises(ValueError, match="missing"):
        MADE(Table((Column("a", Real(), missing=True),)))


def test_without_hidden_layers_it_is_a_logistic_regression_for_each_value():
    torch.manual_seed(0)
    model = MADE(Binary((4,)), hidden_features=(), direct=False)
    torch.nn.init.normal_(model.output.bias)
    x = torch.tensor([[1, 0, 1, 1]])
    signs = 2 * x.double() - 1  # binary values enter as -1 and 1
    weight, bias = model.output.weight.double(), model.output.bias.double()
    assert torch.equal(weight, weight.tril(-1))
    logits = bias + (weight * signs).sum(dim=1)
    expected = torch.nn.functional.logsigmoid(signs[0] * logits).sum()
    torch.testing.assert_close(model.log_prob(x)[0].double(), expected, rtol=1e-5, atol=1e-6)
