r"""Sequences of symbols given other sequences, such as a sentence given its translation.

.. math:: p(x \mid s) = \prod_t p(x_t \mid x_1, \dots, x_{t-1}, m(s))

where the memory :math:`m(s)` holds what an encoder makes of each symbol of the source, and the
network that reads :math:`x_{<t}` attends to it.
"""

__all__ = ["Seq2Seq"]

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.beams import beam_search
from ptheta.models.autoregressive.reading import Given, Reading
from ptheta.models.autoregressive.sequence import SymbolModel
from ptheta.networks.context import check_context
from ptheta.networks.memory import AttendingNetwork, Memory, SourceEncoder
from ptheta.spaces import Categorical, Space, end_of


class Seq2Seq(SymbolModel):
    """Sequences of symbols given a source: an encoder reads it, a network attends to it.

    What follows the end of a source is not attended to. The end itself is, so that there is
    something to attend to where a source has no symbols.

    References:
        Sequence to Sequence Learning with Neural Networks (Sutskever, Vinyals & Le, 2014),
        https://arxiv.org/abs/1409.3215
        Neural Machine Translation by Jointly Learning to Align and Translate (Bahdanau, Cho &
        Bengio, 2015), https://arxiv.org/abs/1409.0473
        Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762

    Arguments:
        space: Levels or categories in a row.
        context_space: The source: categories in a row.
        encoder: The network that reads the source.
        network: The network that reads the symbols so far.
        tied: Whether the weights of the outputs are the embeddings of the symbols.
        embedding_scale: The deviation of the embeddings at the start.

    Raises:
        ValueError: The source is no row of categories, or the values are no symbols in a row, or
            sizes do not go together.

    Example:
        >>> from ptheta.networks.attending import AttendingRecurrent
        >>> from ptheta.networks.encoders import RecurrentEncoder
        >>> source = Categorical((4,), 3, ("a", "b", ""), layout="sequence")
        >>> target = Categorical((2,), 3, ("x", "y", ""), layout="sequence")
        >>> model = Seq2Seq(target, source, RecurrentEncoder(4, 6), AttendingRecurrent(4, 8, 6))
        >>> every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
        >>> given = torch.tensor([[0, 1, 2, 2]]).expand(9, -1)
        >>> bool(torch.isclose(model.log_prob(every, given).exp().sum(), torch.tensor(1.0)))
        True
        >>> model.beam_search(given[:1], beams=2).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        space: Space,
        context_space: Categorical,
        encoder: SourceEncoder,
        network: AttendingNetwork,
        *,
        tied: bool = False,
        embedding_scale: float = 0.02,
    ) -> None:
        super().__init__(
            space, network, network.in_features, tied=tied, embedding_scale=embedding_scale
        )
        if len(context_space.shape) != 1:
            raise ValueError(
                f"expected a source of categories in a row, got {context_space.describe()}"
            )
        self.context_space = context_space
        self.source_end = end_of(context_space)
        self.source = nn.Embedding(context_space.categories, encoder.in_features)
        nn.init.normal_(self.source.weight, std=embedding_scale)
        self.encoder = encoder
        self.network = network

    def given(self, context: Tensor | None, rows: int) -> Given:
        return Given(self.network.attending(self.memory(context, rows)), None)

    def memory(self, context: Tensor | None, rows: int) -> Memory:
        """What is known of each symbol of the sources, and which places hold one.

        Arguments:
            context: The codes of the sources, with shape (rows, *context_space.shape).
            rows: The number of sources that there must be.
        """
        # in training a look at the codes would make a GPU wait; there they were read as data
        check_context(self.context_space, context, rows, codes=not self.training)
        assert context is not None
        codes = context.long()
        mask = _held(codes, self.source_end)
        return Memory(self.encoder(self.source(codes), mask), mask)

    @torch.no_grad()
    def beam_search(
        self, context: Tensor, *, beams: int = 1, length_penalty: float = 0.0
    ) -> Tensor:
        """The likeliest sequence that is found for each source.

        Arguments:
            context: The sources, with shape (n, *context_space.shape).
            beams: The beginnings that are kept; 1 is greedy.
            length_penalty: The exponent by which long sentences are favoured; 0 ranks them by
                their probability alone.

        Returns:
            The codes, with shape (n, length), nothing but the end following the end.

        Raises:
            ValueError: There are no beams, or the exponent is negative.
        """
        if beams < 1:
            raise ValueError(f"the beams must be at least 1, got {beams}")
        if not length_penalty >= 0:
            raise ValueError(f"the length penalty must be 0 or more, got {length_penalty}")
        with torch.inference_mode():
            memory = self.memory(context, len(context)).repeated(beams)
            codes = beam_search(
                Reading(self, Given(self.network.attending(memory), None)),
                context.new_empty(len(context), beams, 0, dtype=torch.long),
                length=self.space.features,
                end=end_of(self.space),
                length_penalty=length_penalty,
            )
        return codes.to(self.space.dtype, copy=True)


def _held(codes: Tensor, end: int | None) -> Tensor:
    """Which places hold a symbol of the source, or its end."""
    if end is None:
        return torch.ones_like(codes, dtype=torch.bool)
    ended = codes == end
    return ended.cumsum(dim=1) - ended.long() == 0
