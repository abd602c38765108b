import copy

import torch

from ptheta.networks.masked import MaskedLinear


def layer():
    return MaskedLinear((torch.rand(6, 5) < 0.5).float())


def masked_weights(linear):
    return linear.weight[linear.mask == 0]


def train(linear, steps=20):
    optimizer = torch.optim.AdamW(linear.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(steps):
        loss = (linear(torch.randn(8, linear.in_features)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_masked_weights_stay_zero_through_training_and_in_copies():
    linear = layer()
    train(linear)
    assert torch.count_nonzero(masked_weights(linear)) == 0
    assert torch.count_nonzero(linear.weight) == linear.mask.sum()
    twin = copy.deepcopy(linear)
    train(twin)
    assert torch.count_nonzero(masked_weights(twin)) == 0


def test_what_is_loaded_is_masked():
    linear = layer()
    state = {name: torch.ones_like(value) for name, value in linear.state_dict().items()}
    linear.load_state_dict(state)
    assert torch.equal(linear.weight, linear.mask)


def test_the_gradient_is_that_of_masking_at_each_evaluation():
    linear, x = layer(), torch.randn(4, 5)
    linear(x).square().sum().backward()
    weight = linear.weight.detach().clone().requires_grad_()
    torch.nn.functional.linear(x, weight * linear.mask, linear.bias).square().sum().backward()
    torch.testing.assert_close(linear.weight.grad, weight.grad)


def test_a_gradient_of_a_gradient_exists():
    linear, x = layer(), torch.randn(4, 5, requires_grad=True)
    (first,) = torch.autograd.grad(linear(x).pow(3).sum(), x, create_graph=True)
    first.square().sum().backward()
    assert torch.count_nonzero(linear.weight.grad) == linear.mask.sum()


def test_units_of_one_input_bend_at_different_places():
    linear = MaskedLinear(torch.ones(500, 1))
    bends = -linear.bias / linear.weight[:, 0]
    # the ratio of two numbers that are uniform alike is within one half of the time
    inside = (bends.abs() < 1).float().mean()
    assert abs(inside - 0.5) < 5 * 0.5 / 500**0.5
    assert len(bends.unique()) > 490


def test_units_that_see_nothing_are_not_all_dead():
    linear = MaskedLinear(torch.zeros(200, 3))
    alive = torch.relu(linear(torch.randn(4, 3))).gt(0).all(dim=0).float().mean()
    assert abs(alive - 0.5) < 5 * 0.5 / 200**0.5
