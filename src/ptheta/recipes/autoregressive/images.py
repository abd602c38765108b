"""Autoregressive models of images: one pixel after the other, in raster order."""

__all__ = ["diagonal_bilstm", "gated_pixelcnn", "pixelcnn", "row_lstm"]

from functools import partial

from ptheta.data.bridged import standardised
from ptheta.errors import PthetaError
from ptheta.models.autoregressive.gated_pixelcnn import GatedPixelCNN
from ptheta.models.autoregressive.pixelcnn import PixelCNN
from ptheta.models.autoregressive.pixelrnn import PixelRNN
from ptheta.networks.image_lstm import DiagonalBiLSTM, RowLSTM
from ptheta.networks.sizes import is_small, pixel_dropout
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.autoregressive.ordered import by_likelihood
from ptheta.recipes.settings import Count, Fraction, NonNegative, PositiveFloat
from ptheta.spaces import Categorical, Discrete, Real, Space

# a long average stands in for the step size's decline, in runs of many small batches
_EMA = 0.999


def pixelcnn(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    channels: Count | None = None,
    blocks: Count | None = None,
    components: Count = 5,
    softmax_levels: Count = 32,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 5e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 10_000,
) -> Algorithm:
    """PixelCNN: every value of an image given those before it, by masked convolutions.

    Colours come in turn within a pixel. The paper's network for MNIST has 15 blocks of 256
    channels.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759

    Arguments:
        space: What one example is: an image of levels.
        context_space: What the model is conditioned on, if anything.
        channels: The number of channels between blocks, and half of it within; none means 64
            for images of up to 16 pixels a side, and 32 for larger ones.
        blocks: The number of residual blocks; none means half the longer side of the image, at
            least 5 and at most 15.
        components: The number of logistics of a mixture, for more levels than `softmax_levels`.
        softmax_levels: The number of levels up to which each has a logit of its own; 256 gives
            the paper's softmax.
        dropout: The share of units within blocks dropped in training; none means 0.2 for images
            of up to 16 pixels a side, and 0 for larger ones.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    images = _images(space)
    model = PixelCNN(
        images,
        context_space,
        channels=channels or _channels(images),
        blocks=blocks or _default_layers(images),
        components=components,
        softmax_levels=softmax_levels,
        dropout=pixel_dropout(images.shape) if dropout is None else dropout,
    )
    joined = standardised(model, space)
    return by_likelihood(joined, learning_rate, weight_decay, batch_size, steps, ema=_EMA)


def gated_pixelcnn(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    channels: Count = 32,
    layers: Count | None = None,
    components: Count = 5,
    softmax_levels: Count = 32,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 5e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 10_000,
) -> Algorithm:
    """Gated PixelCNN: images by two stacks of gated convolutions that miss no pixel before.

    Colours come in turn within a pixel. A context shifts the units of every layer.

    References:
        Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016),
        https://arxiv.org/abs/1606.05328

    Arguments:
        space: What one example is: an image of levels.
        context_space: What the model is conditioned on, if anything.
        channels: The number of channels of each stack.
        layers: The number of layers; none means half the longer side of the image, at least 5
            and at most 15.
        components: The number of logistics of a mixture, for more levels than `softmax_levels`.
        softmax_levels: The number of levels up to which each has a logit of its own; 256 gives
            the paper's softmax.
        dropout: The share of gated units dropped in training; none means 0.2 for images of up to
            16 pixels a side, and 0 for larger ones.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    images = _images(space)
    model = GatedPixelCNN(
        images,
        context_space,
        channels=channels,
        layers=layers or _default_layers(images),
        components=components,
        softmax_levels=softmax_levels,
        dropout=pixel_dropout(images.shape) if dropout is None else dropout,
    )
    joined = standardised(model, space)
    return by_likelihood(joined, learning_rate, weight_decay, batch_size, steps, ema=_EMA)


def row_lstm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    channels: Count | None = None,
    layers: Count | None = None,
    kernel_size: Count = 3,
    components: Count = 5,
    softmax_levels: Count = 32,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 0.01,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 10_000,
) -> Algorithm:
    """Row LSTM: every value of an image given those in a triangle above it.

    The states of a row come at once from those of the row above. Colours come in turn within a
    pixel. A context shifts the gates of every layer.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3.1

    Arguments:
        space: What one example is: an image of levels.
        context_space: What the model is conditioned on, if anything.
        channels: The number of channels between layers, 2h in the paper, and half of it in a
            state; none means 64 for images of up to 16 pixels a side, and 32 for larger ones.
        layers: The number of layers; none means 2 for images of up to 16 pixels a side, and the
            paper's 7 for larger ones.
        kernel_size: The width of the kernels after the first layer, an odd number.
        components: The number of logistics of a mixture, for more levels than `softmax_levels`.
        softmax_levels: The number of levels up to which each has a logit of its own; 256 gives
            the paper's softmax.
        dropout: The share of states dropped in training on their way out of a layer; none means
            0.2 for images of up to 16 pixels a side, and 0 for larger ones.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    images = _images(space)
    model = PixelRNN(
        images,
        context_space,
        lstm=partial(RowLSTM, kernel_size=kernel_size),
        channels=channels or _channels(images),
        layers=layers or (2 if is_small(images.shape) else 7),
        components=components,
        softmax_levels=softmax_levels,
        dropout=pixel_dropout(images.shape) if dropout is None else dropout,
    )
    joined = standardised(model, space)
    return by_likelihood(joined, learning_rate, weight_decay, batch_size, steps, ema=_EMA)


def diagonal_bilstm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    channels: Count | None = None,
    layers: Count | None = None,
    components: Count = 5,
    softmax_levels: Count = 32,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 0.01,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 10_000,
) -> Algorithm:
    """Diagonal BiLSTM: every value of an image given all before it, by states along diagonals.

    States go along from both upper corners. Colours come in turn within a pixel. A context shifts
    the gates of every layer. The paper's networks for MNIST have 7 layers of 32 channels, and one
    of 64.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3.2

    Arguments:
        space: What one example is: an image of levels.
        context_space: What the model is conditioned on, if anything.
        channels: The number of channels between layers, 2h in the paper, and half of it in a
            state; none means 64 for images of up to 16 pixels a side, and 32 for larger ones.
        layers: The number of layers; none means 1 for images of up to 16 pixels a side, and the
            paper's 7 for larger ones.
        components: The number of logistics of a mixture, for more levels than `softmax_levels`.
        softmax_levels: The number of levels up to which each has a logit of its own; 256 gives
            the paper's softmax.
        dropout: The share of states dropped in training on their way out of a layer; none means
            0.2 for images of up to 16 pixels a side, and 0 for larger ones.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    images = _images(space)
    model = PixelRNN(
        images,
        context_space,
        lstm=DiagonalBiLSTM,
        channels=channels or _channels(images),
        layers=layers or (1 if is_small(images.shape) else 7),
        components=components,
        softmax_levels=softmax_levels,
        dropout=pixel_dropout(images.shape) if dropout is None else dropout,
    )
    joined = standardised(model, space)
    return by_likelihood(joined, learning_rate, weight_decay, batch_size, steps, ema=_EMA)


def _images(space: Space) -> Discrete:
    if isinstance(space, Discrete) and space.layout == "image" and len(space.shape) == 3:
        return space
    raise PthetaError(
        "it models images of levels, with channels, height and width, and this is: "
        f"{space.describe()}, of shape {space.shape}."
    )


def _default_layers(images: Discrete) -> int:
    return min(15, max(5, max(images.shape[1:]) // 2))


def _channels(images: Discrete) -> int:
    return 64 if is_small(images.shape) else 32
