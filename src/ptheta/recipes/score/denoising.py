"""What systems of scores share: the network, the denoiser, and how it is trained."""

__all__ = [
    "Backbone",
    "Network",
    "backbone",
    "denoiser",
    "guided",
    "least_noise",
    "trained_denoiser",
    "with_classifier",
]

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from torch import nn

from ptheta.data.bridged import bridged
from ptheta.data.bridges import Bridge
from ptheta.data.bridging import dequantising
from ptheta.errors import PthetaError
from ptheta.inference.diffusing import WithReverseChain
from ptheta.models.diffusion.classifier import NoisedClassifier
from ptheta.models.diffusion.denoiser import Denoiser
from ptheta.models.diffusion.guidance import ClassifierFree, ClassifierGuided
from ptheta.models.diffusion.paths import Even
from ptheta.networks.convolutional import PooledCNN
from ptheta.networks.diffusion_transformer import DiffusionTransformer
from ptheta.networks.residual import ResidualMLP
from ptheta.networks.sizes import default_width, is_small
from ptheta.networks.unet import UNet
from ptheta.noising import Path, SupportsPredict
from ptheta.objectives.types import Objective
from ptheta.protocols import SupportsSample
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.images import image_shape
from ptheta.spaces import Categorical, Discrete, Real, Space
from ptheta.training.gradient import GradientLearner

Network = Literal["mlp", "unet", "transformer"]

_HIDDEN = 0.1  # of contexts, in training for guidance
# training is watched by a chain of so many levels, of which each row is looked at on a few: a look
# at images takes as long as steps do that see them once or twice
_CHAIN = 1000
_LEVELS_OF_VECTORS, _LEVELS_OF_IMAGES = 16, 4
_COARSEST = 8  # pixels a side at most at the coarsest resolution of a U-Net


class Backbone(NamedTuple):
    """What predicts, and what it sees.

    Arguments:
        bridge: The bridge from data to what the network sees.
        shape: The shape of that: of images with one scale for all pixels, or of standardised
            vectors.
        make: Makes the network from the number of features of its condition.
    """

    bridge: Bridge
    shape: tuple[int, ...]
    make: Callable[[int], nn.Module]


def backbone(
    space: Space,
    network: Network | None,
    *,
    hidden_features: int | None,
    blocks: int | None,
    dropout: float,
    outputs: int = 1,
) -> Backbone:
    """The network of a denoiser, and the way to what it sees.

    Arguments:
        space: What one example is.
        network: The network; None means a U-Net of images and a perceptron of other data.
        hidden_features: Its width; None means by the size of an example.
        blocks: The number of its blocks; None means 3 of a perceptron, 1 of a U-Net at each
            resolution, and 4 of a Transformer.
        dropout: The share of hidden units dropped in training.
        outputs: The number of outputs for each value of an example.

    Raises:
        PthetaError: The network is for images, and examples are none, or it cannot be as wide.
    """
    image = image_shape(space)
    if network == "mlp" or (network is None and image is None):
        features = space.features
        width = hidden_features or default_width(features)

        def make(told: int) -> nn.Module:
            return ResidualMLP(features, outputs * features, width, blocks or 3, told, dropout)

        return Backbone(dequantising(space), (features,), make)
    if image is None:
        raise PthetaError(
            f"network={network} is for images, and this is: {space.describe()}; leave it out, or "
            "set network=mlp."
        )
    of_images = _transformer if network == "transformer" else _unet
    bridge = dequantising(space, flat=False, together=True)
    made = of_images(image, hidden_features, blocks, dropout, outputs * image[0])
    return Backbone(bridge, image, made)


def _unet(
    image: tuple[int, int, int], width: int | None, blocks: int | None, dropout: float, out: int
) -> Callable[[int], nn.Module]:
    patch, levels = _patch(image), 2
    while max(image[1:]) > _COARSEST * patch * 2 ** (levels - 1):
        levels += 1
    return lambda told: UNet(
        image[0],
        told,
        hidden_channels=_multiple(width or 48, 8),
        levels=levels,
        blocks=blocks or 1,
        patch=patch,
        dropout=dropout,
        out_channels=out,
    )


def _transformer(
    image: tuple[int, int, int], width: int | None, blocks: int | None, dropout: float, out: int
) -> Callable[[int], nn.Module]:
    return lambda told: DiffusionTransformer(
        image,
        told,
        hidden_features=_multiple(width or 128, 4),
        layers=blocks or 4,
        patch=2 * _patch(image),
        dropout=dropout,
        out_channels=out,
    )


def _patch(image: tuple[int, ...]) -> int:
    return 1 if is_small(image) else 2


def _multiple(width: int, of: int) -> int:
    if width % of:
        raise PthetaError(
            f"hidden_features cannot be {width}: the width of this network is a multiple of {of}."
        )
    return width


