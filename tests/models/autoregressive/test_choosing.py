import math

import pytest
import torch

from ptheta.models.autoregressive.choosing import Choice
from ptheta.models.heads.discrete import SoftmaxKind

P = torch.tensor([0.05, 0.4, 0.1, 0.3, 0.15], dtype=torch.float64)
LOGITS = P.log() + 3  # a constant makes no difference


def probabilities(logits=LOGITS, **options):
    return Choice(**options)(logits).softmax(dim=-1)


def test_without_options_nothing_changes():
    assert torch.equal(Choice()(LOGITS), LOGITS)


@pytest.mark.parametrize("temperature", [0.3, 0.8, 1.7])
def test_a_temperature_raises_probabilities_to_a_power(temperature):
    expected = P ** (1 / temperature)
    torch.testing.assert_close(probabilities(temperature=temperature), expected / expected.sum())


def test_temperature_zero_takes_the_likeliest_and_the_limit_is_the_same():
    likeliest = torch.tensor([0, 1, 0, 0, 0], dtype=torch.float64)
    assert torch.equal(probabilities(temperature=0), likeliest)
    for temperature in (1e-4, 1e-30, 1e-300):
        assert torch.equal(probabilities(temperature=temperature), likeliest)


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, [1]), (2, [1, 3]), (4, [1, 2, 3, 4]), (5, range(5)), (99, range(5))]
)
def test_top_k_keeps_the_k_likeliest_in_proportion(top_k, kept):
    expected = torch.zeros_like(P)
    expected[list(kept)] = P[list(kept)]
    torch.testing.assert_close(probabilities(top_k=top_k), expected / expected.sum())


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(1e-9, [1]), (0.39, [1]), (0.41, [1, 3]), (0.69, [1, 3]), (0.71, [1, 3, 4]), (0.96, range(5))],
)
def test_top_p_keeps_the_fewest_that_reach_the_share(top_p, kept):
    expected = torch.zeros_like(P)
    expected[list(kept)] = P[list(kept)]
    torch.testing.assert_close(probabilities(top_p=top_p), expected / expected.sum())


def test_top_p_is_a_share_of_what_top_k_and_the_temperature_leave():
    # squares: 16, 9 and 2.25 of the three likeliest; 16 / 27.25 = 0.587, 25 / 27.25 = 0.917
    expected = torch.tensor([0, 16, 0, 9, 0], dtype=torch.float64) / 25
    torch.testing.assert_close(probabilities(temperature=0.5, top_k=3, top_p=0.6), expected)


def test_of_equals_so_many_are_kept_as_are_asked_for():
    assert (probabilities(torch.zeros(6), top_k=2) > 0).sum() == 2
    assert (probabilities(torch.zeros(6), top_p=0.5) > 0).sum() == 3


def test_rows_are_changed_each_on_its_own():
    rows = torch.randn(3, 4, 7, dtype=torch.float64)
    found = Choice(temperature=0.7, top_k=4, top_p=0.8)(rows)
    for i in range(3):
        for j in range(4):
            alone = Choice(temperature=0.7, top_k=4, top_p=0.8)(rows[i, j])
            assert torch.equal(found[i, j], alone)


def test_what_is_left_out_is_never_drawn_whatever_the_noise():
    torch.manual_seed(0)
    logits = Choice(top_k=3)(3 * torch.randn(2000, 65))
    logits[:, -1] = -math.inf
    largest = torch.full((2, 2000), 1 - 2.0**-24)  # the largest that torch.rand gives
    for uniforms in (torch.zeros(2, 2000), largest, torch.rand(2, 2000)):
        drawn = SoftmaxKind(65).draw(logits.t(), uniforms).long()
        assert logits[torch.arange(2000), drawn].isfinite().all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"temperature": -0.1}, "temperature must be 0 or more, got -0.1"),
        ({"temperature": math.nan}, "temperature must be 0 or more, got nan"),
        ({"temperature": math.inf}, "temperature must be 0 or more, got inf"),
        ({"top_k": 0}, "top-k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top-p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "top-p must be above 0 and at most 1, got 1.1"),
    ],
)
def test_what_is_out_of_bounds_is_refused(options, match):
    with pytest.raises(ValueError, match=match):
        Choice(**options)
