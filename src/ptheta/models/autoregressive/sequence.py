r"""Symbols one after the other, by a network that reads them.

.. math:: p(x) = \prod_t p(x_t \mid x_1, \dots, x_{t-1}), \quad
    p(x_t \mid x_{<t}) = \mathrm{softmax}(b + W h_t)

where :math:`h_t` is the network's output once it has read a start symbol and
:math:`x_1, \dots, x_{t-1}`. Drawing reads each symbol once.
"""

__all__ = ["SequenceModel", "SymbolModel"]

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.autoregressive.choosing import Choice
from ptheta.models.autoregressive.distribution import Autoregressive
from ptheta.models.autoregressive.reading import Given, Reading
from ptheta.models.heads.discrete import SoftmaxKind
from ptheta.models.heads.head import Factorised, Head
from ptheta.models.normalised import Normalised
from ptheta.networks.context import ContextFeatures, ContextShift
from ptheta.networks.memory import AttendingNetwork
from ptheta.networks.sequence import SequenceNetwork
from ptheta.spaces import Categorical, Discrete, Real, Space


class SymbolModel(Normalised):
    """Sequences of symbols, one after the other, by a network that reads them.

    Required: `given`, and `network`, whose sizes are known here. Promised: `log_prob`, draws that
    read each symbol once, and sequences that go on with a beginning.

    Arguments:
        space: Levels or categories in a row. They may be drawn beyond its length.
        network: The network that reads them.
        features: The size of an embedding.
        tied: Whether the weights of the outputs are the embeddings of the symbols.
        embedding_scale: The deviation of the embeddings at the start.

    Raises:
        ValueError: The values are no symbols in a row, or the network cannot read so many, or
            tied weights differ in size.
    """

    def __init__(
        self,
        space: Space,
        network: SequenceNetwork | AttendingNetwork,
        features: int,
        *,
        tied: bool,
        embedding_scale: float,
    ) -> None:
        super().__init__()
        self.space = space
        self.kind = _kind(space)
        self.head = Head(space, choose=lambda group: self.kind)
        self.window = network.window
        if network.window is not None and network.window < space.features:
            raise ValueError(
                f"a sequence of {space.features} needs a window as long, got {network.window}"
            )
        if tied and network.features != features:
            raise ValueError(
                f"tied weights need outputs as large as inputs ({features}), got {network.features}"
            )
        symbols = self.kind.categories
        self.start = nn.Parameter(embedding_scale * torch.randn(features))
        self.embedding = nn.Embedding(symbols, features)
        nn.init.normal_(self.embedding.weight, std=embedding_scale)
        # its place among the parameters is that in which optimisers have kept their state
        self.register_module("network", network)
        self.output = None if tied else nn.Linear(network.features, symbols, bias=False)
        self.bias = nn.Parameter(torch.zeros(symbols))

    @abstractmethod
    def given(self, context: Tensor | None, rows: int) -> Given:
        """What sequences are conditioned on.

        Arguments:
            context: The context, with so many rows, or None.
            rows: The number of sequences.
        """

    def forward(self, context: Tensor | None = None) -> Autoregressive:
        """The distribution of sequences, given the context if the model is conditional."""
        return Autoregressive(self, self.start.device, context)

    def conditionals(self, x: Tensor, context: Tensor | None = None) -> Factorised:
        """The distribution of each symbol given those before it.

        Arguments:
            x: The sequences, with shape (batch, length).
            context: What they are conditioned on.
        """
        if x.shape[1:] != self.space.shape:
            raise ValueError(
                f"expected sequences of shape (batch, {self.space.features}), got {tuple(x.shape)}"
            )
        codes = x[:, :-1].long()
        given = self.given(context, len(x))
        inputs = self.inputs(codes, given.condition, start=True)
        logits = self.logits(given.network(inputs))
        return self.head(logits.transpose(1, 2).flatten(1))

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts near the frequencies of the symbols.

        Arguments:
            x: The training sequences, with shape (rows, length).
            context: What they are conditioned on.
        """
        self.bias.copy_(self.kind.fit(x.reshape(-1, 1))[:, 0])

    @torch.no_grad()
    def draw(self, uniforms: Tensor, context: Tensor | None = None) -> Tensor:
        """Sequences as a deterministic function of noise.

        Arguments:
            uniforms: Noise from [0, 1), with shape (2, space.features, n).
            context: What they are conditioned on, with n rows.

        Returns:
            The sequences, with shape (n, length).
        """
        nothing = torch.empty(uniforms.shape[2], 0, dtype=torch.long, device=uniforms.device)
        return self._go_on(nothing, uniforms, context, Choice())

    @torch.no_grad()
    def extend(
        self,
        prefix: Tensor,
        context: Tensor | None = None,
        *,
        length: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
    ) -> Tensor:
        """Sequences that begin with a prefix, of any length.

        A recurrent network goes on with its state. A Transformer sees at most its window: when
        that is full, the older half is dropped and the newer half is read again after a start
        symbol, as if a sequence began there.

        Arguments:
            prefix: The codes so far, with shape (n, so_far); there may be none.
            context: What they are conditioned on, with n rows.
            length: The symbols of a sequence in all; None takes those of the space.
            temperature: What logits are divided by; 0 takes the likeliest symbol.
            top_k: The number of likeliest symbols that are drawn from; None takes all.
            top_p: The probability of the likeliest symbols that are drawn from.

        Returns:
            The codes, with shape (n, length).

        Raises:
            ValueError: The prefix is longer than the sequence, or holds what is no symbol, or
                what is drawn from is out of bounds.
        """
        choice = Choice(temperature, top_k, top_p)
        length = self.space.features if length is None else length
        prefix = self._checked(prefix, length)
        n, so_far = prefix.shape
        uniforms = torch.rand(2, length - so_far, n, device=self.start.device)
        return self._go_on(prefix, uniforms, context, choice)

    def inputs(self, codes: Tensor, condition: Tensor | None, *, start: bool) -> Tensor:
        """What the network reads, with shape (batch, length, in_features).

        Arguments:
            codes: The symbols, with shape (batch, any).
            condition: What is added to each, or joined to it, or None.
            start: Whether the start symbol stands before them.
        """
        inputs = self.embedding(codes)
        if start:
            inputs = torch.cat([self.start.expand(len(codes), 1, -1), inputs], dim=1)
        return inputs if condition is None else inputs + condition

    def logits(self, outputs: Tensor) -> Tensor:
        """The logits of the next symbol, (..., symbols), from outputs of the network."""
        weight = self.embedding.weight if self.output is None else self.output.weight
        return F.linear(outputs, weight, self.bias)

    def _go_on(
        self, prefix: Tensor, uniforms: Tensor, context: Tensor | None, choice: Choice
    ) -> Tensor:
        n, so_far = prefix.shape
        codes = torch.cat([prefix, prefix.new_empty(n, uniforms.shape[1])], dim=1)
        # steps are small, and calls cost less so; what is written to is made outside, so that it
        # is an ordinary tensor
        with torch.inference_mode():
            reading = Reading(self, self.given(context, n))
            for place in range(so_far, codes.shape[1]):
                logits = choice(reading(codes[:, :place]))
                codes[:, place] = self.kind.draw(logits.t(), uniforms[:, place - so_far])
        return codes.to(self.space.dtype)

    def _checked(self, prefix: Tensor, length: int) -> Tensor:
        if prefix.dim() != 2 or not prefix.shape[1] <= length:
            raise ValueError(
                f"expected a prefix of shape (n, at most {length}), which is the length, got "
                f"{tuple(prefix.shape)}"
            )
        if prefix.numel() and (prefix.is_floating_point() or prefix.is_complex()):
            raise ValueError(f"expected a prefix of codes, whole numbers, got {prefix.dtype}")
        most = self.kind.categories - 1
        if prefix.numel() and not (prefix.min() >= 0 and prefix.max() <= most):
            raise ValueError(
                f"expected symbols from 0 to {most}, got {prefix.min()} to {prefix.max()}"
            )
        return prefix.to(self.start.device).long()


class SequenceModel(SymbolModel):
    """Sequences of symbols, by any causal network: recurrent, a Transformer, or a WaveNet.

    References:
        Generating Sequences With Recurrent Neural Networks (Graves, 2013),
        https://arxiv.org/abs/1308.0850, equations 5-8
        Using the Output Embedding to Improve Language Models (Press & Wolf, 2017),
        https://arxiv.org/abs/1608.05859, for tied weights

    Arguments:
        space: Levels or categories in a row. They may be drawn beyond its length.
        network: The network that reads them.
        context_space: What they are conditioned on, or None. It is added to every input, or is a
            part of it where the network takes a context.
        tied: Whether the weights of the outputs are the embeddings of the symbols.
        embedding_scale: The deviation of the embeddings at the start.

    Raises:
        ValueError: The values are no symbols in a row, or the network cannot read so many, or
            takes another context, or tied weights differ in size.

    Example:
        >>> from ptheta.networks.recurrent import Recurrent
        >>> model = SequenceModel(Categorical((3,), 2, layout="sequence"), Recurrent(4, 8))
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 3)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
        >>> model.extend(torch.tensor([[0, 1]]), length=7).shape
        torch.Size([1, 7])
    """

    def __init__(
        self,
        space: Space,
        network: SequenceNetwork,
        context_space: Categorical | Real | None = None,
        *,
        tied: bool = False,
        embedding_scale: float = 0.02,
    ) -> None:
        size = network.in_features - network.context_features
        super().__init__(space, network, size, tied=tied, embedding_scale=embedding_scale)
        self.context = ContextFeatures(context_space)
        if network.context_features not in (0, self.context.features):
            raise ValueError(
                f"the network takes a context of {network.context_features} features, and there "
                f"are {self.context.features}"
            )
        given = 0 if network.context_features else self.context.features
        self.condition = ContextShift.of(given, size)
        self.network = network

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        self.context.initialize_context(context)
        super().initialize(x, context)

    def given(self, context: Tensor | None, rows: int) -> Given:
        return Given(self.network, self.condition_of(context, rows))

    def inputs(self, codes: Tensor, condition: Tensor | None, *, start: bool) -> Tensor:
        if condition is None or self.condition is not None:
            return super().inputs(codes, condition, start=start)
        inputs = super().inputs(codes, None, start=start)
        return torch.cat([inputs, condition.expand(-1, inputs.shape[1], -1)], dim=2)

    def condition_of(self, context: Tensor | None, rows: int) -> Tensor | None:
        """What the context adds to each input, or its part of that, (rows, 1, any), or None."""
        features = self.context(context, rows)
        if features is None:
            return None
        features = features.unsqueeze(1)
        return features if self.condition is None else self.condition(features)


def _kind(space: Space) -> SoftmaxKind:
    if len(space.shape) == 1:
        match space:
            case Categorical():
                return SoftmaxKind(space.categories)
            case Discrete():
                return SoftmaxKind(space.levels, ordered=True)
            case _:
                pass
    raise ValueError(f"expected levels or categories in a row, got {space.describe()}")
