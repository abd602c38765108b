import math

import pytest
import torch

from ptheta.models.flows.bijections import Composition, Permutation
from ptheta.models.flows.coupling import AffineCoupling
from ptheta.models.flows.flow import Flow
from ptheta.spaces import Categorical


def coupling(features, **options):
    bijection = AffineCoupling(features, hidden_features=(16, 16), **options)
    with torch.no_grad():  # the map starts as the identity, which would prove little
        for parameter in bijection.network[-1].parameters():
            parameter.normal_(0, 0.5)
    return bijection


BIJECTIONS = {
    "coupling": lambda: coupling(4),
    "coupling-flipped": lambda: coupling(4, flip=True),
    "coupling-odd": lambda: coupling(5, flip=True),
    "coupling-of-two": lambda: coupling(2),
    "coupling-conditional": lambda: coupling(4, context_features=3),
    "permutation": lambda: Permutation(torch.tensor([2, 0, 3, 1])),
    "composition": lambda: Composition(
        [coupling(4), Permutation(torch.tensor([2, 0, 3, 1])), coupling(4, flip=True)]
    ),
}


def inputs(name, rows=6):
    features = {"coupling-odd": 5, "coupling-of-two": 2}.get(name, 4)
    context = torch.randn(rows, 3, dtype=torch.float64) if "conditional" in name else None
    return torch.randn(rows, features, dtype=torch.float64), context


@pytest.mark.parametrize("name", BIJECTIONS)
def test_the_inverse_undoes_the_map(name):
    bijection = BIJECTIONS[name]().double()
    z, context = inputs(name)
    x, forward = bijection.forward_and_log_det(z, context)
    back, inverse = bijection.inverse_and_log_det(x, context)
    torch.testing.assert_close(back, z, rtol=0, atol=1e-9)
    torch.testing.assert_close(forward + inverse, torch.zeros(6).double())


@pytest.mark.parametrize("name", BIJECTIONS)
def test_the_round_trip_in_float32(name):
    bijection = BIJECTIONS[name]()
    z, context = inputs(name)
    z, context = z.float(), None if context is None else context.float()
    x, _ = bijection.forward_and_log_det(z, context)
    torch.testing.assert_close(
        bijection.inverse_and_log_det(x, context)[0], z, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", BIJECTIONS)
@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
def test_the_log_determinant_is_that_of_the_jacobian(name, direction):
    bijection = BIJECTIONS[name]().double()
    z, context = inputs(name, rows=1)
    apply = getattr(bijection, direction)
    jacobian = torch.autograd.functional.jacobian(lambda v: apply(v[None], context)[0][0], z[0])
    _, log_det = apply(z, context)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("extreme", [0.0, 1e-30, 1e15])
def test_extreme_values_stay_finite(extreme):
    bijection = coupling(4)
    x, log_det = bijection.forward_and_log_det(torch.full((2, 4), extreme), None)
    assert x.isfinite().all()
    assert log_det.isfinite().all()
    # each of the two moved values is scaled by e^2 at most
    assert (log_det.abs() <= 2 * 2.0 + 1e-5).all()


def test_a_flow_that_is_the_identity_is_a_standard_gaussian():
    flow = Flow(AffineCoupling(2), 2)
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    expected = -math.log(2 * math.pi) - 0.5 * x.square().sum(dim=1)
    torch.testing.assert_close(flow.log_prob(x), expected)


def test_reparameterised_draws_carry_gradient_and_plain_draws_none():
    flow = Flow(coupling(2), 2)
    flow.rsample(3).sum().backward()
    assert all(p.grad is not None for p in flow.parameters())
    assert not flow.sample(3).requires_grad


def test_a_context_is_asked_for_and_refused():
    conditional = Flow(coupling(2, context_features=3), 2, Categorical(categories=3))
    with pytest.raises(ValueError, match="conditional"):
        conditional.log_prob(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="expected 4 rows of context"):
        conditional.log_prob(torch.zeros(4, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="without context"):
        Flow(coupling(2), 2).log_prob(torch.zeros(1, 2), torch.zeros(1))


def test_density_and_draws_follow_the_context():
    conditional = Flow(coupling(2, context_features=2), 2, Categorical(categories=2))
    x = torch.randn(50, 2)
    zero, one = (conditional.log_prob(x, torch.full((50,), c)) for c in (0, 1))
    assert (zero - one).abs().max() > 0.01
    assert conditional.sample(50, torch.zeros(50)).shape == (50, 2)
