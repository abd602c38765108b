import pytest

from ptheta.spaces import Categorical, Discrete, Positive, Real


@pytest.mark.parametrize("space", [Real, Positive, Discrete, Categorical])
@pytest.mark.parametrize("shape", [(1, -8, 8), (0,), (10**6, 10**6)])
def test_a_shape_that_cannot_be_is_refused(space, shape):
    with pytest.raises(ValueError, match="numbers above 0 whose product is at most 2147483648"):
        space(shape)


def test_codes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"levels must be from 1 to 9007199254740992, got 0"):
        Discrete(levels=0)
    with pytest.raises(ValueError, match=r"categories must be from 1 to \d+, got 1000"):
        Categorical(categories=10**30)
    with pytest.raises(ValueError, match="low must be a number of 64 bits"):
        Discrete(low=2**63)
    with pytest.raises(ValueError, match="3 categories need as many labels or none, got 2"):
        Categorical(categories=3, labels=("a", "b"))


def test_categories_without_labels_are_called_by_their_codes():
    assert Categorical(categories=3).names == ("0", "1", "2")
    assert Categorical(categories=2, labels=("a", "b")).names == ("a", "b")
