"""PixelCNN: images by residual blocks of masked convolutions."""

__all__ = ["PixelCNN"]

from torch import Tensor, nn

from ptheta.models.autoregressive.residual_image import ResidualImages
from ptheta.networks.causal import Evaluate, raster
from ptheta.spaces import Categorical, Discrete, Real


class PixelCNN(ResidualImages):
    """PixelCNN, for images of levels, of any number of colours.

    A masked convolution of width 7 reads the image, residual blocks follow. What lies above and
    far to the right of a pixel is seen by no number of blocks (the blind spot): a step to the
    right costs a step up. A context shifts the widest layer of each block.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3.5, figure 5 and table 1

    Arguments:
        space: The space of the images.
        context_space: What they are conditioned on, or None.
        channels: The number of channels between blocks, 2h in the paper; within, it is half.
        blocks: The number of blocks.
        components: The number of logistics of a mixture, for many levels.
        softmax_levels: The number of levels up to which each level has a logit of its own.
        dropout: The share of units within blocks that is dropped in training.

    Raises:
        ValueError: The space is not one of images of levels.

    Example:
        >>> import torch
        >>> from ptheta.spaces import Binary
        >>> model = PixelCNN(Binary((1, 1, 3), "image"), channels=4, blocks=1)
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 3).reshape(-1, 1, 1, 3)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
    """

    def __init__(
        self,
        space: Discrete,
        context_space: Categorical | Real | None = None,
        *,
        channels: int = 32,
        blocks: int = 15,
        components: int = 5,
        softmax_levels: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            space,
            context_space,
            channels=channels,
            components=components,
            softmax_levels=softmax_levels,
        )
        self.blocks = nn.ModuleList(
            _Block(self.outer, self.inner, self.context.features, dropout) for _ in range(blocks)
        )


class _Block(nn.Module):
    def __init__(self, outer: Tensor, inner: Tensor, context_features: int, dropout: float) -> None:
        super().__init__()
        self.enter = raster(outer, inner, 1)
        self.middle = raster(inner, inner, 3, context_features=context_features)
        self.leave = raster(inner, outer, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, evaluate: Evaluate) -> Tensor:
        y = evaluate(self.enter, x.relu())
        y = evaluate(self.middle, y.relu())
        return x + evaluate(self.leave, self.dropout(y.relu()))
