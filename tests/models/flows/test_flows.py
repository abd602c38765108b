import math

import pytest
import torch
from torch import nn

from ptheta.models.flows.autoregressive import MaskedAutoregressive
from ptheta.models.flows.bases import Gaussian, Logistic
from ptheta.models.flows.bijections import Composition, Inverse, Permutation, Reshaped
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.image_coupling import ChannelCoupling, CheckerboardCoupling
from ptheta.models.flows.linear import ActNorm, LULinear, Scaling
from ptheta.models.flows.mint import mint_of_images, mint_of_vectors
from ptheta.models.flows.multiscale import MultiScale, Squeeze
from ptheta.models.flows.planar import Planar
from ptheta.models.flows.radial import Radial
from ptheta.models.flows.residual import Residual
from ptheta.models.flows.splines import RationalQuadratic
from ptheta.models.flows.univariate import Affine, Shift
from ptheta.networks.contraction import contraction_of_vectors
from ptheta.networks.convolutional import ResidualCNN
from ptheta.random import seeded
from ptheta.spaces import Categorical

AFFINE = Affine()


def coupling(features, context_features=0, univariate=AFFINE):
    bijection = Coupling(univariate, features, context_features, hidden_features=(16, 16))
    with torch.no_grad():  # the map starts as the identity, which would prove little
        for parameter in bijection.network[-1].parameters():
            parameter.normal_(0, 0.5)
    return bijection


def flow(bijection, features, context_space=None):
    return Flow(bijection, Gaussian(features), context_space=context_space)


@pytest.mark.parametrize("extreme", [0.0, 1e-30, 1e15])
def test_a_log_scale_keeps_its_bound(extreme):
    x, log_slope = Affine(bound=2.0).forward(torch.ones(4), torch.full((2, 4), extreme))
    assert x.isfinite().all()
    assert (log_slope.abs() <= 2.0).all()


def test_a_flow_that_is_the_identity_is_a_standard_gaussian():
    model = flow(Coupling(Affine(), 2), 2)
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    expected = -math.log(2 * math.pi) - 0.5 * x.square().sum(dim=1)
    torch.testing.assert_close(model.log_prob(x), expected)


def test_reparameterised_draws_carry_gradient_and_plain_draws_none():
    model = flow(coupling(2), 2)
    model.rsample(3).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not model.sample(3).requires_grad


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 2.0])
def test_a_temperature_scales_the_noise_of_draws(temperature):
    model = flow(coupling(3), 3)
    with seeded(1):
        drawn = model.sample_tempered(20, temperature=temperature)
    with seeded(1):
        noise = model.base.draw(20)
    torch.testing.assert_close(model.encode(drawn), temperature * noise, atol=1e-5, rtol=1e-4)


