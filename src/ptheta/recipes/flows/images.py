"""Flows of images: convolutional couplings, whose noise leaves level by level."""

__all__ = ["glow", "realnvp_multiscale"]

from functools import partial
from typing import Literal

import torch

from ptheta.data.bridging import dequantising
from ptheta.errors import PthetaError
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Bijection, Composition
from ptheta.models.flows.dequantisation import LevelNoise
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.image_coupling import (
    ChannelCoupling,
    CheckerboardCoupling,
    Conditioner,
)
from ptheta.models.flows.linear import ActNorm, LULinear
from ptheta.models.flows.multiscale import MultiScale, Squeeze
from ptheta.models.flows.univariate import Affine
from ptheta.networks.context import ContextFeatures
from ptheta.networks.convolutional import ContextConv2d, ResidualCNN
from ptheta.networks.sizes import pixel_dropout
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.flows.vector import Margin, trained_flow
from ptheta.recipes.images import image_shape
from ptheta.recipes.settings import Count, Fraction, PositiveFloat
from ptheta.spaces import Categorical, Discrete, Real, Space

Shape = tuple[int, int, int]


def realnvp_multiscale(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    levels: Count | None = None,
    hidden_channels: Count | None = None,
    blocks: Count = 2,
    dropout: Fraction | None = None,
    logit: Margin | None = None,
    dequantisation: Literal["uniform", "variational"] = "uniform",
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 64,
    steps: Count = 10_000,
) -> Algorithm:
    """RealNVP of images: convolutional couplings, from which half the values leave at each level.

    At each level but the last three checkerboards are followed by a squeeze and three couplings
    of channels, and half of the channels leave as noise; the last level has four checkerboards.
    Levels of intensity are dequantised with noise, which makes the density a lower bound.
    The paper has networks of 2 to 8 blocks of 32 to 64 channels, with batch normalisation, which
    is left out.

    References:
        Density estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2016),
        https://arxiv.org/abs/1605.08803

    Arguments:
        space: What one example is: an image.
        context_space: What the model is conditioned on, if anything.
        levels: The number of levels, each but the last of which halves the sides; none means as
            many as even sides allow that stay at least 4 long, and at most 4.
        hidden_channels: The number of channels within the networks; none means 32, and 16 for
            images of fewer than 64 values.
        blocks: The number of residual blocks of a network.
        dropout: The share of values within blocks dropped in training; none means 0.2 for images
            of up to 16 pixels a side, and 0 for larger ones.
        logit: The margin of the logit that levels of intensity pass through once they are
            dequantised; 0 leaves it out, and none means the paper's 0.05.
        dequantisation: The law of the noise that makes levels real: uniform, or learned as in
            Flow++ (https://arxiv.org/abs/1902.00275), which tightens the bound.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    shape = _image(space)
    width = hidden_channels or (16 if space.features < 64 else 32)
    conditioner = _conditioner(shape, context_space, width, blocks, dropout)
    # a checkerboard of one pixel would have nothing to condition on
    possible = _halvings(shape) + int(shape[1] * shape[2] > 4 ** _halvings(shape))
    count = levels or min(4, _halvings(shape, least=4) + 1)
    if count > possible:
        raise PthetaError(_too_many(count, shape, possible))
    parts: list[Bijection] = []
    shapes: list[Shape] = []
    for _ in range(count - 1):
        boards, shape = _checkerboards(3, shape[0], conditioner), _squeezed(shape)
        channels = _channel_couplings(3, shape[0], conditioner)
        # from noise to data, so that the data meet the checkerboards first
        parts.append(Composition([*channels, Squeeze(), *boards]))
        shapes.append(shape)
        shape = _halved(shape)
    parts.append(Composition(_checkerboards(4, shape[0], conditioner)))
    return _image_flow(
        MultiScale(parts, [*shapes, shape]),
        space,
        context_space,
        logit=logit,
        noise=_noise(space, dequantisation),
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def glow(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    levels: Count | None = None,
    layers: Count = 8,
    hidden_channels: Count | None = None,
    blocks: Count = 1,
    dropout: Fraction | None = None,
    logit: Margin | None = None,
    dequantisation: Literal["uniform", "variational"] = "uniform",
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 64,
    steps: Count = 10_000,
) -> Algorithm:
    """Glow: steps of a norm, a mixing of channels by a matrix and an affine coupling, in levels.

    Half of the channels leave after each level but the last, with a mean and scale that the other
    half sets. Levels of intensity are dequantised with noise, which makes the density a
    lower bound. The paper has 32 steps a level and networks of 512 channels.

    References:
        Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
        https://arxiv.org/abs/1807.03039

    Arguments:
        space: What one example is: an image with even sides.
        context_space: What the model is conditioned on, if anything.
        levels: The number of levels, each of which halves the sides; none means as many as even
            sides allow that stay at least 2 long, at least 1 and at most 3.
        layers: The number of steps of flow in a level.
        hidden_channels: The number of channels within the networks; none means 64, and 16 for
            images of fewer than 64 values.
        blocks: The number of residual blocks of a network.
        dropout: The share of values within blocks dropped in training; none means 0.2 for images
            of up to 16 pixels a side, and 0 for larger ones.
        logit: The margin of the logit that levels of intensity pass through once they are
            dequantised; 0 leaves it out, as in the paper, and none means 0.05.
        dequantisation: The law of the noise that makes levels real: uniform, or learned as in
            Flow++ (https://arxiv.org/abs/1902.00275), which tightens the bound.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    shape = _image(space)
    width = hidden_channels or (16 if space.features < 64 else 64)
    conditioner = _conditioner(shape, context_space, width, blocks, dropout)
    possible = _halvings(shape)
    count = levels or max(1, min(3, _halvings(shape, least=2)))
    if count > possible:
        raise PthetaError(_too_many(count, shape, possible))
    parts: list[Bijection] = []
    shapes: list[Shape] = []
    for level in range(count):
        shape = _squeezed(shape)
        steps_of_flow = _glow_steps(layers, shape[0], conditioner)
        last = level == count - 1
        prior = [] if last else [_learned_prior(shape[0], context_space)]
        parts.append(Composition([*prior, *steps_of_flow, Squeeze()]))
        shapes.append(shape)
        shape = _halved(shape)
    return _image_flow(
        MultiScale(parts, shapes),
        space,
        context_space,
        logit=logit,
        noise=_noise(space, dequantisation),
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def _image_flow(
    bijection: Bijection,
    space: Space,
    context_space: Categorical | Real | None,
    *,
    logit: float | None,
    noise: LevelNoise | None,
    learning_rate: float,
    batch_size: int,
    steps: int,
) -> Algorithm:
    if logit is None:
        logit = 0.05 if isinstance(space, Discrete) else 0.0
    return trained_flow(
        Flow(bijection, Gaussian(space.features), space.shape, context_space),
        dequantising(space, logit, flat=False, noise=noise),
        space,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def _noise(space: Space, dequantisation: str) -> LevelNoise | None:
    if dequantisation == "uniform":
        return None
    if not isinstance(space, Discrete):
        raise PthetaError(
            f"variational dequantisation is for levels, and this is {space.describe()}."
        )
    hidden_channels = 16 if space.features < 64 else 32
    return LevelNoise(_image(space), space.levels, hidden_channels=hidden_channels)


def _checkerboards(count: int, channels: int, conditioner: Conditioner) -> list[Bijection]:
    return [
        CheckerboardCoupling(Affine(), channels, conditioner, flip=i % 2 == 1) for i in range(count)
    ]


def _channel_couplings(count: int, channels: int, conditioner: Conditioner) -> list[Bijection]:
    return [ChannelCoupling(Affine(), channels, conditioner, flip=i % 2 == 1) for i in range(count)]


def _glow_steps(count: int, channels: int, conditioner: Conditioner) -> list[Bijection]:
    found: list[Bijection] = []
    for _ in range(count):
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        coupling = ChannelCoupling(Affine(), channels, conditioner)
        found += [coupling, LULinear(rotation), ActNorm(channels)]
    return found


def _learned_prior(channels: int, context_space: Categorical | Real | None) -> Bijection:
    given = ContextFeatures(context_space).features
    convolution = partial(ContextConv2d, context_features=given, zero=True)
    return ChannelCoupling(Affine(), channels, convolution)


def _conditioner(
    shape: Shape,
    context_space: Categorical | Real | None,
    hidden_channels: int,
    blocks: int,
    dropout: float | None,
) -> Conditioner:
    return partial(
        ResidualCNN,
        hidden_channels=hidden_channels,
        blocks=blocks,
        context_features=ContextFeatures(context_space).features,
        dropout=pixel_dropout(shape) if dropout is None else dropout,
    )


def _image(space: Space) -> Shape:
    shape = image_shape(space)
    if shape is None or isinstance(space, Categorical):
        raise PthetaError(
            "it models images of channels, height and width, and this is: "
            f"{space.describe()}, of shape {space.shape}."
        )
    channels, height, width = shape
    if height * width < 2:
        raise PthetaError(
            "an image of one pixel has none beside it to condition on; 'nsf-autoregressive' and "
            "'maf' take it."
        )
    return channels, height, width


def _halvings(shape: Shape, least: int = 1) -> int:
    """How often both sides can be halved and stay at least so long."""
    _, height, width = shape
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 2 * least:
        height, width, count = height // 2, width // 2, count + 1
    return count


def _squeezed(shape: Shape) -> Shape:
    channels, height, width = shape
    return 4 * channels, height // 2, width // 2


def _halved(shape: Shape) -> Shape:
    channels, height, width = shape
    return channels // 2, height, width


def _too_many(count: int, shape: Shape, possible: int) -> str:
    size = f"{shape[1]} x {shape[2]}"
    if possible == 0:
        return (
            f"it halves the sides of an image, which must be even, and these are {size}: crop or "
            "resize them; 'realnvp-multiscale' and 'realnvp' take sides that are odd."
        )
    return f"images of {size} have room for at most {possible} levels, got {count}."
