"""PixelRNN: images by residual blocks of long short-term memory over pixels."""

__all__ = ["PixelRNN"]

from collections.abc import Callable

from torch import Tensor, nn

from ptheta.models.autoregressive.residual_image import ResidualImages
from ptheta.networks.causal import EvaluateStates, along
from ptheta.networks.image_lstm import DiagonalBiLSTM, ImageLSTM
from ptheta.spaces import Categorical, Discrete, Real


class PixelRNN(ResidualImages):
    r"""PixelRNN with Row LSTM or Diagonal BiLSTM layers, for images of levels.

    A masked convolution of width 7 reads the image, and blocks follow in which masked
    convolutions :math:`K^{is}` lead to the gates of states, and the states back to the channels:

    .. math::
        (o_i, f_i, i_i, g_i) &= \sigma(K^{ss} * h_{i-1} + K^{is} * x_i) \\
        c_i &= f_i \odot c_{i-1} + i_i \odot g_i, \qquad h_i = o_i \odot \tanh(c_i)

    with a hyperbolic tangent in place of :math:`\sigma` for g. A step i is a row, of which a pixel
    sees what a triangle above it holds, or a diagonal, of which it sees all that was before. For
    that the diagonals begin a column to the right of the image: the last pixel of a row is hidden
    from itself, and those far to the left in the next row would not see it. A context shifts the
    gates.

    References:
        Pixel Recurrent Neural Networks (van den Oord, Kalchbrenner & Kavukcuoglu, 2016),
        https://arxiv.org/abs/1601.06759, section 3, equation 3, figures 4 and 5, table 1

    Arguments:
        space: The space of the images.
        context_space: What they are conditioned on, or None.
        lstm: Makes the states of a block, along rows (`RowLSTM`) or diagonals from both sides
            (`DiagonalBiLSTM`), from the colours of its inputs and of its states.
        channels: The number of channels between blocks, 2h in the paper; a state has half of it.
        layers: The number of blocks.
        components: The number of logistics of a mixture, for many levels.
        softmax_levels: The number of levels up to which each level has a logit of its own.
        dropout: The share of states that is dropped in training, on their way back alone.

    Raises:
        ValueError: The space is not one of images of levels.

    Example:
        >>> import torch
        >>> from ptheta.spaces import Binary
        >>> model = PixelRNN(Binary((1, 2, 2), "image"), channels=4, layers=1)
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 4).reshape(-1, 1, 2, 2)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
    """

    def __init__(
        self,
        space: Discrete,
        context_space: Categorical | Real | None = None,
        *,
        lstm: Callable[..., ImageLSTM] = DiagonalBiLSTM,
        channels: int = 32,
        layers: int = 7,
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
        given = self.context.features
        states = [lstm(self.outer, self.inner, context_features=given) for _ in range(layers)]
        self.margin = states[0].margin
        self.blocks = nn.ModuleList(_Block(layer, self.outer, dropout) for layer in states)


class _Block(nn.Module):
    def __init__(self, states: ImageLSTM, outer: Tensor, dropout: float) -> None:
        super().__init__()
        self.states = states
        self.leave = along(states.colours, outer, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, evaluate: EvaluateStates) -> Tensor:
        y = self.dropout(evaluate.states(self.states, x))
        # a sum stands in memory as what is named first: from here on the batch is last
        return evaluate(self.leave, y) + x
