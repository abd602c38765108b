"""Fields on grids against sums over all of their states."""

import pytest
import torch

from ptheta.inference.adapters import WithGibbs
from ptheta.inference.gibbs import BlockGibbs
from ptheta.models.energy.pairwise import PairwiseField
from ptheta.objectives.accepts import accepts
from ptheta.objectives.contrastive import ContrastiveDivergence
from ptheta.objectives.neighbours import Pseudolikelihood
from ptheta.objectives.pseudolikelihood import ConditionalPseudolikelihood
from ptheta.protocols import capabilities
from ptheta.random import seeded

GRIDS = pytest.mark.parametrize("shape", [(2, 3), (3, 3), (1, 2, 3)], ids=str)
STATES = pytest.mark.parametrize("states", [2, 3])
KINDS = pytest.mark.parametrize("tables", [False, True], ids=["numbers", "tables"])


def stirred(shape, states=2, *, tables=False):
    with seeded(1), torch.no_grad():
        field = PairwiseField(shape, states, tables=tables).double()
        for parameter in field.parameters():
            parameter.copy_(0.7 * torch.randn_like(parameter))
    return field


def every(shape, states):
    """All states of a grid, in the order of a tensor with an axis for each site."""
    sites = shape[-2] * shape[-1]
    return torch.cartesian_prod(*[torch.arange(states)] * sites).reshape(-1, *shape)


def evidence(x, states):
    return torch.randn(*x.shape, states, dtype=torch.float64)


def by_sites_and_pairs(field, x, context=None):
    """log p~ by the formula, a site and a pair at a time."""
    horizontal, vertical = field.couplings()
    grid = x.reshape(-1, *x.shape[-2:])
    own = None if context is None else context.reshape(*grid.shape, field.states)
    total = torch.zeros(len(x), dtype=torch.float64)
    for i in range(grid.shape[1]):
        for j in range(grid.shape[2]):
            here = grid[:, i, j]
            total = total + field.unary[here]
            if own is not None:
                total = total + own[torch.arange(len(x)), i, j, here]
            if j + 1 < grid.shape[2]:
                total = total + horizontal[here, grid[:, i, j + 1]]
            if i + 1 < grid.shape[1]:
                total = total + vertical[here, grid[:, i + 1, j]]
    return total


@GRIDS
@STATES
@KINDS
def test_the_log_density_is_the_sum_over_sites_and_pairs(shape, states, tables):
    field, x = stirred(shape, states, tables=tables), every(shape, states)
    torch.testing.assert_close(field.unnormalized_log_prob(x), by_sites_and_pairs(field, x))
    context = evidence(x, states)
    found = field.unnormalized_log_prob(x, context)
    torch.testing.assert_close(found, by_sites_and_pairs(field, x, context))


@GRIDS
@STATES
@KINDS
def test_conditionals_are_those_of_the_table_of_all_states(shape, states, tables):
    field, x = stirred(shape, states, tables=tables), every(shape, states)
    own = evidence(x[:1], states)
    context = own.expand(*x.shape, states)
    sites = shape[-2] * shape[-1]
    table = by_sites_and_pairs(field, x, context).reshape([states] * sites)
    found = field.conditional_log_probs(x, context).reshape(len(x), sites, states)
    codes = x.reshape(len(x), sites)
    for site in range(sites):
        expected = table.log_softmax(dim=site).flatten()
        here = found[:, site].gather(1, codes[:, site, None]).squeeze(1)
        torch.testing.assert_close(here, expected)
    torch.testing.assert_close(found.exp().sum(dim=2), torch.ones_like(found[..., 0]))


def test_one_number_is_a_table_of_its_own_on_the_diagonal():
    field, x = stirred((2, 3), 3), every((2, 3), 3)
    tabled = PairwiseField((2, 3), 3, tables=True).double()
    tabled.load_state_dict(
        {
            "unary": field.unary,
            "horizontal": field.horizontal * torch.eye(3).double(),
            "vertical": field.vertical * torch.eye(3).double(),
        }
    )
    torch.testing.assert_close(tabled.unnormalized_log_prob(x), field.unnormalized_log_prob(x))


