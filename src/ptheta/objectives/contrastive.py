"""Contrastive divergence: data against chains that follow the model."""

__all__ = ["PersistentContrastiveDivergence"]

import torch
from torch import Tensor, nn

from ptheta.inference.kernels import Kernel, run
from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import SupportsUnnormalizedLogProb
from ptheta.spaces import Categorical, Real


class PersistentContrastiveDivergence(nn.Module):
    r"""The gradient of maximum likelihood, with draws of the model from chains that live on.

    .. math:: \nabla \mathcal{L} = \nabla \left( \mathbb{E}_{\tilde x \sim \text{chains}}
        \log \tilde p_\theta(\tilde x) - \mathbb{E}_{x \sim p_\text{data}}
        \log \tilde p_\theta(x) \right)

    At every update some of the chains are advanced under the present model by some steps of the
    kernel. A few start afresh from a standard normal, so that chains of which the model has
    moved away do not stay for ever. The loss is no bound and need not fall; near the fit it is
    near zero.

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
    """

    chains: Tensor
    started: Tensor
    contexts: Tensor
    step_size: Tensor

    def __init__(
        self,
        kernel: Kernel,
        shape: tuple[int, ...],
        context_space: Categorical | Real | None = None,
        *,
        chains: int = 1024,
        steps: int = 10,
        refresh: float = 0.0,
        noise: float = 0.0,
        penalty: float = 0.0,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.steps = steps
        self.refresh = refresh
        self.noise = noise
        self.penalty = penalty
        self.register_buffer("chains", torch.randn(chains, *shape))
        self.register_buffer("contexts", _any_contexts(context_space, chains))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("step_size", torch.tensor(kernel.step_size))

    def loss(self, model: SupportsUnnormalizedLogProb, batch: Batch) -> Loss:
        """The loss: by how many nats the model prefers its own draws to the data."""
        moved, contexts, acceptance = self._advance(model, batch)
        x = batch.x + self.noise * torch.randn_like(batch.x) if self.noise else batch.x
        data = model.unnormalized_log_prob(x, batch.context)
        draws = model.unnormalized_log_prob(moved, contexts)
        value = draws.mean() - data.mean()
        if self.penalty:
            value = value + self.penalty * (data.square().mean() + draws.square().mean())
        return Loss(value, {"data": data.mean(), "draws": draws.mean(), "acceptance": acceptance})

    @torch.no_grad()
    def _advance(
        self, model: SupportsUnnormalizedLogProb, batch: Batch
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        x, n = self.chains, min(len(batch.x), len(self.chains))
        chosen = torch.randperm(len(x), device=x.device)[:n]
        fresh = torch.rand(n, device=x.device) < self.refresh
        start = torch.where(_beside(fresh, x), torch.randn_like(x[chosen]), x[chosen])
        contexts = None
        if batch.context is not None:
            if not self.started:
                # until they start afresh chains keep the contexts that they have: those of data
                first = torch.randint(len(batch.context), (len(x),), device=x.device)
                self.contexts.copy_(batch.context[first])
                self.started.fill_(True)
            mask = _beside(fresh, self.contexts)
            given = batch.context[:n].to(self.contexts.dtype)
            contexts = torch.where(mask, given, self.contexts[chosen])
            self.contexts[chosen] = contexts
        state = self.kernel.init(
            lambda u: model.unnormalized_log_prob(u, contexts), start, self.step_size.clone()
        )
        state = run(
            self.kernel, lambda u: model.unnormalized_log_prob(u, contexts), state, self.steps
        )
        self.chains[chosen] = state.x
        self.step_size.copy_(state.step_size)
        return state.x, contexts, state.acceptance


def _any_contexts(space: Categorical | Real | None, n: int) -> Tensor:
    # chains take the contexts of data when they start afresh; these are for before
    match space:
        case None:
            return torch.zeros(0)
        case Categorical():
            return torch.randint(space.categories, (n, *space.shape))
        case Real():
            return torch.randn(n, *space.shape)


def _beside(mask: Tensor, x: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (x.dim() - 1))
