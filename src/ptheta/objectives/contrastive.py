"""Contrastive divergence: data against chains that follow the model."""

__all__ = ["ContrastiveDivergence", "PersistentContrastiveDivergence"]

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from ptheta.broadcasting import over
from ptheta.inference.kernels import ChainState, Kernel, Target, run
from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import SupportsUnnormalizedLogProb
from ptheta.spaces import Categorical, Real

_TOO_FAR = 100.0  # times as far as data reach: chains there have run away

M = TypeVar("M", bound=SupportsUnnormalizedLogProb)
S = TypeVar("S", bound=ChainState)


class ContrastiveDivergence(nn.Module, Generic[M, S]):
    r"""Data against where chains that start at them get to in a few steps (CD-k).

    .. math:: \nabla \mathcal{L} = \nabla \left( \mathbb{E}_{x' \sim T^k(\cdot \mid x)}
        \log \tilde p_\theta(x') - \mathbb{E}_{x \sim p_\text{data}}
        \log \tilde p_\theta(x) \right)

    With more steps its gradient tends to that of maximum likelihood; with few it is biased, but
    for a model that the data follow already. The loss is no bound and need not fall. It is not a
    number where chains have run away, to a hundred times as far as data reach.

    References:
        Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002),
        https://doi.org/10.1162/089976602760128018, equation 5 without its last term

    Arguments:
        kernel: The transition.
        steps: The number of transitions, k.
    """

    step_size: Tensor

    def __init__(self, kernel: Kernel[Target[M], S], *, steps: int = 1) -> None:
        super().__init__()
        self.kernel = kernel
        self.steps = steps
        # chains start anew at every batch, and go on with the step that those before have found
        self.register_buffer("step_size", torch.tensor(kernel.step_size))

    def loss(self, model: M, batch: Batch) -> Loss:
        """The loss: by how many nats the model prefers the ends of the chains to the data."""
        target = Target(model, batch.context)
        with torch.no_grad():
            start = self.kernel.init(target, batch.x, self.step_size.clone())
            moved = run(self.kernel, target, start, self.steps)
            self.step_size.copy_(moved.step_size)
        return _contrast(model, batch, moved.x, batch.context, moved.acceptance)


class PersistentContrastiveDivergence(nn.Module, Generic[M, S]):
    r"""The gradient of maximum likelihood, with draws of the model from chains that live on.

    .. math:: \nabla \mathcal{L} = \nabla \left( \mathbb{E}_{\tilde x \sim \text{chains}}
        \log \tilde p_\theta(\tilde x) - \mathbb{E}_{x \sim p_\text{data}}
        \log \tilde p_\theta(x) \right)

    At every update some of the chains are advanced under the present model by some steps of the
    kernel. A few start afresh, so that chains of which the model has moved away do not stay for
    ever. The loss is no bound and need not fall; near the fit it is near zero, and not a number
    where chains have run away, to a hundred times as far as data reach.

    References:
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
        (Tieleman, 2008), https://doi.org/10.1145/1390156.1390290
        Implicit Generation and Modeling with Energy Based Models (Du & Mordatch, 2019),
        https://arxiv.org/abs/1903.08689, section 3, for fresh starts and the penalty

    Arguments:
        kernel: The transition.
        shape: The shape of one example.
        context_space: What examples are conditioned on; every chain then keeps a context.
        chains: The number of chains that live on.
        steps: The number of transitions at an update.
        refresh: The share of chains that start afresh at an update.
        noise: The standard deviation of Gaussian noise added to data; the model is then fitted
            to the smoothed density.
        penalty: The weight of the mean squared log-densities of data and chains, which ties down
            their free constant.
        start: Draws where chains start afresh, from their shape.
    """

    chains: Tensor
    started: Tensor
    contexts: Tensor
    step_size: Tensor

    def __init__(
        self,
        kernel: Kernel[Target[M], S],
        shape: tuple[int, ...],
        context_space: Categorical | Real | None = None,
        *,
        chains: int = 1024,
        steps: int = 10,
        refresh: float = 0.0,
        noise: float = 0.0,
        penalty: float = 0.0,
        start: Callable[[tuple[int, ...]], Tensor] = torch.randn,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.steps = steps
        self.refresh = refresh
        self.noise = noise
        self.penalty = penalty
        self.start = start
        self.register_buffer("chains", start((chains, *shape)))
        self.register_buffer("contexts", _any_contexts(context_space, chains))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("step_size", torch.tensor(kernel.step_size))

    def loss(self, model: M, batch: Batch) -> Loss:
        """The loss: by how many nats the model prefers its own draws to the data."""
        moved, contexts, acceptance = self._advance(model, batch)
        x = batch.x + self.noise * torch.randn_like(batch.x) if self.noise else batch.x
        return _contrast(
            model, Batch(x, batch.context), moved, contexts, acceptance, penalty=self.penalty
        )

    @torch.no_grad()
    def _advance(self, model: M, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor]:
        x, n = self.chains, min(len(batch.x), len(self.chains))
        chosen = torch.randperm(len(x), device=x.device)[:n]
        fresh = torch.rand(n, device=x.device) < self.refresh
        start = x[chosen]
        if self.refresh:
            start = torch.where(over(fresh, x), self.start(tuple(start.shape)).to(x), start)
        contexts = None
        if batch.context is not None:
            if not self.started:
                # until they start afresh chains keep the contexts that they have: those of data
                first = torch.randint(len(batch.context), (len(x),), device=x.device)
                self.contexts.copy_(batch.context[first])
                self.started.fill_(True)
            mask = over(fresh, self.contexts)
            given = batch.context[:n].to(self.contexts.dtype)
            contexts = torch.where(mask, given, self.contexts[chosen])
            self.contexts[chosen] = contexts
        target = Target(model, contexts)
        state = self.kernel.init(target, start, self.step_size.clone())
        state = run(self.kernel, target, state, self.steps)
        self.chains[chosen] = state.x
        self.step_size.copy_(state.step_size)
        return state.x, contexts, state.acceptance


def _contrast(
    model: SupportsUnnormalizedLogProb,
    batch: Batch,
    moved: Tensor,
    contexts: Tensor | None,
    acceptance: Tensor,
    penalty: float = 0.0,
) -> Loss:
    # one pass over both: larger products, and each weight's gradient is written once
    both = None
    if batch.context is not None and contexts is not None:
        both = torch.cat([batch.context.to(contexts.dtype), contexts])
    values = model.unnormalized_log_prob(torch.cat([batch.x, moved]), both)
    data, draws = values.split([len(batch.x), len(moved)])
    value = draws.mean() - data.mean()
    if penalty:
        value = value + penalty * (data.square().mean() + draws.square().mean())
    # where the density does not fall, chains go on for ever; training on them teaches nothing, and
    # what is no number is seen, and stops it
    reach = moved.float().abs().amax() / batch.x.float().abs().amax().clamp(min=1)
    value = torch.where(reach > _TOO_FAR, torch.nan, value)
    terms = {"data": data.mean(), "draws": draws.mean(), "acceptance": acceptance, "reach": reach}
    return Loss(value, terms)


def _any_contexts(space: Categorical | Real | None, n: int) -> Tensor:
    # chains take the contexts of data when they start afresh; these are for before
    match space:
        case None:
            return torch.zeros(0)
        case Categorical():
            return torch.randint(space.categories, (n, *space.shape))
        case Real():
            return torch.randn(n, *space.shape)