def test_sites_of_one_colour_do_not_interact():
    torch.manual_seed(0)
    field = stirred((4, 5), 3, tables=True)
    x = torch.randint(0, 3, (50, 4, 5))
    blocks = field.blocks(x)
    assert torch.equal(blocks.sum(dim=0), torch.ones(4, 5, dtype=torch.long))
    for block in blocks:
        other = torch.where(block, torch.randint(0, 3, x.shape), x)
        before, after = (field.conditional_log_probs(at) for at in (x, other))
        assert torch.equal(before[:, block], after[:, block])
        assert not torch.equal(before, after)


@STATES
def test_a_sweep_leaves_the_field_invariant(states):
    torch.manual_seed(0)
    field, x = stirred((2, 3), states, tables=True), every((2, 3), states)
    context = evidence(x[:1], states)
    shares = field.unnormalized_log_prob(x, context.expand(*x.shape, states)).softmax(dim=0)
    n = 100_000
    start = x[torch.multinomial(shares, n, replacement=True)]
    swept = field.gibbs(start, context.expand(n, -1, -1, -1)).flatten(1)
    assert (swept != start.flatten(1)).any()
    codes = (swept * states ** torch.arange(5, -1, -1)).sum(dim=1)
    found = codes.bincount(minlength=len(x)) / n
    # 5 standard errors, and 3 draws more for states that are hardly ever drawn, whose counts have
    # Poisson's tails: by the binomial law of each beyond it by chance once in 2500 runs
    error = (shares * (1 - shares) / n).sqrt()
    assert ((found - shares).abs() < 5 * error + 3 / n).all()


def test_draws_by_sweeps_follow_the_field():
    torch.manual_seed(0)
    field, x = stirred((1, 2, 3)), every((1, 2, 3), 2)
    model = WithGibbs(field, steps=60)
    assert capabilities(model) == ("sample", "unnormalized_log_prob")
    n = 5000
    drawn = model.sample(n)
    assert drawn.shape == (n, 1, 2, 3)
    shares = field.unnormalized_log_prob(x).softmax(dim=0)
    codes = (drawn.flatten(1) * 2 ** torch.arange(5, -1, -1)).sum(dim=1)
    found = codes.bincount(minlength=64) / n
    # 64 states: by the binomial law of each beyond it by chance once in 1000 runs
    assert ((found - shares).abs() < 4.5 * (shares * (1 - shares) / n).sqrt()).all()


def test_it_starts_from_sites_that_follow_the_data_one_by_one():
    torch.manual_seed(0)
    field = stirred((3, 4), 3)
    x = torch.multinomial(torch.tensor([0.5, 0.2, 0.3]), 2400, replacement=True).reshape(-1, 3, 4)
    field.initialize(x.to(torch.uint8))
    shares = (x.flatten().bincount() + 0.5) / (2400 + 1.5)
    expected = shares.log().double().expand(200, 3, 4, 3)
    torch.testing.assert_close(field.conditional_log_probs(x), expected)
    drawn = field.start(2000)
    found = drawn.flatten().bincount() / drawn.numel()
    # 24,000 independent sites
    assert ((found - shares).abs() < 4 * (shares * (1 - shares) / 24_000).sqrt()).all()


def test_grids_of_other_sizes_share_the_parameters():
    field = stirred((2, 2))
    x = torch.randint(0, 2, (5, 4, 6), dtype=torch.uint8)
    torch.testing.assert_close(field.unnormalized_log_prob(x), by_sites_and_pairs(field, x.long()))
    assert field.gibbs(x).dtype == torch.uint8
    one = x[:, :1, :1]
    own = field.unary.expand(5, 1, 1, 2).log_softmax(dim=-1)
    torch.testing.assert_close(field.conditional_log_probs(one), own)


def test_potentials_are_what_the_density_is_made_of():
    field, x = stirred((2, 3), 3), every((2, 3), 3)[:7]
    context = evidence(x, 3)
    own, horizontal, vertical = field.potentials(context)
    torch.testing.assert_close(own, field.unary + context)
    assert torch.equal(torch.stack([horizontal, vertical]), torch.stack(field.couplings()))
    assert field.potentials()[0].shape == (1, 2, 3, 3)