def denoiser(
    path: Path,
    context_space: Categorical | Real | None,
    network: Callable[[int], nn.Module],
    *,
    guidance: float | None = None,
    kind: type[Denoiser] = Denoiser,
) -> Denoiser:
    """A denoiser, which learns to do without its context where that is to guide draws.

    Arguments:
        path: The path from data to noise.
        context_space: What examples are conditioned on.
        network: Makes its network from the number of features of its condition.
        guidance: The weight of guidance, if any.
        kind: The denoiser; `SpreadDenoiser` has two outputs for each value.

    Raises:
        PthetaError: There is guidance, and nothing to guide by.
    """
    if guidance is not None and context_space is None:
        raise PthetaError(
            "guidance leans towards what examples are conditioned on, and these are conditioned on "
            "nothing; name labels or columns as their context, or leave guidance out."
        )
    hidden = 0.0 if guidance is None else _HIDDEN
    return kind(path, network, context_space, hidden_contexts=hidden)


def least_noise(space: Space, default: float) -> float:
    """The least noise that a path of data of unit variance begins with.

    Levels of intensity are a few hundredths of that variance wide where there are many, and noise
    as wide as they are would be most of what a density of still pixels costs.

    Arguments:
        space: What one example is.
        default: The standard deviation of the noise for other data, and the most for these.
    """
    return min(default, 0.2 / space.levels) if isinstance(space, Discrete) else default


def guided(model: Denoiser, guidance: float | None) -> SupportsPredict:
    """A denoiser that leans towards its context, where it is to.

    Arguments:
        model: The denoiser.
        guidance: The weight, or None.
    """
    return model if guidance is None else ClassifierFree(model, guidance)


def with_classifier(
    path: Path,
    context_space: Categorical | Real | None,
    seen: Backbone,
    *,
    guidance: float,
) -> ClassifierGuided:
    """A denoiser of data of all classes, with a classifier that guides it.

    Arguments:
        path: The path from data to noise.
        context_space: The classes.
        seen: What the denoiser is made of.
        guidance: The weight.

    Raises:
        PthetaError: Examples are not conditioned on one column of classes.
    """
    if not (isinstance(context_space, Categorical) and context_space.features == 1):
        raise PthetaError(
            "a classifier guides towards classes, and examples are conditioned on "
            f"{'nothing' if context_space is None else context_space.describe()}; leave out "
            "guided_by=classifier, or name one column of classes as their context."
        )
    classes, shape = context_space.categories, seen.shape

    def network(told: int) -> nn.Module:
        if len(shape) == 3:
            return PooledCNN(shape[0], classes, 32, condition_features=told, patch=_patch(shape))
        return ResidualMLP(shape[0], classes, default_width(shape[0]), condition_features=told)

    return ClassifierGuided(Denoiser(path, seen.make), NoisedClassifier(path, network), guidance)


def trained_denoiser(
    drawn: SupportsSample,
    network: nn.Module,
    objective: Objective[Any],
    bridge: Bridge,
    space: Space,
    *,
    learning_rate: float,
    halving_steps: int | None,
    batch_size: int,
) -> Algorithm:
    """A denoiser with its way of drawing, joined to data, and what it is trained by.

    Arguments:
        drawn: The denoiser joined to its way of drawing.
        network: The denoiser.
        objective: What it is trained by.
        bridge: The bridge from the data to the reals.
        space: What one example is.
        learning_rate: The step size of Adam.
        halving_steps: The number of updates after which it is half of that; None keeps it.
        batch_size: The number of examples in a batch.
    """
    return Algorithm(
        model=bridged(drawn, bridge, space),
        learner=GradientLearner(
            network,
            objective,
            learning_rate=learning_rate,
            clip=1.0,
            bridge=bridge,
            halving_steps=halving_steps,
        ),
        batch_size=batch_size,
        steps=8000,
        ema=0.999,
        watched=partial(_as_chain, space=space),
    )


def _as_chain(model: Any, space: Space) -> nn.Module:
    """The same denoiser as a chain, whose bound takes a few passes a row.

    The density of a flow takes hundreds, as draws do; all get better with the denoiser. It is
    looked at without guidance, which leans away from the data, the further the better it is learnt.
    """
    drawn = model.model
    denoiser = drawn.model
    if isinstance(denoiser, ClassifierFree | ClassifierGuided):
        denoiser = denoiser.unguided
    levels = _LEVELS_OF_VECTORS if len(drawn.shape) == 1 else _LEVELS_OF_IMAGES
    chain = Even(denoiser.path, _CHAIN)
    bounded = WithReverseChain(denoiser, drawn.shape, levels=levels, chain=chain)
    return bridged(bounded, model.bridge, space)
