"""A denoiser that knows its data: Gaussians of a mean and a standard deviation for each value."""

import math

import torch
from torch import nn

from ptheta.noising import Prediction


class GaussianDenoiser(nn.Module):
    def __init__(self, mean, std, path):
        super().__init__()
        self.mean = nn.Parameter(torch.as_tensor(mean))
        self.log_std = nn.Parameter(torch.as_tensor(std).log())
        self.path = path

    def predict(self, x, context=None, *, t):
        t = torch.as_tensor(t, dtype=x.dtype).expand(len(x))[:, None]
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        variance = (2 * self.log_std).exp()
        off = (x - alpha * self.mean) / (alpha.square() * variance + sigma.square())
        return Prediction(data=self.mean + alpha * variance * off, noise=sigma * off)

    def score(self, x, context=None, *, t):
        t = torch.as_tensor(t, dtype=x.dtype).expand(len(x))[:, None]
        return -self.predict(x, t=t[:, 0]).noise / self.path.sigma(t)

    def noised(self, t):
        """The mean and the standard deviation of the noised data."""
        t = torch.as_tensor(t, dtype=self.mean.dtype)
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        variance = alpha.square() * (2 * self.log_std).exp() + sigma.square()
        return (alpha * self.mean).detach(), variance.sqrt().detach()

    def drawn(self, n):
        return (self.mean + self.log_std.exp() * torch.randn(n, len(self.mean))).detach()


def normal_log_prob(x, mean, std):
    z = (x - mean) / std
    return (-z.square() / 2 - std.log() - math.log(2 * math.pi) / 2).sum(dim=1)
