import itertools

import pytest
import torch

from ptheta.models.tractable.hmm import HiddenMarkovModel
from ptheta.spaces import Categorical

SPACE = Categorical((4,), 3, layout="sequence")
PATHS = list(itertools.product(range(2), repeat=4))


@pytest.fixture
def model():
    torch.manual_seed(0)
    found = HiddenMarkovModel(SPACE, states=2)
    found.start.copy_(torch.tensor([0.3, 0.7]))
    found.transition.copy_(torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    found.emission.copy_(torch.tensor([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]))
    return found


def joint(model, x, path):
    p = model.start[path[0]] * model.emission[path[0], x[0]]
    for t in range(1, 4):
        p = p * model.transition[path[t - 1], path[t]] * model.emission[path[t], x[t]]
    return p


@pytest.mark.parametrize("x", [(0, 1, 2, 0), (2, 2, 2, 2), (0, 0, 1, 2)])
def test_the_forward_sum_is_that_over_all_paths(model, x):
    expected = sum(joint(model, x, path) for path in PATHS).log()
    found = model.log_likelihood(torch.tensor([x]))[0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("x", [(0, 1, 2, 0), (2, 2, 2, 2), (0, 0, 1, 2)])
def test_viterbi_is_the_likeliest_of_all_paths(model, x):
    best = max(PATHS, key=lambda path: joint(model, x, path).item())
    assert model.viterbi(torch.tensor([x]))[0].tolist() == list(best)


def test_expected_counts_are_those_over_all_paths(model):
    x = (0, 2, 2, 1)
    weights = torch.stack([joint(model, x, path) for path in PATHS])
    weights = weights / weights.sum()
    starts, transitions = torch.zeros(2).double(), torch.zeros(2, 2).double()
    emissions = torch.zeros(2, 3).double()
    for weight, path in zip(weights, PATHS, strict=True):
        starts[path[0]] += weight
        for t in range(4):
            emissions[path[t], x[t]] += weight
        for t in range(1, 4):
            transitions[path[t - 1], path[t]] += weight
    found = model.expectation(torch.tensor([x]))
    for mine, expected in zip(found, (starts, transitions, emissions), strict=False):
        torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-12)


def test_the_likelihood_never_falls():
    torch.manual_seed(1)
    x = torch.randint(3, (60, 4))
    model = HiddenMarkovModel(SPACE, states=3, smoothing=0.0)
    model.initialize(x)
    found = []
    for _ in range(20):
        statistics = model.expectation(x)
        found.append(statistics.log_likelihood.item())
        model.maximization(statistics)
    assert all(later >= before - 1e-9 for before, later in itertools.pairwise(found))
    assert found[-1] > found[0] + 1


def test_pieces_of_the_sequences_add_up(model, monkeypatch):
    from ptheta.models.tractable import hmm

    x = torch.randint(3, (10, 4))
    whole = model.expectation(x)
    monkeypatch.setattr(hmm, "_BLOCK_VALUES", 3 * 4 * 2)
    for one, other in zip(model.expectation(x), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_long_sequences_do_not_underflow():
    space = Categorical((5000,), 3, layout="sequence")
    model = HiddenMarkovModel(space, states=2)
    found = model.log_likelihood(torch.randint(3, (1, 5000)))
    assert found.item() == pytest.approx(-5000 * torch.tensor(3.0).log().item(), rel=1e-6)


def test_without_smoothing_what_cannot_be_has_no_probability():
    torch.manual_seed(0)
    model = HiddenMarkovModel(SPACE, states=2, smoothing=0.0)
    x = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0]]).repeat(20, 1)
    model.initialize(x)
    for _ in range(10):
        model.maximization(model.expectation(x))
    assert model.log_prob(x).isfinite().all()
    assert model.log_prob(torch.tensor([[0, 1, 2, 1]])).item() == -torch.inf
    # statistics of data that cannot be leave no parameter that is no number
    model.maximization(model.expectation(torch.full((3, 4), 2)))
    assert all(found.isfinite().all() for found in model.buffers())
