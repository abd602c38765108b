import pytest
import torch

from ptheta.networks.context import ContextFeatures
from ptheta.spaces import Categorical, Real


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_context_that_is_not_finite_is_refused(odd):
    features = ContextFeatures(Real((2,)))
    with pytest.raises(ValueError, match="a context of finite numbers"):
        features(torch.tensor([[0.0, odd]]), rows=1)


def test_a_context_of_another_code_is_refused():
    with pytest.raises(ValueError, match="codes from 0 to 2"):
        ContextFeatures(Categorical(categories=3))(torch.tensor([3]), rows=1)
