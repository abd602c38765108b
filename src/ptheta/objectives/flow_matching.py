"""Flow matching: the velocity that carries noise to data, learned by regression."""

__all__ = ["FlowMatching"]

import torch
from torch import Tensor

from ptheta.broadcasting import over
from ptheta.inference.predictions import rates, to_velocity
from ptheta.noising import SupportsPredict
from ptheta.objectives.types import Batch, Loss


class FlowMatching:
    r"""The squared error of the velocity along the way of each example to its noise.

    .. math:: \mathcal{L} = \mathbb{E}_{t \sim U(0, 1)} \mathbb{E} \left\| u_\theta(x_t, t)
        - \alpha'(t) x - \sigma'(t) \epsilon \right\|^2

    Its gradient is that of the error of the mean velocity, which carries the density of noise to
    that of the data. With `optimal_transport` the examples of a batch are paired with its noise so
    that the squared distances are least; ways then cross less, and fewer steps follow them. The
    pairs do not look at what examples are conditioned on, which then must be nothing.

    References:
        Flow Matching for Generative Modeling (Lipman, Chen, Ben-Hamu, Nickel & Le, 2023),
        https://arxiv.org/abs/2210.02747, equations 9 and 14
        Improving and generalizing flow-based generative models with minibatch optimal transport
        (Tong et al., 2024), https://arxiv.org/abs/2302.00482, section 3.2

    Arguments:
        optimal_transport: Whether examples and noise are paired.
    """

    def __init__(self, *, optimal_transport: bool = False) -> None:
        self.optimal_transport = optimal_transport

    def loss(self, model: SupportsPredict, batch: Batch) -> Loss:
        """The loss: a squared error of velocities, summed over the example."""
        x = batch.x
        eps = torch.randn_like(x)
        if self.optimal_transport:
            eps = paired(x, eps)
        spread = torch.arange(len(x), device=x.device) + torch.rand(len(x), device=x.device)
        least = model.path.times()[0].item()
        t = least + (1 - least) * (spread / len(x)).to(x.dtype)
        at = rates(model.path, over(t, x))
        found = model.predict(at.alpha * x + at.sigma * eps, batch.context, t=t)
        errors = to_velocity(found, at) - at.alpha_rate * x - at.sigma_rate * eps
        return Loss(errors.square().flatten(1).sum(dim=1).mean())


def paired(x: Tensor, eps: Tensor) -> Tensor:
    """The rows of eps in the order in which their squared distances to those of x are least."""
    from scipy.optimize import linear_sum_assignment

    costs = torch.cdist(x.flatten(1), eps.flatten(1)).square()
    _, order = linear_sum_assignment(costs.cpu().numpy())
    return eps[torch.from_numpy(order).to(eps.device)]
