import pytest
import torch
from torch import nn

from ptheta.inference.langevin import MALA, ULA
from ptheta.inference.metropolis import RandomWalk
from ptheta.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from ptheta.objectives.types import Batch
from ptheta.spaces import Categorical, Real


class Tilted(nn.Module):
    """log p(x) = w . (x, cos 2x) - x^2 / 2 on the line."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5, 1.5]))

    def features(self, x):
        return torch.cat([x, (2 * x).cos()], dim=1)

    def unnormalized_log_prob(self, x, context=None):
        return self.features(x) @ self.w - x.square().sum(dim=1) / 2


def test_gradient_is_that_of_the_exact_likelihood_on_a_grid():
    torch.manual_seed(0)
    model = Tilted()
    chains = 20_000
    objective = PersistentContrastiveDivergence(MALA(0.4), (1,), chains=chains, steps=100)
    x = torch.randn(chains, 1) + 0.3
    objective.loss(model, Batch(x)).value.backward()

    grid = torch.linspace(-8, 8, 4001)[:, None]
    weights = model.unnormalized_log_prob(grid).detach().softmax(dim=0)[:, None]
    expected = (weights * model.features(grid)).sum(dim=0) - model.features(x).mean(dim=0)
    # the chains are independent of each other, so their spread gives the standard error
    error = model.features(objective.chains).std(dim=0) / chains**0.5
    assert ((model.w.grad - expected).abs() < 4 * error).all()


def test_chains_live_on_and_only_as_many_move_as_there_are_examples():
    torch.manual_seed(0)
    objective = PersistentContrastiveDivergence(MALA(0.01), (1,), chains=50, steps=1)
    before = objective.chains.clone()
    objective.loss(Tilted(), Batch(torch.randn(10, 1)))
    moved = (objective.chains != before).any(dim=1)
    assert 1 <= moved.sum() <= 10
    assert (objective.chains - before).abs().max() < 1  # ten steps of size 0.1, not fresh starts


def test_every_chain_starts_afresh_at_a_refresh_of_nearly_one():
    torch.manual_seed(0)
    objective = PersistentContrastiveDivergence(
        MALA(1e-6), (1,), chains=64, steps=1, refresh=1 - 1e-9
    )
    objective.chains.fill_(100.0)
    objective.loss(Tilted(), Batch(torch.randn(64, 1)))
    assert objective.chains.abs().max() < 10


@pytest.mark.parametrize(
    ("space", "given"), [(Categorical(categories=3), 2), (Real((2,)), 7.0)], ids=["class", "vector"]
)
def test_fresh_chains_take_the_contexts_of_data(space, given):
    seen = []

    class Conditional(Tilted):
        def unnormalized_log_prob(self, x, context=None):
            seen.append(context)
            return super().unnormalized_log_prob(x)

    torch.manual_seed(0)
    objective = PersistentContrastiveDivergence(
        MALA(0.1), (1,), space, chains=8, steps=1, refresh=1 - 1e-9
    )
    context = torch.full((8, *space.shape), given)
    objective.loss(Conditional(), Batch(torch.randn(8, 1), context))
    assert (objective.contexts == given).all()
    assert all((c == given).all() for c in seen)


def test_penalty_adds_the_mean_squares_of_both_sides():
    data = torch.tensor([[1.0], [2.0]])

    class Square(nn.Module):
        def unnormalized_log_prob(self, x, context=None):
            return -x.square().sum(dim=1)

    torch.manual_seed(0)
    objective = PersistentContrastiveDivergence(MALA(0.1), (1,), chains=2, steps=1, penalty=0.5)
    loss = objective.loss(Square(), Batch(data))
    draws = -objective.chains.square().sum(dim=1)
    gap = draws.mean() + 2.5
    torch.testing.assert_close(loss.value, gap + 0.5 * (8.5 + draws.square().mean()))


def test_state_dict_brings_chains_and_step_size_back():
    torch.manual_seed(0)
    kernel = MALA(0.1, target=0.574)
    one = PersistentContrastiveDivergence(kernel, (1,), chains=8, steps=5)
    one.loss(Tilted(), Batch(torch.randn(8, 1)))
    two = PersistentContrastiveDivergence(kernel, (1,), chains=8, steps=5)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.chains, two.chains)
    assert torch.equal(one.step_size, two.step_size)
    assert one.step_size != 0.1


def test_chains_that_start_at_data_go_on_with_the_step_that_was_found():
    torch.manual_seed(0)
    kernel = RandomWalk(0.05, target=0.234)
    objective = ContrastiveDivergence(kernel, steps=5)
    for _ in range(60):
        loss = objective.loss(Tilted(), Batch(torch.randn(256, 1)))
    assert abs(loss.terms["acceptance"] - 0.234) < 0.12  # 256 chains, and a tuning that stirs
    other = ContrastiveDivergence(kernel)
    other.load_state_dict(objective.state_dict())
    assert other.step_size == objective.step_size > 0.5


class Flat(torch.nn.Module):
    """A density that rises without end, so that chains run away."""

    def unnormalized_log_prob(self, x, context=None):
        return 50 * x.sum(dim=1)


@pytest.mark.parametrize("steps", [10, 100])
def test_chains_that_run_away_make_the_loss_no_number_and_say_how_far_they_got(steps):
    torch.manual_seed(0)
    # each step adds 5, and data reach to between 1.5 and 4
    objective = ContrastiveDivergence(ULA(0.1), steps=steps)
    loss = objective.loss(Flat(), Batch(torch.randn(50, 1)))
    assert bool(loss.value.isnan()) == (steps == 100)
    assert (loss.terms["reach"] > 100) == (steps == 100)
