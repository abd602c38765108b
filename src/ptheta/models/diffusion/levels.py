"""What a network is told of the level of noise."""

__all__ = ["LevelFeatures"]

from torch import Tensor, nn

from ptheta.models.diffusion.paths import log_noise, log_ratio
from ptheta.networks.time import TimeFeatures
from ptheta.noising import Path


class LevelFeatures(nn.Module):
    r"""Features of :math:`\log (\sigma / \alpha)`, brought to [0, 1] between the ends of a path.

    Arguments:
        path: The path from data to noise.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        ends = path.times()[[0, -1]].double()
        self.least, self.most = log_noise(path, ends).tolist()
        self.time = TimeFeatures()
        self.features = self.time.features

    def forward(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The features of a level, with shape (batch, features).

        Arguments:
            alpha: The scale of the data, with shape (batch,).
            sigma: The scale of the noise, with shape (batch,).
        """
        level = (log_ratio(alpha, sigma) - self.least) / (self.most - self.least)
        return self.time(level.clamp(0, 1))