def test_every_objective_on_codes_takes_it():
    field = PairwiseField((2, 2))
    for objective in (
        Pseudolikelihood(),
        ConditionalPseudolikelihood(),
        ContrastiveDivergence(BlockGibbs()),
    ):
        assert accepts(objective, field)


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2), (1, 1, 2, 2), (0, 2)])
def test_what_is_no_grid_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected a shape \(height, width\) or .*, got \("):
        PairwiseField(shape)


def test_one_state_is_refused():
    with pytest.raises(ValueError, match="expected two states or more, got 1"):
        PairwiseField((2, 2), 1)


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ((2, 2), (5, 1, 2, 2), r"\(batch, height, width\), got shape \(5, 1, 2, 2\)"),
        ((1, 2, 2), (5, 2, 2), r"\(batch, 1, height, width\), got shape \(5, 2, 2\)"),
        ((1, 2, 2), (5, 3, 2, 2), r"\(batch, 1, height, width\), got shape \(5, 3, 2, 2\)"),
    ],
)
def test_codes_of_another_shape_are_refused(shape, given, expected):
    field, x = PairwiseField(shape), torch.zeros(given)
    for ask in (field.unnormalized_log_prob, field.conditional_log_probs, field.gibbs):
        with pytest.raises(ValueError, match=f"expected grids with shape {expected}"):
            ask(x)
    with pytest.raises(ValueError, match=f"expected grids with shape {expected}"):
        field.potentials(torch.zeros(*given, 2))


@pytest.mark.parametrize("code", [-1, 3])
def test_it_does_not_start_from_codes_that_are_no_states(code):
    with pytest.raises(ValueError, match="expected codes from 0 to 2, got codes from"):
        PairwiseField((2, 2), 3).initialize(torch.tensor([[[0, 1], [2, code]]]))


def test_a_context_of_another_shape_is_refused():
    field = PairwiseField((2, 2), 3)
    with pytest.raises(ValueError, match=r"shape \(5, 2, 2, 3\), got shape \(5, 2, 2, 2\)"):
        field.unnormalized_log_prob(torch.zeros(5, 2, 2), torch.zeros(5, 2, 2, 2))


@torch.no_grad()
def test_tempered_fields_lie_between_independent_sites_and_the_field():
    torch.manual_seed(0)
    field = PairwiseField((2, 3), states=2, tables=True).double()
    for parameter in field.parameters():
        parameter.add_(torch.randn_like(parameter))
    every = torch.cartesian_prod(*[torch.tensor([0, 1])] * 6).reshape(-1, 2, 3)
    total = field.tempered(0.0).unnormalized_log_prob(every).logsumexp(dim=0)
    torch.testing.assert_close(field.tempered(0.0).log_partition_at_start(), total)
    ends = [field.tempered(beta).unnormalized_log_prob(every) for beta in (0.0, 0.3, 1.0)]
    torch.testing.assert_close(ends[1], 0.7 * ends[0] + 0.3 * ends[2])
    torch.testing.assert_close(ends[2], field.unnormalized_log_prob(every))


def test_no_draws_are_asked_for():
    field = PairwiseField((3, 4), 3)
    assert field.start(0).shape == (0, 3, 4)


def test_a_sweep_is_as_likely_as_its_way_back():
    torch.manual_seed(0)
    field = PairwiseField((1, 2), 2).double()
    with torch.no_grad():
        field.horizontal.fill_(1.0)
        field.unary.copy_(torch.tensor([0.0, 1.0]))
    states = every((1, 2), 2)
    n = 400_000
    law = field.unnormalized_log_prob(states).softmax(dim=0).detach()
    start = torch.multinomial(law, n, replacement=True)
    end = field.gibbs(states[start])[:, 0] @ torch.tensor([2, 1])
    counts = torch.zeros(4, 4, dtype=torch.float64)
    counts.index_put_((start, end), torch.ones(n, dtype=torch.float64), accumulate=True)
    # there and back are counts with the same mean; one order of the colours is off by hundreds
    off = (counts - counts.T).abs() / (counts + counts.T).clamp(min=1).sqrt()
    assert off.max() < 4.5