def test_a_flow_that_keeps_volumes_is_drawn_from_its_density_to_a_power():
    bijection = coupling(2, univariate=Shift())
    model = flow(bijection, 2)
    with seeded(2):
        drawn = model.sample_tempered(20_000, temperature=0.7)
    log_p = model.log_prob(drawn).detach()
    # under p^(1/T^2) the noise has variance T^2, so that -log p is log(2 pi) + T^2 on average
    error = float(log_p.std()) / math.sqrt(20_000)
    expected = -math.log(2 * math.pi) - 0.7**2
    assert float(log_p.mean()) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("temperature", [-0.1, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be 0 or more"):
        flow(coupling(2), 2).sample_tempered(3, temperature=temperature)


def test_a_context_is_asked_for_and_refused():
    conditional = flow(coupling(2, context_features=3), 2, Categorical(categories=3))
    with pytest.raises(ValueError, match="conditional"):
        conditional.log_prob(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="expected 4 rows of context"):
        conditional.log_prob(torch.zeros(4, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="without context"):
        flow(coupling(2), 2).log_prob(torch.zeros(1, 2), torch.zeros(1))


def test_density_and_draws_follow_the_context():
    conditional = flow(coupling(2, context_features=2), 2, Categorical(categories=2))
    x = torch.randn(50, 2)
    zero, one = (conditional.log_prob(x, torch.full((50,), c)) for c in (0, 1))
    assert (zero - one).abs().max() > 0.01
    assert conditional.sample(50, torch.zeros(50)).shape == (50, 2)


@pytest.mark.parametrize("shape", [(4, 1), (3,), (2, 3, 3)])
def test_examples_of_another_shape_are_refused_by_every_verb(shape):
    model = flow(coupling(3), 3)
    x = torch.zeros(shape)
    for verb in (model.log_prob, model.encode, model.decode, model.score, model.initialize):
        with pytest.raises(ValueError, match=r"expected (examples|noise) of shape \(batch, 3\)"):
            verb(x)


def test_numbers_of_another_kind_are_refused():
    model = flow(coupling(2), 2)
    for x in (torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"of torch.float32, as the model is"):
            model.log_prob(x)
    assert model.double().log_prob(torch.zeros(4, 2).double()).dtype == torch.float64


def test_the_law_of_a_flow_is_a_distribution_of_torch():
    model = Flow(coupling(2, context_features=3), Gaussian(2), None, Categorical(categories=3))
    context = torch.tensor([0, 2])
    law = model(context)
    assert law.batch_shape == (2,)
    assert law.event_shape == (2,)
    assert law.sample((5,)).shape == (5, 2, 2)
    assert law.rsample((5,)).requires_grad
    x = torch.randn(2, 2)
    torch.testing.assert_close(law.log_prob(x), model.log_prob(x, context))
    assert repr(law)  # that of torch asks for what only some distributions have


def test_a_composition_may_be_given_by_a_generator_and_changed():
    model = Composition(LULinear(2 * torch.eye(2)) for _ in range(2))
    z = torch.ones(1, 2)
    torch.testing.assert_close(model(z), 4 * z)
    model.bijections[1] = LULinear(3 * torch.eye(2))
    torch.testing.assert_close(model(z), 6 * z)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Coupling(Affine(), 1), "a coupling needs at least two values"),
        (lambda: Permutation(torch.tensor([0, 0, 1])), "expected an order of 3 values"),
        (lambda: Permutation(torch.tensor([0.0, 1.0])), "expected an order of 2 values"),
        (lambda: RationalQuadratic(least=0.0), "a bin must have some of the box"),
        (lambda: LULinear(torch.zeros(0, 0)), "expected a square matrix"),
        (lambda: mint_of_images((1, 4, 4), [2], kernel_size=4), "kernel_size must be odd.*got 4"),
        (lambda: RationalQuadratic(bins=1500), "expected from 1 to 999 bins"),
        (lambda: RationalQuadratic(bins=0), "expected from 1 to 999 bins"),
        (lambda: RationalQuadratic(temper=0.0), "must be above 0"),
        (lambda: Affine(math.nan), "must be above 0"),
        (lambda: LULinear(torch.full((2, 2), math.nan)), "finite real numbers"),
    ],
)
def test_what_makes_no_bijection_is_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


@pytest.mark.parametrize(
    "bijection",
    [
        Planar(2, 3),
        Radial(2, 3),
        LULinear(torch.eye(2), 3),
        Coupling(Affine(), 2, 3),
        MaskedAutoregressive(Affine(), 2, 3),
        Residual(contraction_of_vectors(2, [8], nn.ELU, lipschitz=0.9, context_features=3)),
        mint_of_vectors(2, [4], 3),
    ],
    ids=lambda b: type(b).__name__,
)
def test_a_context_that_is_missing_is_never_passed_over(bijection):
    for verb in (bijection, bijection.inverse):
        with torch.no_grad(), pytest.raises(ValueError, match="reads 3 features of a context"):
            verb(torch.zeros(4, 2))


def conditioner(inputs, outputs):
    return ResidualCNN(inputs, outputs, hidden_channels=4)


