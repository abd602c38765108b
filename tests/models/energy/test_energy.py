import pytest
import torch

from ptheta.models.energy.energy import Energy
from ptheta.networks.mlp import MLP
from ptheta.spaces import Categorical


def test_score_is_the_gradient_by_central_differences():
    torch.manual_seed(0)
    energy = Energy(MLP(3, 1, [16, 16])).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    h = 1e-5
    numerical = torch.stack(
        [
            (energy.unnormalized_log_prob(x + h * e) - energy.unnormalized_log_prob(x - h * e))
            / (2 * h)
            for e in torch.eye(3, dtype=torch.float64)
        ],
        dim=1,
    )
    torch.testing.assert_close(energy.score(x), numerical, rtol=1e-6, atol=1e-7)


def test_score_carries_gradient_to_every_weight_when_gradients_are_on():
    energy = Energy(MLP(3, 1, [8]))
    energy.score(torch.randn(4, 3)).square().sum().backward()
    missing = [n for n, p in energy.named_parameters() if p.grad is None or not p.grad.any()]
    # the last bias is the free constant, which no score can see
    assert missing == ["network.2.bias"]
    with torch.no_grad():
        assert not energy.score(torch.randn(4, 3)).requires_grad


def test_it_is_a_density_however_the_network_grows():
    torch.manual_seed(0)
    energy = Energy(MLP(1, 1, [16]))
    with torch.no_grad():
        for p in energy.parameters():
            p.mul_(5)
    inner, outer = (
        torch.linspace(-r, r, 200_001, dtype=torch.float32)[:, None] for r in (1000, 2000)
    )
    masses = [
        energy.unnormalized_log_prob(g).double().logsumexp(0) + (g[1] - g[0]).double().log()
        for g in (inner, outer)
    ]
    assert masses[0].isfinite().all()
    torch.testing.assert_close(masses[0], masses[1], rtol=1e-3, atol=1e-3)


def test_context_tells_the_densities_apart():
    energy = Energy(MLP(5, 1, [8]), Categorical(categories=3))
    x = torch.zeros(3, 2)
    values = energy.unnormalized_log_prob(x, torch.tensor([0, 1, 2]))
    assert len(values.unique()) == 3
    with pytest.raises(ValueError, match="conditional"):
        energy.unnormalized_log_prob(x)
