import math

import torch

from ptheta.inference.bayes import WithBayes


class Uniform(torch.nn.Module):
    """One value, uniform on [0, 1] in class 0 and on [0, 2] in class 1."""

    def log_prob(self, x, context=None):
        width = 1.0 + context
        inside = (x[:, 0] >= 0) & (x[:, 0] <= width)
        return torch.where(inside, -width.log(), -math.inf)


def test_bayes_rule_by_hand_and_the_prior_where_it_says_nothing():
    x = torch.tensor([[0.5], [1.5], [3.0]])
    found = WithBayes(Uniform(), [1, 3]).class_log_prob(x).exp()
    # 1/4 and 3/4 1/2; then only the second class; then neither
    expected = torch.tensor([[0.4, 0.6], [0.0, 1.0], [0.25, 0.75]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_a_class_that_never_occurs_is_not_told_of_what_only_it_can_give():
    found = WithBayes(Uniform(), [5, 0]).class_log_prob(torch.tensor([[1.5]]))
    assert found.tolist() == [[0.0, -math.inf]]