@pytest.mark.parametrize(
    ("bijection", "shape"),
    [
        (Planar(2), (2,)),
        (Radial(2), (2,)),
        (Coupling(Affine(), 2), (2,)),
        (MaskedAutoregressive(Affine(), 2), (2,)),
        (Residual(contraction_of_vectors(2, [8], nn.ELU, lipschitz=0.9)), (2,)),
        (mint_of_vectors(2, [4]), (2,)),
        (mint_of_images((1, 2, 2), [4]), (1, 2, 2)),
        (CheckerboardCoupling(Affine(), 1, conditioner), (1, 2, 2)),
        (ChannelCoupling(Affine(), 2, conditioner), (2, 2, 2)),
    ],
    ids=lambda b: type(b).__name__,
)
def test_a_context_that_is_not_read_is_refused(bijection, shape):
    for verb in (bijection, bijection.inverse):
        with torch.no_grad(), pytest.raises(ValueError, match="made without context"):
            verb(torch.zeros(4, *shape), torch.zeros(4, 3))


def test_a_context_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"reads 3 features .* got a context of shape \(4, 2\)"):
        Coupling(Affine(), 2, 3)(torch.zeros(4, 2), torch.zeros(4, 2))


# bijections with shapes that they do not map: others whose numbers broadcast, or more axes
OF_ANOTHER_SHAPE = [
    (Scaling(3), [(4,), (5,), (1,), (3, 2, 3)]),
    (Scaling(1), [(4,), (1, 2, 2)]),
    (ActNorm(1), [(4,)]),
    (Permutation(torch.tensor([1, 0])), [(4,), (1,)]),
    (LULinear(torch.eye(3)), [(4,), (1,)]),
    (Planar(1), [(2,), (1, 2)]),
    (Planar(3), [(1,), (4,), (3, 3)]),
    (Radial(1), [(2,), (1, 2)]),
    (Radial(3), [(1,), (4,), (3, 3)]),
    (Coupling(Affine(), 3), [(2,), (4,), (1,), (3, 3)]),
    (MaskedAutoregressive(Affine(), 3), [(2,), (4,), (1,), (3, 3)]),
    (Residual(contraction_of_vectors(3, [8], nn.ELU, lipschitz=0.9)), [(2,), (4,), (1,)]),
    (mint_of_vectors(3, [4]), [(2,), (4,), (1,), (3, 3)]),
    (mint_of_images((1, 2, 2), [4]), [(1, 2, 3), (2, 2, 2), (4,)]),
    (Reshaped(ActNorm(1), (1, 2, 2)), [(5,), (8,), (1, 2, 2)]),
    (Inverse(Planar(1)), [(2,)]),
    (Composition([Planar(1), ActNorm(1)]), [(2,)]),
    (CheckerboardCoupling(Affine(), 2, conditioner), [(1, 2, 2), (3, 2, 2), (2,)]),
    (ChannelCoupling(Affine(), 2, conditioner), [(1, 2, 2), (4, 2, 2), (2,)]),
]


@pytest.mark.parametrize(
    ("bijection", "shapes"), OF_ANOTHER_SHAPE, ids=lambda given: type(given).__name__
)
def test_values_of_another_shape_are_refused(bijection, shapes):
    verbs = (bijection, bijection.forward_and_log_det, bijection.inverse,
             bijection.inverse_and_log_det, bijection.inverse_and_log_det_estimate)  # fmt: skip
    for shape in shapes:
        for verb in verbs:
            with pytest.raises(ValueError, match=r"(got shape|, got) \(2, .*\)$"):
                verb(torch.zeros(2, *shape))


