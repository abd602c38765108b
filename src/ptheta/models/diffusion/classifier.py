"""A classifier of noised examples."""

__all__ = ["NoisedClassifier"]

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ptheta.broadcasting import over
from ptheta.models.diffusion.levels import LevelFeatures
from ptheta.noising import Path


class NoisedClassifier(nn.Module):
    """A network that tells the classes of examples at every level of noise.

    References:
        Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
        https://arxiv.org/abs/2105.05233, section 4.1

    Arguments:
        path: The path from data to noise.
        network: Makes the network from the number of features of its condition: a module from
            examples and their condition, with shape (batch, features), to logits, with shape
            (batch, classes).

    Example:
        >>> from ptheta.models.diffusion.paths import Cosine
        >>> from ptheta.networks.residual import ResidualMLP
        >>> model = NoisedClassifier(
        ...     Cosine(), lambda told: ResidualMLP(2, 3, 8, condition_features=told)
        ... )
        >>> model.class_log_prob(torch.zeros(5, 2), t=0.5).shape
        torch.Size([5, 3])
    """

    def __init__(self, path: Path, network: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.path = path
        self.level = LevelFeatures(path)
        self.network = network(self.level.features)

    def class_log_prob(self, x: Tensor, *, t: Tensor | float) -> Tensor:
        """log p(class | x_t) in nats, with shape (batch, classes).

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            t: The time of each, with shape (batch,), or of all.
        """
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).reshape(-1)
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        scale = over((alpha.square() + sigma.square()).rsqrt(), x)
        return self.network(scale * x, self.level(alpha, sigma)).log_softmax(dim=1)
