"""Models of sequences: one symbol after the other, of any length."""

__all__ = [
    "char_gru",
    "char_lstm",
    "char_rnn",
    "refuse_unordered",
    "transformer",
    "wavenet",
]

import math

from ptheta.errors import PthetaError
from ptheta.models.autoregressive.sequence import SequenceModel
from ptheta.networks.context import ContextFeatures
from ptheta.networks.recurrent import Cell, Recurrent
from ptheta.networks.transformer import Transformer
from ptheta.networks.wavenet import WaveNet
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.autoregressive.ordered import by_likelihood, is_long
from ptheta.recipes.settings import Count, Fraction, NonNegative, PositiveFloat
from ptheta.spaces import Categorical, Discrete, Real, Space

_MOST_LEVELS = 256
_MOST_LAYERS = 10
_SYMBOLS = 8192  # of a batch of long sequences
# the state and the layers for long sequences: about the weights of the Transformer's default
_SIZES: dict[Cell, tuple[int, int]] = {"rnn": (512, 1), "lstm": (256, 2), "gru": (288, 2)}


def char_rnn(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count | None = None,
    layers: Count | None = None,
    embedding_features: Count = 64,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 2000,
) -> Algorithm:
    """Character RNN: symbols one after the other, by a recurrent network of Elman's cells.

    References:
        Generating Text with Recurrent Neural Networks (Sutskever, Martens & Hinton, 2011),
        https://icml.cc/2011/papers/524_icmlpaper.pdf
        The Unreasonable Effectiveness of Recurrent Neural Networks (Karpathy, 2015),
        https://karpathy.github.io/2015/05/21/rnn-effectiveness/

    Arguments:
        space: What one example is: a sequence of categories or of up to 256 levels.
        context_space: What the model is conditioned on, if anything.
        hidden_features: The size of the state of a layer; none means 128 for sequences of less
            than 32 symbols, else 512.
        layers: The number of layers; none means 1.
        embedding_features: The size of the embedding of a symbol.
        dropout: The share of units dropped in training.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    return _recurrent(
        "rnn", space, context_space, hidden_features, layers, embedding_features, dropout,
        learning_rate, weight_decay, batch_size, steps,
    )  # fmt: skip


def char_lstm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count | None = None,
    layers: Count | None = None,
    embedding_features: Count = 64,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 4e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 2000,
) -> Algorithm:
    """Character LSTM: symbols one after the other, by long short-term memory.

    References:
        Generating Sequences With Recurrent Neural Networks (Graves, 2013),
        https://arxiv.org/abs/1308.0850

    Arguments:
        space: What one example is: a sequence of categories or of up to 256 levels.
        context_space: What the model is conditioned on, if anything.
        hidden_features: The size of the state of a layer; none means 128 for sequences of less
            than 32 symbols, else 256.
        layers: The number of layers; none means 1 for sequences of less than 32 symbols, else 2.
        embedding_features: The size of the embedding of a symbol.
        dropout: The share of units dropped in training.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    return _recurrent(
        "lstm", space, context_space, hidden_features, layers, embedding_features, dropout,
        learning_rate, weight_decay, batch_size, steps,
    )  # fmt: skip


def char_gru(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count | None = None,
    layers: Count | None = None,
    embedding_features: Count = 64,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 4e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 2000,
) -> Algorithm:
    """Character GRU: symbols one after the other, by gated recurrent units.

    References:
        Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
        Translation (Cho et al., 2014), https://arxiv.org/abs/1406.1078
        Empirical Evaluation of Gated Recurrent Neural Networks on Sequence Modeling (Chung et al.,
        2014), https://arxiv.org/abs/1412.3555

    Arguments:
        space: What one example is: a sequence of categories or of up to 256 levels.
        context_space: What the model is conditioned on, if anything.
        hidden_features: The size of the state of a layer; none means 128 for sequences of less
            than 32 symbols, else 288.
        layers: The number of layers; none means 1 for sequences of less than 32 symbols, else 2.
        embedding_features: The size of the embedding of a symbol.
        dropout: The share of units dropped in training.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    return _recurrent(
        "gru", space, context_space, hidden_features, layers, embedding_features, dropout,
        learning_rate, weight_decay, batch_size, steps,
    )  # fmt: skip


def transformer(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    features: Count | None = None,
    heads: Count = 4,
    layers: Count | None = None,
    dropout: Fraction = 0.0,
    tied: bool = False,
    learning_rate: PositiveFloat = 3e-3,
    weight_decay: NonNegative = 0.1,
    batch_size: Count = 32,
    steps: Count = 2000,
) -> Algorithm:
    """Transformer: symbols one after the other, each attending to those before it.

    References:
        Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762
        Language Models are Unsupervised Multitask Learners (Radford et al., 2019),
        https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
        RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021),
        https://arxiv.org/abs/2104.09864

    Arguments:
        space: What one example is: a sequence of categories or of up to 256 levels.
        context_space: What the model is conditioned on, if anything.
        features: The size of embeddings and of all between the blocks, a multiple of twice the
            heads; none means 64 for sequences of less than 32 symbols, else 128.
        heads: The number of heads of attention.
        layers: The number of blocks; none means 2 for sequences of less than 32 symbols, else 4.
        dropout: The share of what each block adds that is dropped in training.
        tied: Whether the weights of the outputs are the embeddings of the symbols.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    refuse_unordered(space)
    features = features or (128 if is_long(space) else 64)
    layers = layers or (4 if is_long(space) else 2)
    network = Transformer(features, heads, layers, space.features, dropout)
    model = SequenceModel(space, network, context_space, tied=tied)
    return by_likelihood(model, learning_rate, weight_decay, batch_size, steps, clip=1.0)


