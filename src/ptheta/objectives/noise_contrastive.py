"""Noise-contrastive estimation: a density learned by telling data from draws of a known one."""

__all__ = ["FlowContrastive", "NoiseContrastive"]

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import (
    SupportsDrawnDensity,
    SupportsLogProb,
    SupportsLogProbEstimate,
    SupportsRsampleAndLogProb,
)


class _Flow(SupportsLogProb, SupportsRsampleAndLogProb, Protocol):
    """A density whose draws carry gradient, each with its own density."""


class NoiseContrastive(nn.Module):
    r"""A logistic regression that tells data from noise of a known density.

    .. math:: \mathcal{L} = - \mathbb{E}_{x \sim p_\text{data}} \log \sigma(G(x) - \log \nu)
        - \nu \, \mathbb{E}_{y \sim q} \log \sigma(\log \nu - G(y)), \qquad
        G(x) = \log \hat p_\theta(x) - \log q(x)

    The constant of the density is learned as any parameter is: at the best :math:`\hat p_\theta`
    the density is that of the data and sums to 1. It wants noise that covers the data and is like
    them, since noise that is told from them at a glance teaches nothing.

    References:
        Noise-contrastive estimation: A new estimation principle for unnormalized statistical models
        (Gutmann & Hyvärinen, 2010), https://proceedings.mlr.press/v9/gutmann10a.html

    Arguments:
        noise: The density q.
        ratio: The number of draws of noise for each example, :math:`\nu`.
    """

    def __init__(self, noise: SupportsDrawnDensity, *, ratio: int = 1) -> None:
        super().__init__()
        self.noise = noise
        self.ratio = ratio

    def loss(self, model: SupportsLogProbEstimate, batch: Batch) -> Loss:
        r"""The loss, in nats of an example and its noise.

        Where they cannot be told apart it is :math:`\log(1 + \nu) + \nu \log(1 + 1 / \nu)`.
        """
        x, context = batch.x, batch.context
        with torch.no_grad():
            drawn = self.noise.sample(self.ratio * len(x)).to(x)
            noise_of = [self.noise.log_prob(part).to(x.dtype) for part in (x, drawn)]
        beside = None if context is None else context.repeat(self.ratio, *[1] * (context.dim() - 1))
        shift = math.log(self.ratio)
        of_data = model.log_prob_estimate(x, context) - noise_of[0] - shift
        of_noise = model.log_prob_estimate(drawn, beside) - noise_of[1] - shift
        value = F.softplus(-of_data).mean() + self.ratio * F.softplus(of_noise).mean()
        return Loss(value, {"told apart": _told_apart(of_data, of_noise)})


class FlowContrastive(nn.Module):
    r"""Noise contrast against a flow that learns to be mistaken for the data.

    .. math:: \max_\theta \min_\alpha \;
        \mathbb{E}_{x \sim p_\text{data}}
        \log \frac{\hat p_\theta(x)}{\hat p_\theta(x) + q_\alpha(x)}
        + \mathbb{E}_{y \sim q_\alpha} \log \frac{q_\alpha(y)}{\hat p_\theta(y) + q_\alpha(y)}

    Both take a step at each batch, and are judged by the same draws. As the flow nears the data the
    contrast gets harder, where a fixed noise in many dimensions is told from data at a glance.

    References:
        Flow Contrastive Estimation of Energy-Based Models (Gao, Nijkamp, Kingma, Xu, Dai & Wu,
        2020), https://arxiv.org/abs/1912.00589

    Arguments:
        flow: The flow q, which is trained with the model.
    """

    def __init__(self, flow: _Flow) -> None:
        super().__init__()
        self.flow = flow

    def loss(self, model: SupportsLogProbEstimate, batch: Batch) -> Loss:
        """The loss: the contrast by the parameters of the model, less that by those of the flow.

        Its value is always zero; the contrast is among its terms.
        """
        x, context = batch.x, batch.context
        drawn, flow_of_drawn = self.flow.rsample_and_log_prob(len(x))
        flow_of_x = self.flow.log_prob(x)
        model_of_x = model.log_prob_estimate(x, context)
        of_data = model_of_x - flow_of_x.detach()
        of_draws = model.log_prob_estimate(drawn.detach(), context) - flow_of_drawn.detach()
        contrast = F.softplus(-of_data).mean() + F.softplus(of_draws).mean()
        with _held(model):
            of_moving = model.log_prob_estimate(drawn, context) - flow_of_drawn
        judged = F.softplus(flow_of_x - model_of_x.detach()).mean() + F.softplus(of_moving).mean()
        terms = {"contrast": contrast.detach(), "told apart": _told_apart(of_data, of_draws)}
        return Loss(contrast - judged, terms)


@contextmanager
def _held(model: object) -> Generator[None]:
    """A model's parameters without gradient."""
    assert isinstance(model, nn.Module)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _told_apart(of_data: Tensor, of_noise: Tensor) -> Tensor:
    """The mean of the share of data, and of that of noise, that are taken for what they are."""
    return ((of_data > 0).float().mean() + (of_noise < 0).float().mean()).detach() / 2
