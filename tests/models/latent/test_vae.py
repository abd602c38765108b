import math

import pytest
import torch
from torch import nn

from ptheta.models.latent.vae import VAE
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table
from ptheta.testing.examples import example_context, example_rows, states


def inverse_softplus(y):
    return math.log(math.expm1(y))


def linear_vae(weight, noise):
    """p(x|z) = N(weight z, noise^2), with an encoder that is the exact posterior."""
    values, latent = weight.shape
    model = VAE(
        Real((values,)), latent_features=latent, hidden_features=(), components=1, min_scale=1e-3
    )
    precision = torch.eye(latent) + weight.t() @ weight / noise**2
    assert torch.allclose(
        precision, precision.diag().diag(), atol=1e-5
    )  # so a diagonal posterior is exact
    scale = precision.diag().rsqrt()
    (encoder,), (decoder,) = list(model.encoder), list(model.decoder)
    assert isinstance(encoder, nn.Linear)
    assert isinstance(decoder, nn.Linear)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.weight[:latent] = (scale**2).unsqueeze(1) * weight.t() / noise**2
        encoder.bias.zero_()
        one = inverse_softplus(1.0)
        encoder.bias[latent:] = torch.tensor([inverse_softplus(s) - one for s in scale.tolist()])
        decoder.weight.zero_()
        decoder.weight[:values] = weight  # parameters are the means, then the raw scales
        decoder.bias.zero_()
        decoder.bias[values:] = inverse_softplus(noise - 1e-3)
    covariance = weight @ weight.t() + noise**2 * torch.eye(values)
    return model, torch.distributions.MultivariateNormal(torch.zeros(values), covariance)


# orthogonal columns, as probabilistic principal components have
WEIGHT = torch.tensor([[1.0, 0.35], [1.0, -0.35], [1.0, 0.35], [1.0, -0.35]])


def test_the_bound_is_the_evidence_at_the_optimum_of_ppca():
    # with the exact posterior the importance weights are constant: no noise is left at all
    model, truth = linear_vae(WEIGHT, 0.5)
    x = truth.sample((200,))
    torch.testing.assert_close(model.elbo(x, particles=5), truth.log_prob(x), rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_the_mean_bound_is_the_evidence_less_the_divergence_from_the_posterior():
    model, truth = linear_vae(WEIGHT, 0.5)
    shift, n = 0.3, 20_000
    model.encoder[0].bias[0] += shift
    scale = model.posterior(torch.zeros(1, 4))[1][0, 0]
    x = truth.sample().expand(n, -1)
    draws = model.elbo(x)
    expected = truth.log_prob(x[0]) - (shift / scale) ** 2 / 2
    assert abs(draws.mean() - expected) < 5 * draws.std() / math.sqrt(n)


@torch.no_grad()
def test_the_divergence_in_closed_form_is_that_of_draws():
    # both bounds with one particle share their mean: E log p(x,z) - log q(z|x)
    n = 20_000
    model = VAE(Discrete((3,), 4), latent_features=2, hidden_features=(8,))
    x = torch.tensor([[0, 3, 1]]).expand(n, -1)
    closed = model.elbo(x)
    mean, scale = model.posterior(x)
    eps = torch.randn_like(mean)
    z = mean + scale * eps
    normal = torch.distributions.Normal
    drawn = model.likelihood(z).log_prob(x) + (
        normal(0, 1).log_prob(z) - normal(mean, scale).log_prob(z)
    ).sum(dim=1)
    error = math.sqrt((closed.var() + drawn.var()) / n)
    assert abs(closed.mean() - drawn.mean()) < 5 * error


def test_the_bound_rises_with_particles_towards_the_evidence():
    # the evidence of a two-bit model by quadrature over a one-dimensional latent
    model = VAE(Binary((2,)), latent_features=1, hidden_features=(8,))
    with torch.no_grad():
        model.decoder[-1].weight.mul_(8)  # so that the latent matters, and the bound is loose
    every = states(model.space)
    z = torch.linspace(-8, 8, 4001).reshape(-1, 1, 1)
    prior = torch.distributions.Normal(0, 1).log_prob(z).squeeze(-1)
    joint = model.likelihood(z.expand(-1, 4, 1)).log_prob(every) + prior
    evidence = joint.logsumexp(dim=0) + math.log(16 / 4000)
    assert evidence.exp().sum().item() == pytest.approx(1, abs=1e-4)
    n = 4000
    bounds = []
    for particles in (1, 5, 50):
        draws = model.elbo(every.repeat(n, 1), particles=particles).reshape(n, 4)
        error = draws.std(dim=0) / math.sqrt(n)
        assert (draws.mean(dim=0) < evidence + 5 * error).all()
        bounds.append(draws.mean())
    assert bounds[0] < bounds[1] < bounds[2]
    assert evidence.mean() - bounds[2] < (evidence.mean() - bounds[0]) / 10


def test_a_missing_value_is_marginalised():
    space = Table((Column("a", Discrete(levels=3), True), Column("b", Discrete(levels=2))))
    model = VAE(space, latent_features=1, hidden_features=(8,))
    rows = torch.tensor([[math.nan, 1], [0, 1], [1, 1], [2, 1]], dtype=torch.float64)
    z = torch.randn(500, 4, 1)
    p = model.likelihood(z).log_prob(rows).exp()
    same = model.likelihood(z[:, :1].expand(-1, 4, 1)).log_prob(rows).exp()
    torch.testing.assert_close(same[:, 0], same[:, 1:].sum(dim=1))
    assert p.isfinite().all()
    loss = -model.elbo(example_rows(space, 64)).mean()
    loss.backward()
    assert all(w.grad.isfinite().all() for w in model.parameters())
    assert space.contains(model.sample(20)).all()


@pytest.mark.parametrize("context_space", [Categorical(categories=3), Real((2,))])
def test_context_reaches_encoder_and_decoder(context_space):
    model = VAE(Discrete((3,), 12), context_space, latent_features=2, hidden_features=(16,))
    x = example_rows(model.space, 1).expand(6, -1)
    context = example_context(context_space, 6)
    assert model.encode(x, context).std(dim=0).min() > 0
    z = torch.zeros(6, 2)
    assert model.likelihood(z, context).parameters.std(dim=0).max() > 0
    assert model.elbo(x, context, particles=3).shape == (6,)
    assert model.sample(6, context).shape == (6, 3)
    with pytest.raises(ValueError, match="conditional"):
        model.elbo(x)


def test_codes_and_reconstructions():
    space = Discrete((1, 2, 2), 12, layout="image")
    model = VAE(space, latent_features=3, hidden_features=(8,))
    x = example_rows(space, 5)
    z = model.encode(x)
    assert z.shape == (5, 3)
    decoded = model.decode(z)
    assert decoded.dtype == torch.uint8
    assert space.contains(decoded).all()
    assert not z.requires_grad


def test_draws_follow_the_decoder():
    # the masses of a one-value model, by quadrature over the latent; 5 standard errors
    n = 20_000
    model = VAE(Discrete((1,), 4), latent_features=1, hidden_features=(8,))
    z = torch.linspace(-8, 8, 4001).reshape(-1, 1, 1)
    prior = torch.distributions.Normal(0, 1).log_prob(z).squeeze(-1)
    joint = model.likelihood(z.expand(-1, 4, 1)).log_prob(states(model.space)) + prior
    p = joint.logsumexp(dim=0).exp() * (16 / 4000)
    share = torch.bincount(model.sample(n).flatten().long(), minlength=4) / n
    assert ((share - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()