def test_levels_refuse_noise_and_images_of_another_shape():
    levels = MultiScale([Squeeze(), Squeeze()], [(4, 2, 2), (8, 1, 1)])
    for verb in (levels, levels.forward_and_log_det):
        with pytest.raises(ValueError, match=r"noise of shape \(batch, 16\), got \(2, 15\)"):
            verb(torch.zeros(2, 15))
    for shape in ((1, 8, 8), (2, 4, 4)):
        for verb in (levels.inverse, levels.inverse_and_log_det):
            with pytest.raises(ValueError, match=r"noise of a level of shape \(batch, 4, 2, 2\)"):
                verb(torch.zeros(2, *shape))
    one = MultiScale([Squeeze()], [(4, 1, 1)])
    with pytest.raises(ValueError, match=r"of shape \(batch, 4, 1, 1\), got \(2, 4, 2, 2\)"):
        one.inverse(torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("base", [Gaussian(2), Logistic(2)], ids=lambda base: type(base).__name__)
@pytest.mark.parametrize("shape", [(3, 4), (3, 1), (3,), (3, 2, 2)])
def test_noise_of_another_shape_has_no_density(base, shape):
    with pytest.raises(ValueError, match=r"expected noise of shape \(batch, 2\)"):
        base.log_prob(torch.zeros(shape))


def test_a_map_of_fewer_values_than_the_noise_makes_no_density():
    # broadcast, one push of both values counts once: this summed to 0.69
    with pytest.raises(ValueError, match=r"expected values of shape \(batch, 1\), got \(5, 2\)"):
        Flow(Planar(1), Gaussian(2)).log_prob(torch.zeros(5, 2))


def test_a_norm_does_not_start_from_one_channel_for_three():
    with pytest.raises(ValueError, match=r"maps 3 values or channels, got shape \(5, 1\)"):
        ActNorm(3).initialize(torch.randn(5, 1))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Planar(0),
        lambda: Radial(0),
        lambda: Scaling(0),
        lambda: ActNorm(0),
        lambda: Gaussian(0),
        lambda: Logistic(-1),
        lambda: MaskedAutoregressive(Affine(), 0),
        lambda: MaskedAutoregressive(Affine(), 3, hidden_features=(4, 0)),
        lambda: Coupling(Affine(), 3, hidden_features=(0,)),
    ],
)
def test_a_size_of_0_is_refused(build):
    with pytest.raises(ValueError, match=r"^(features|channels|hidden_features) must be 1 or more"):
        build()


def test_a_flow_starts_from_rows_of_all_the_data():
    flow = Flow(Composition([ActNorm(1)]), Gaussian(1))
    x = torch.linspace(0, 1, 10_001).unsqueeze(1)
    flow.initialize(x)
    noise = flow.encode(x).detach()
    # the first rows of sorted data would be far from the mean of all
    assert noise.mean().abs() < 0.01
    assert noise.std().item() == pytest.approx(1, abs=0.01)


def test_units_are_dropped_on_the_way_to_noise_in_training_alone():
    map_, x = MaskedAutoregressive(Affine(), 4, dropout=0.5), torch.randn(5, 4)
    with torch.no_grad():
        map_.output.weight.normal_().mul_(map_.output.mask)
        assert (map_.inverse(x) != map_.inverse(x)).any()
        map_.eval()
        assert (map_.inverse(x) == map_.inverse(x)).all()


def test_dropout_leaves_draws_and_their_density_alone():
    model = Flow(MaskedAutoregressive(Affine(), 4, dropout=0.5), Gaussian(4)).train()
    with torch.no_grad():
        model.bijection.output.weight.normal_().mul_(model.bijection.output.mask)
    x, log_prob = model.rsample_and_log_prob(50)
    torch.testing.assert_close(log_prob, model.eval().log_prob(x), atol=1e-4, rtol=1e-4)


def test_draws_value_by_value_leave_mixed_precision():
    model = Flow(Inverse(MaskedAutoregressive(Affine(), 3)), Gaussian(3))
    with torch.no_grad():
        model.bijection.bijection.output.bias.normal_()
    x = torch.randn(5, 3)
    expected = model.encode(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model.encode(x), expected, rtol=0.05, atol=0.05)