def wavenet(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    channels: Count = 32,
    layers: Count | None = None,
    stacks: Count = 1,
    skip_channels: Count | None = None,
    learning_rate: PositiveFloat = 3e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count | None = None,
    steps: Count = 2000,
) -> Algorithm:
    """WaveNet: symbols one after the other, by dilated causal convolutions with gates.

    Made for sound in 256 mu-law levels. A context shifts the gates of every layer.

    References:
        WaveNet: A Generative Model for Raw Audio (van den Oord et al., 2016),
        https://arxiv.org/abs/1609.03499

    Arguments:
        space: What one example is: a sequence of categories or of up to 256 levels.
        context_space: What the model is conditioned on, if anything.
        channels: The size of an embedding, and the channels within a layer.
        layers: The layers of a stack, each reaching twice as far back as the one before; none
            means as many as see the whole sequence, and at most 10, which see 1,024 symbols.
        stacks: How often the dilations begin anew.
        skip_channels: The channels of the two layers before the logits; none means 64 for
            sequences of less than 32 symbols, else 128.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch; none means as many as hold 8,192 symbols,
            and at most 32.
        steps: The number of steps where no budget is given.
    """
    refuse_unordered(space)
    reach = max(1, math.ceil(math.log2(space.features)))
    if layers is not None and layers > reach:
        raise PthetaError(
            f"layers must be at most {reach}, which see all of a sequence of {space.features}; "
            f"{layers} would see {2**layers} symbols. Take fewer, or longer sequences (--window)."
        )
    network = WaveNet(
        channels,
        layers or min(reach, _MOST_LAYERS),
        stacks,
        skip_channels or (128 if is_long(space) else 64),
        ContextFeatures(context_space).features,
    )
    model = SequenceModel(space, network, context_space, embedding_scale=1.0)
    batch_size = batch_size or min(32, max(1, _SYMBOLS // space.features))
    return by_likelihood(model, learning_rate, weight_decay, batch_size, steps, clip=1.0)


def _recurrent(
    cell: Cell,
    space: Space,
    context_space: Categorical | Real | None,
    hidden_features: int | None,
    layers: int | None,
    embedding_features: int,
    dropout: float,
    learning_rate: float,
    weight_decay: float,
    batch_size: int,
    steps: int,
) -> Algorithm:
    refuse_unordered(space)
    long_features, long_layers = _SIZES[cell]
    features = hidden_features or (long_features if is_long(space) else 128)
    layers = layers or (long_layers if is_long(space) else 1)
    network = Recurrent(embedding_features, features, layers, cell, dropout)
    model = SequenceModel(space, network, context_space, embedding_scale=1.0)
    return by_likelihood(model, learning_rate, weight_decay, batch_size, steps, clip=1.0)


def refuse_unordered(space: Space) -> None:
    """Refuses a space that is no row of symbols.

    Arguments:
        space: The space.

    Raises:
        PthetaError: Its values are not in a row, are no symbols, or are of too many levels.
    """
    if len(space.shape) != 1 or not isinstance(space, Categorical | Discrete):
        raise PthetaError(
            "it reads symbols one after the other: text, or categories or levels in a row."
        )
    if isinstance(space, Discrete) and space.levels > _MOST_LEVELS:
        raise PthetaError(
            f"it has a logit for each level, for up to {_MOST_LEVELS} levels; there are "
            f"{space.levels}."
        )
