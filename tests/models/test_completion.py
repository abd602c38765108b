"""What is filled in follows the law that the density gives it."""

import pytest
import torch

from ptheta.models.latent.covariances import COVARIANCES
from ptheta.models.latent.gmm import GaussianMixture
from ptheta.models.latent.latent_class import LatentClass
from ptheta.models.tractable.chow_liu import ChowLiuTree
from ptheta.models.tractable.hmm import HiddenMarkovModel
from ptheta.models.tractable.independent import Independent
from ptheta.models.tractable.markov import MarkovChain
from ptheta.random import seeded
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical, Column, Discrete, Real, Table

MIXED = Table(
    (
        Column("a", Categorical(categories=3)),
        Column("b", Discrete(levels=2)),
        Column("c", Categorical(categories=4)),
        Column("d", Discrete(levels=2)),
    )
)
SYMBOLS = Categorical((4,), 3, layout="sequence")
FINITE = {
    "independent": (Independent, MIXED),
    "latent-class": (lambda space: LatentClass(space, components=3), MIXED),
    "chow-liu": (ChowLiuTree, MIXED),
    "markov": (lambda space: MarkovChain(space, order=1), SYMBOLS),
    "markov, order 2": (lambda space: MarkovChain(space, order=2), SYMBOLS),
    "hmm": (lambda space: HiddenMarkovModel(space, states=3), SYMBOLS),
}


def states(space):
    sizes = [c.space.levels if isinstance(c.space, Discrete) else c.space.categories
             for c in space.columns] if isinstance(space, Table) else [3] * 4  # fmt: skip
    return torch.cartesian_prod(*map(torch.arange, sizes)).to(space.dtype)


def learnt(name):
    """A model of values that hang together."""
    make, space = FINITE[name]
    every = states(space)
    with seeded(0):
        x = every[torch.multinomial(torch.rand(len(every)).pow(3), 400, replacement=True)]
        model = make(space)
        if hasattr(model, "take"):
            model.take(model.count(x))
        else:
            model.initialize(x)
            for _ in range(5):
                model.maximization(model.expectation(x))
    return model, every


@pytest.mark.parametrize("name", FINITE)
@pytest.mark.parametrize("known", [(0, 2), (3,), (0, 1, 3), ()])
def test_draws_follow_the_conditionals_of_the_density(name, known):
    model, every = learnt(name)
    mask = torch.zeros(4, dtype=torch.bool)
    mask[list(known)] = True
    row = every[len(every) // 2 + 1]
    # the rows that agree with what is known, and their share of its probability
    agree = every[(every == row)[:, mask].all(dim=1)]
    share = model.log_prob(agree).double().softmax(dim=0)
    gaps = row.double().masked_fill(~mask, float("nan"))
    with seeded(1):
        filled = model.complete(gaps.expand(20_000, 4), mask)
    assert filled.dtype == model.space.dtype
    seen = (filled[:, None] == agree).all(dim=2).double()
    assert (seen.sum(dim=1) == 1).all()
    error = (share * (1 - share) / 20_000).sqrt()
    assert ((seen.mean(dim=0) - share).abs() <= 5 * error + 1e-9).all()


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("known", [(1,), (0, 2), ()])
def test_a_mixture_of_gaussians_draws_from_its_conditional(kind, known):
    with seeded(0):
        x = torch.cat([torch.randn(200, 3) @ torch.randn(3, 3) + 3 * torch.randn(3)
                       for _ in range(3)])  # fmt: skip
        model = GaussianMixture(3, 3, COVARIANCES[kind])
        model.initialize(x)
        for _ in range(5):
            model.maximization(model.expectation(x))
    mask = torch.zeros(3, dtype=torch.bool)
    mask[list(known)] = True
    with seeded(1):
        filled = model.complete(x[:1].expand(20_000, 3), mask)
        joint = model.sample(400_000).double()
    assert torch.equal(filled[:, mask], x[:1, mask].expand(20_000, -1))
    # importance weights of draws of the rest: p(known, rest) against p(rest)
    rest = joint.clone()
    rest[:, mask] = x[0, mask].double()
    weight = model.log_prob(rest) - _marginal(model, rest, ~mask)
    weight = (weight - weight.max()).exp()
    weight /= weight.sum()
    size = 1 / weight.square().sum()
    for moment in (1, 2):
        values = rest[:, ~mask].pow(moment)
        expected = (weight[:, None] * values).sum(dim=0)
        spread = (weight[:, None] * (values - expected).square()).sum(dim=0).sqrt()
        error = spread * (1 / 20_000 + 1 / size).sqrt()
        found = filled[:, ~mask].double().pow(moment).mean(dim=0)
        assert ((found - expected).abs() < 5 * error).all()


def _marginal(model, x, which):
    """log p of some values alone: the mixture of the blocks of the covariances."""
    matrices = model._matrices()[:, which][:, :, which]
    parts = torch.distributions.MultivariateNormal(model.means[:, which], matrices)
    log_joint = parts.log_prob(x[:, None, which]) + model.weights.log()
    return log_joint.logsumexp(dim=1)


def test_bridges_leave_what_is_known_as_it_is():
    space = Real((3,))
    with seeded(0):
        x = 100 + 5 * torch.randn(300, 3)
        model = build("gmm", space, settings={"components": 2}).model
        model.initialize(x)
        gaps = x.clone()
        gaps[:, 1] = float("nan")
        filled = model.complete(gaps, torch.tensor([True, False, True]))
    assert torch.equal(filled[:, [0, 2]], x[:, [0, 2]])
    assert abs(filled[:, 1].mean() - 100) < 2  # standard error 0.3


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (torch.ones(4, dtype=torch.long), "expected known of torch.bool, got torch.int64"),
        (torch.ones(3, dtype=torch.bool), "known of shape"),
    ],
)
@pytest.mark.parametrize("name", FINITE)
def test_a_mask_of_another_shape_or_type_is_refused(name, known, message):
    model, every = learnt(name)
    with pytest.raises(ValueError, match=message):
        model.complete(every, known)


def test_a_markov_chain_fills_in_long_sequences_without_underflow():
    space = Categorical((400,), 2, layout="sequence")
    with seeded(0):
        model = MarkovChain(space, order=2)
        x = (torch.arange(400) % 2).expand(20, 400)  # symbols that take turns
        model.take(model.count(x))
        known = torch.ones(400, dtype=torch.bool)
        known[[100, 300]] = False
        filled = model.complete(x, known)
    # each of 8,000 symbols followed the other, but for a smoothing of a few counts
    assert (filled == x).float().mean() > 0.99
