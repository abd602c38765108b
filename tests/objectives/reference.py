"""A model with many capabilities, all exact, and the test that every objective has to pass."""

import math

import torch
from torch import nn


class ReferenceGaussian(nn.Module):
    """A diagonal Gaussian. What it lacks for an objective yet to come is to be added here."""

    def __init__(self, mean, std):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean))
        self.log_std = nn.Parameter(torch.tensor(std).log())

    def latent(self, n):
        return torch.randn(n, len(self.mean))

    def decode(self, z, context=None):
        return self.mean + self.log_std.exp() * z

    def encode(self, x, context=None):
        return (x - self.mean) / self.log_std.exp()

    def rsample(self, n, context=None):
        return self.decode(self.latent(n))

    @torch.no_grad()
    def sample(self, n, context=None):
        return self.rsample(n)

    def log_prob(self, x, context=None):
        z = self.encode(x)
        return (-z.square() / 2 - self.log_std - math.log(2 * math.pi) / 2).sum(dim=1)

    def rsample_and_log_prob(self, n, context=None):
        x = self.rsample(n)
        return x, self.log_prob(x)

    def elbo(self, x, context=None, *, particles=1):
        return self.log_prob(x)

    def unnormalized_log_prob(self, x, context=None):
        # the constant depends on the parameters alone, so it is left out
        return -self.encode(x).square().sum(dim=1) / 2

    def score(self, x, context=None):
        return -self.encode(x) / self.log_std.exp()

    def log_ratio(self, x, context=None):
        """Against the standard normal."""
        standard = (-x.square() / 2 - math.log(2 * math.pi) / 2).sum(dim=1)
        return self.log_prob(x) - standard


def mean_gradient_z(model, losses):
    """How many standard errors the mean gradient is from zero, for each parameter.

    ``losses`` are of independent batches, so the standard error is that of their gradients.
    """
    parameters = list(model.parameters())
    gradients = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]) for loss in losses]
    )
    return gradients.mean(dim=0) / (gradients.std(dim=0) / len(gradients) ** 0.5)
