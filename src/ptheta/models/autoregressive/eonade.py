r"""EoNADE: one network for the conditionals of every order, and an ensemble of orders.

.. math::
    p(x) = \frac{1}{K} \sum_{k=1}^{K} \prod_{d=1}^{D} p(x_{o_k(d)} \mid x_{o_k(1)}, \dots,
    x_{o_k(d-1)})

The network is given which values are known and, of those, what they are; the others it sees as
zero. So it conditions on any of them, and a missing value is one that is never known. Along an
order the first hidden layer grows by one value at a time, as in NADE; layers above it are computed
for each value anew, so that an evaluation costs O(K D H^2) with them and O(K D H) without.
"""

__all__ = ["EoNADE"]

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ptheta.models.autoregressive.drawing import draw_from_members
from ptheta.models.completion import Completing
from ptheta.models.heads.head import Factorised, Head
from ptheta.models.normalised import FromFunctions, Normalised
from ptheta.networks.context import ContextFeatures
from ptheta.networks.features import Features
from ptheta.spaces import Categorical, Real, Space, missing_values


class EoNADE(Completing, Normalised):
    """Order-agnostic neural autoregressive density estimator, for values of any kind.

    References:
        A Deep and Tractable Density Estimator (Uria, Murray & Larochelle, 2014),
        https://arxiv.org/abs/1310.1757, section 3 for the network, which is given the mask of what
        is known, and equation 12 for the ensemble

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: What they are conditioned on, or None.
        hidden_features: The sizes of the hidden layers.
        orders: The number of orders K of the ensemble, drawn once, at random.
        components: The number of components of mixtures, for real values and many levels.
        activation: Makes the activation.
        dropout: The share of hidden units dropped in training.
        min_scale: The smallest scale of a Gaussian, in standard deviations of the data.

    Example:
        >>> from ptheta.spaces import Binary
        >>> model = EoNADE(Binary((3,)), hidden_features=(8,), orders=2).eval()
        >>> every = torch.cartesian_prod(*[torch.arange(2)] * 3)
        >>> bool(torch.isclose(model.log_prob(every).exp().sum(), torch.tensor(1.0)))
        True
    """

    orders: Tensor

    def __init__(
        self,
        space: Space,
        context_space: Categorical | Real | None = None,
        *,
        hidden_features: Sequence[int] = (500, 500),
        orders: int = 8,
        components: int = 10,
        activation: Callable[[], nn.Module] = nn.ReLU,
        dropout: float = 0.0,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        count = space.features
        self.space = space
        self.features = Features(space)
        self.context = ContextFeatures(context_space)
        self.head = Head(space, components, min_scale)
        self.register_buffer("orders", torch.stack([torch.randperm(count) for _ in range(orders)]))
        inputs = self.features.features + count + self.context.features
        self.input = nn.Linear(inputs, hidden_features[0])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(hidden_features))
        self.output = nn.Linear(hidden_features[-1], self.head.features)
        self.activation = activation()
        self.dropout = nn.Dropout(dropout)

    def forward(self, context: Tensor | None = None) -> FromFunctions:
        """The distribution of examples, given the context if the model is conditional."""
        return FromFunctions(self.space, self._log_prob, partial(draw_from_members, self), context)

    def conditionals(self, x: Tensor, known: Tensor, context: Tensor | None = None) -> Factorised:
        """The distribution of each value given those that are known.

        Arguments:
            x: The examples, with shape (batch, *space.shape); what is not known is not looked at.
            known: Which values are known, boolean, with shape (batch, space.features).
            context: What they are conditioned on.
        """
        return self.head(self.output(self.hidden(self.first(x, known, context))))

    def log_prob_given(self, x: Tensor, known: Tensor, context: Tensor | None = None) -> Tensor:
        """log p of each value given those that are known, in nats, (batch, space.features).

        Arguments:
            x: The examples, with shape (batch, *space.shape).
            known: Which values are known, boolean, with shape (batch, space.features).
            context: What they are conditioned on.
        """
        return self.conditionals(x, known, context).log_prob_values(x).flatten(1)

    def first(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """The first hidden layer before its activation, with shape (batch, hidden)."""
        features = self.features(x)
        features = torch.where(known[:, self.features.owner], features, torch.zeros_like(features))
        inputs = torch.cat([features, known.to(features.dtype)], dim=1)
        return self.input(self.context.join(inputs, context))

    def hidden(self, before: Tensor) -> Tensor:
        """The last hidden layer from the first before its activation."""
        hidden = self.dropout(self.activation(before))
        for layer in self.layers:
            hidden = self.dropout(self.activation(layer(hidden)))
        return hidden

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts near the product of the marginals.

        Arguments:
            x: The training examples, with shape (rows, *space.shape).
            context: Not looked at.
        """
        self.output.bias.copy_(self.head.fit(x))
        self.output.weight.mul_(0.1)

    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """What is not known drawn in one of the orders of the ensemble, drawn for each example.

        Every value is drawn from the network's conditional of it given those before; as the
        conditionals of two orders agree no better than they were learnt, that is not exactly what
        the density of the ensemble says.
        """
        noise = torch.rand(2, self.space.features, len(x), device=self.orders.device)
        members = torch.randint(len(self.orders), (len(x),), device=self.orders.device)
        return self.draw(noise, members, context, x=x, known=known)

    @torch.no_grad()
    def draw(
        self,
        uniforms: Tensor,
        members: Tensor,
        context: Tensor | None = None,
        *,
        x: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Examples as a deterministic function of noise.

        Arguments:
            uniforms: Noise from [0, 1), with shape (2, space.features, n), in the values' order.
            members: The member of the ensemble that draws each example, with shape (n,).
            context: What they are conditioned on, with n rows.
            x: Examples of which some values are known, with shape (n, *space.shape).
            known: Which, boolean, with shape (space.features,); None is none.

        Returns:
            The examples, with shape (n, *space.shape).
        """
        count, n = uniforms.shape[1:]
        device = uniforms.device
        known = torch.zeros(count, dtype=torch.bool, device=device) if known is None else known
        start = torch.zeros(n, count, device=device) if x is None else x.flatten(1)
        # a value that is not known may hold anything, such as no number
        drawn = torch.where(known, start, torch.zeros_like(start))
        for member in members.unique().tolist():
            rows = (members == member).nonzero()[:, 0]
            given = None if context is None else context[rows]
            steps = _Steps(self, drawn[rows], known.expand(len(rows), -1), given)
            for position in self.orders[member].tolist():
                if not known[position]:
                    noise = uniforms[:, position][:, rows]
                    value = self.head.kind(position).draw(steps.parameters(position), noise)
                    drawn[rows, position] = value.to(drawn.dtype)
                    steps.add(position, value)
        return drawn.reshape(n, *self.space.shape).to(self.space.dtype)

    def _log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        each = torch.stack([self._along(order, x, context) for order in self.orders.tolist()])
        return each.logsumexp(dim=0) - torch.tensor(float(len(each)), dtype=each.dtype).log()

    def _along(self, order: Sequence[int], x: Tensor, context: Tensor | None) -> Tensor:
        """log p(x) by the conditionals of one order; missing values are left out of it."""
        x = x.flatten(1)
        seen = ~missing_values(x)
        x = x.nan_to_num(nan=0.0) if x.is_floating_point() else x
        steps = _Steps(self, x, torch.zeros_like(seen), context)
        found: list[Tensor] = []
        for position in order:
            value, there = x[:, position], seen[:, position]
            log_prob = self.head.kind(position).log_prob(steps.parameters(position), value)
            found.append(torch.where(there, log_prob, torch.zeros_like(log_prob)))
            steps.add(position, value, there)
        return torch.stack(found).sum(dim=0)


class _Steps:
    """What is known so far, as the first hidden layer, and the conditionals given it.

    Arguments:
        model: The model.
        x: The examples, with shape (n, space.features).
        known: Which of their values are known at the start, with shape (n, space.features).
        context: What they are conditioned on, with n rows, or None.
    """

    def __init__(self, model: EoNADE, x: Tensor, known: Tensor, context: Tensor | None) -> None:
        self.model = model
        self.before = model.first(x.reshape(-1, *model.space.shape), known, context)
        # a row for each input, so that those of a value are read in one go
        self.inward = model.input.weight.t().contiguous()
        self.encode = model.features.by_value()

    def parameters(self, position: int) -> Tensor:
        """The parameters of the conditional of one value, with shape (size, n)."""
        rows = (self.model.head.owner == position).nonzero()[:, 0]
        output = self.model.output
        hidden = self.model.hidden(self.before)
        return torch.addmm(output.bias[rows, None], output.weight[rows], hidden.t())

    def add(self, position: int, x: Tensor, there: Tensor | None = None) -> None:
        """Makes a value known, in the rows where it is there."""
        owner = self.model.features.owner
        features = self.encode[position](x.to(self.before.dtype)).t()
        flag = self.inward[len(owner) + position]
        change = torch.addmm(flag, features, self.inward[(owner == position).nonzero()[:, 0]])
        change = change if there is None else change * there[:, None]
        self.before = self.before + change
