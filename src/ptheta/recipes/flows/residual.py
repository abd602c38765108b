"""Flows of residual networks: contractions added to the identity, and masked networks."""

__all__ = ["i_resnet", "mintnet", "residual_flow"]

from collections.abc import Callable, Sequence
from typing import Annotated

from annotated_types import Gt, Lt
from torch import nn

from ptheta.data.bridging import dequantising
from ptheta.errors import PthetaError
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Bijection, Composition, Reshaped
from ptheta.models.flows.flow import EstimatedFlow, Flow
from ptheta.models.flows.linear import ActNorm
from ptheta.models.flows.log_dets import PowerSeries, RussianRoulette, Series
from ptheta.models.flows.mint import mint_of_images, mint_of_vectors
from ptheta.models.flows.residual import Residual
from ptheta.networks.context import ContextFeatures
from ptheta.networks.contraction import contraction_of_images, contraction_of_vectors
from ptheta.networks.lipschitz import LipSwish
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.flows.vector import Margin, trained_flow, vector_flow
from ptheta.recipes.images import image_shape
from ptheta.recipes.settings import Count, PositiveFloat
from ptheta.spaces import Categorical, Real, Space

Slope = Annotated[float, Gt(0), Lt(1)]


def i_resnet(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 8,
    hidden_features: Count | None = None,
    lipschitz: Slope = 0.9,
    terms: Count = 10,
    exact_features: Count = 4,
    largest_features: Count = 256,
    convolutional: bool = False,
    logit: Margin | None = None,
    learning_rate: PositiveFloat = 4e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """i-ResNet: a residual network that can be inverted, since its blocks are contractions.

    It is trained by the first terms of a random series for the log-determinant, whose mean is off
    by what the others would add. The density that it offers is exact, by the Jacobian of every
    block in full, which takes as many passes as an example has values. Draws are found by
    iteration. Levels are dequantised with uniform noise, which makes the density of discrete data
    a lower bound.

    References:
        Invertible Residual Networks (Behrmann, Grathwohl, Chen, Duvenaud & Jacobsen, 2019),
        https://arxiv.org/abs/1811.00995

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of blocks.
        hidden_features: The width of the two hidden layers in each, or their channels where they
            are convolutions; none means 64, and 32 channels.
        lipschitz: The largest slope of a block.
        terms: The number of terms of the series.
        exact_features: The number of values of an example up to which the log-determinant is
            exact in training as well, which is quicker there.
        largest_features: The number of values of an example up to which the recipe serves: the
            exact density costs a pass for each, and is slow beyond without a GPU.
        convolutional: Whether blocks on images are convolutions, whose exact density is many
            times slower than that of matrices on small images.
        logit: The margin of the logit that levels pass through once they are dequantised, such as
            1e-6; 0 or none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.

    Raises:
        PthetaError: An example has more values than `largest_features`.
    """
    _refuse_large(space, largest_features)
    return _residual(
        space,
        context_space,
        PowerSeries(terms) if space.features > exact_features else None,
        nn.ELU,
        shape=_convolved(space) if convolutional else None,
        layers=layers,
        hidden_features=hidden_features,
        lipschitz=lipschitz,
        logit=logit,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def residual_flow(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 8,
    hidden_features: Count | None = None,
    lipschitz: Slope = 0.98,
    terms: Count = 2,
    stop: Slope = 0.5,
    exact_features: Count = 4,
    largest_features: Count = 256,
    convolutional: bool = False,
    logit: Margin | None = None,
    learning_rate: PositiveFloat = 4e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """Residual flow: an i-ResNet with smooth activations, trained by an unbiased estimate.

    The number of terms of the series for the log-determinant is drawn anew at each step, and what
    is rare weighs more. The density that it offers is exact, as that of `i-resnet`.

    References:
        Residual Flows for Invertible Generative Modeling (Chen, Behrmann, Duvenaud & Jacobsen,
        2019), https://arxiv.org/abs/1906.02735

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of blocks.
        hidden_features: The width of the two hidden layers in each, or their channels where they
            are convolutions; none means 64, and 32 channels.
        lipschitz: The largest slope of a block.
        terms: The number of terms of the series that are always taken.
        stop: The probability, after each of them, that no further one is.
        exact_features: The number of values of an example up to which the log-determinant is
            exact in training as well, which is quicker there.
        largest_features: The number of values of an example up to which the recipe serves: the
            exact density costs a pass for each, and is slow beyond without a GPU.
        convolutional: Whether blocks on images are convolutions, whose exact density is many
            times slower than that of matrices on small images.
        logit: The margin of the logit that levels pass through once they are dequantised, such as
            1e-6; 0 or none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.

    Raises:
        PthetaError: An example has more values than `largest_features`.
    """
    _refuse_large(space, largest_features)
    return _residual(
        space,
        context_space,
        RussianRoulette(terms, stop) if space.features > exact_features else None,
        LipSwish,
        shape=_convolved(space) if convolutional else None,
        layers=layers,
        hidden_features=hidden_features,
        lipschitz=lipschitz,
        logit=logit,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def mintnet(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    layers: Count = 6,
    hidden_features: Count | None = None,
    logit: Margin | None = None,
    learning_rate: PositiveFloat = 4e-3,
    batch_size: Count = 256,
    steps: Count = 5000,
) -> Algorithm:
    """MintNet: masked residual networks, scored in one pass and drawn from by iteration.

    The Jacobian of a layer is triangular, and its diagonal comes with the outputs. Orders
    alternate. Levels are dequantised with uniform noise, which makes the density of discrete data
    a lower bound.

    References:
        MintNet: Building Invertible Neural Networks with Masked Convolutions (Song, Meng & Ermon,
        2019), https://arxiv.org/abs/1907.07945

    Arguments:
        space: What one example is.
        context_space: What the model is conditioned on, if anything.
        layers: The number of layers, whose orders alternate.
        hidden_features: The number of units of each value in the two hidden layers, or of
            channels of each colour on images; none means about 256 units in all, within 8 and 64
            of a value, and 32 channels.
        logit: The margin of the logit that levels pass through once they are dequantised, such as
            1e-6; 0 or none leaves it out.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    given = ContextFeatures(context_space).features
    image = image_shape(space)
    default = max(8, min(64, 256 // space.features)) if image is None else 32
    hidden = [hidden_features or default] * 2
    maps: list[Bijection] = []
    for layer in range(layers):
        backwards = layer % 2 == 1
        maps.append(
            mint_of_vectors(space.features, hidden, given, backwards=backwards)
            if image is None
            else mint_of_images(image, hidden, given, backwards=backwards)
        )
    return vector_flow(
        _normalised(maps, space.features, image),
        space,
        context_space,
        logit=logit,
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def _residual(
    space: Space,
    context_space: Categorical | Real | None,
    series: Series | None,
    activation: Callable[[], nn.Module],
    *,
    shape: tuple[int, int, int] | None,
    layers: int,
    hidden_features: int | None,
    lipschitz: float,
    logit: float | None,
    learning_rate: float,
    batch_size: int,
    steps: int,
) -> Algorithm:
    context_features = ContextFeatures(context_space).features

    def block() -> Residual:
        if shape is None:
            network = contraction_of_vectors(
                space.features,
                [hidden_features or 64] * 2,
                activation,
                lipschitz=lipschitz,
                context_features=context_features,
            )
        else:
            network = contraction_of_images(
                shape,
                hidden_features or 32,
                activation,
                lipschitz=lipschitz,
                context_features=context_features,
            )
        return Residual(network, series)

    bijection = _normalised([block() for _ in range(layers)], space.features, shape)
    kind = Flow if series is None else EstimatedFlow
    flow = kind(bijection, Gaussian(space.features), context_space=context_space)
    return trained_flow(
        flow,
        dequantising(space, logit),
        space,
        constraints=("same-dimension", "invertible", "lipschitz"),
        learning_rate=learning_rate,
        batch_size=batch_size,
        steps=steps,
    )


def _normalised(
    maps: Sequence[Bijection], features: int, shape: tuple[int, int, int] | None
) -> Bijection:
    """The maps one after the other, each with an activation normalisation on its data's side."""
    channels = features if shape is None else shape[0]
    chain = Composition([step for map_ in maps for step in (map_, ActNorm(channels))])
    return chain if shape is None else Reshaped(chain, shape)


def _convolved(space: Space) -> tuple[int, int, int]:
    shape = image_shape(space)
    if shape is None:
        raise PthetaError(
            f"convolutions are for images, and this is: {space.describe()}; leave out "
            "convolutional=True."
        )
    return shape


def _refuse_large(space: Space, largest: int) -> None:
    if space.features > largest:
        raise PthetaError(
            f"the exact density of a residual flow takes a pass for each value of an example, and "
            f"{space.features} are more than {largest}; take 'mintnet' or 'realnvp', or raise "
            "'largest_features' where a GPU is at hand."
        )
