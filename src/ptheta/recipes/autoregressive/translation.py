"""Models of sequences given other sequences: a sentence given its translation."""

__all__ = ["seq2seq_lstm", "seq2seq_transformer"]


from ptheta.errors import PthetaError
from ptheta.models.autoregressive.seq2seq import Seq2Seq
from ptheta.networks.attending import AttendingRecurrent, AttendingTransformer
from ptheta.networks.encoders import RecurrentEncoder, TransformerEncoder
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.autoregressive.ordered import by_likelihood, is_long
from ptheta.recipes.autoregressive.sequences import refuse_unordered
from ptheta.recipes.settings import Count, Fraction, NonNegative, PositiveFloat
from ptheta.spaces import Categorical, Real, Space


def seq2seq_transformer(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    features: Count | None = None,
    heads: Count = 4,
    layers: Count = 2,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 3e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 4000,
) -> Algorithm:
    """Encoder-decoder Transformer: a sequence given another, such as its translation.

    References:
        Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762
        On Layer Normalization in the Transformer Architecture (Xiong et al., 2020),
        https://arxiv.org/abs/2002.04745, for the order of norms
        RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021),
        https://arxiv.org/abs/2104.09864

    Arguments:
        space: What one example is: a sequence of categories or of up to 256 levels.
        context_space: The source: a sequence of categories.
        features: The size of embeddings and of all between the blocks, a multiple of twice the
            heads; none means 64 where both sequences have less than 32 symbols, else 128.
        heads: The number of heads of attention.
        layers: The number of blocks of the encoder, and of the decoder.
        dropout: The share of what each block adds that is dropped in training.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    source = _source(space, context_space)
    features = features or (128 if is_long(space, source) else 64)
    places, length = source.features, space.features
    model = Seq2Seq(
        space,
        source,
        TransformerEncoder(features, heads, layers, places, dropout),
        AttendingTransformer(features, features, heads, layers, length, places, dropout),
        # at GPT-2's 0.02 a source is told apart much later
        embedding_scale=0.3,
    )
    return by_likelihood(model, learning_rate, weight_decay, batch_size, steps, clip=1.0)


def seq2seq_lstm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count | None = None,
    layers: Count = 1,
    embedding_features: Count = 64,
    dropout: Fraction = 0.0,
    learning_rate: PositiveFloat = 4e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 32,
    steps: Count = 4000,
) -> Algorithm:
    """LSTM with attention: a sequence given another, which is read in both directions.

    References:
        Sequence to Sequence Learning with Neural Networks (Sutskever, Vinyals & Le, 2014),
        https://arxiv.org/abs/1409.3215
        Neural Machine Translation by Jointly Learning to Align and Translate (Bahdanau, Cho &
        Bengio, 2015), https://arxiv.org/abs/1409.0473
        Effective Approaches to Attention-based Neural Machine Translation (Luong, Pham & Manning,
        2015), https://arxiv.org/abs/1508.04025

    Arguments:
        space: What one example is: a sequence of categories or of up to 256 levels.
        context_space: The source: a sequence of categories.
        hidden_features: The size of the state of a layer, half of it for either direction of the
            source, so an even number; none means 128 where both sequences have less than 32
            symbols, else 256.
        layers: The number of layers of the encoder in either direction, and of the decoder.
        embedding_features: The size of the embedding of a symbol.
        dropout: The share of units dropped in training.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    source = _source(space, context_space)
    features = hidden_features or (256 if is_long(space, source) else 128)
    if features % 2:
        raise PthetaError(f"hidden_features must be even, got {features}.")
    model = Seq2Seq(
        space,
        source,
        RecurrentEncoder(embedding_features, features, layers, dropout),
        AttendingRecurrent(embedding_features, features, features, layers, dropout),
        embedding_scale=1.0,
    )
    return by_likelihood(model, learning_rate, weight_decay, batch_size, steps, clip=1.0)


def _source(space: Space, context_space: Categorical | Real | None) -> Categorical:
    refuse_unordered(space)
    if isinstance(context_space, Categorical) and len(context_space.shape) == 1:
        return context_space
    given = "there is none" if context_space is None else f"it is {context_space.describe()}"
    raise PthetaError(
        "it models a sequence given another one, the source, which is to be the context: symbols "
        f"in a row, such as the sentences of --context english for eng-fra; here {given}."
    )
