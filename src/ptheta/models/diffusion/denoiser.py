"""A denoiser on the reals, at every time of a path."""

__all__ = ["Denoiser", "SpreadDenoiser"]

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ptheta.broadcasting import over
from ptheta.models.diffusion.levels import LevelFeatures
from ptheta.networks.context import ContextFeatures
from ptheta.noising import Path, Predict, Prediction
from ptheta.spaces import Categorical, Real


class Denoiser(nn.Module):
    r"""What data of unit variance and their noise are expected to be, given the two mixed.

    The network F learns by how much the prediction departs from that of a standard normal,

    .. math:: \hat x = c^2 \alpha x_t + c \sigma F(c x_t, t), \quad
        \hat \epsilon = c^2 \sigma x_t - c \alpha F(c x_t, t), \quad
        c = (\alpha^2 + \sigma^2)^{-1/2} ,

    so that its input and what it has to learn are of unit size at every time; where the variance is
    preserved, :math:`-F` is v. Of the time it is told :math:`\log (\sigma / \alpha)`, brought to
    [0, 1] between the ends of the path.

    Where the context is hidden from some examples in training, one network learns the data of
    every context and those of all; it may then be asked without a context.

    References:
        Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019),
        https://arxiv.org/abs/1907.05600
        Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
        https://arxiv.org/abs/2206.00364, table 1, for the scaling
        Classifier-Free Diffusion Guidance (Ho & Salimans, 2022),
        https://arxiv.org/abs/2207.12598, algorithm 1, for what is hidden

    Arguments:
        path: The path from data to noise.
        network: Makes F from the number of features of its condition: a module from examples and
            their condition, with shape (batch, features), to tensors shaped as the examples.
        context_space: What examples are conditioned on.
        hidden_contexts: The share of examples whose context is hidden in training.

    Example:
        >>> from ptheta.models.diffusion.paths import VarianceExploding
        >>> from ptheta.networks.residual import ResidualMLP
        >>> model = Denoiser(
        ...     VarianceExploding(), lambda told: ResidualMLP(2, 2, 8, condition_features=told)
        ... )
        >>> model.score(torch.zeros(5, 2), t=0.5).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        path: Path,
        network: Callable[[int], nn.Module],
        context_space: Categorical | Real | None = None,
        *,
        hidden_contexts: float = 0.0,
    ) -> None:
        super().__init__()
        self.path = path
        self.level = LevelFeatures(path)
        self.context = ContextFeatures(context_space)
        self.hidden_contexts = hidden_contexts if self.context.features else 0.0
        # where contexts may be hidden, a feature says whether one is seen
        told = self.context.features + (1 if self.hidden_contexts else 0)
        self.network = network(self.level.features + told)

    def predict(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float) -> Prediction:
        """What the data and the noise of noised examples are expected to be.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            context: What they are conditioned on; it may be left out where it is hidden from some
                examples in training.
            t: The time of each, with shape (batch,), or of all.
        """
        # one time of all is looked at once
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).reshape(-1)
        level, *weights = self._at(t)
        condition = self._condition(level, context, len(x))
        return self._mixed(x, condition, *(over(weight, x) for weight in weights))

    def predict_at(self, times: Tensor, context: Tensor | None = None) -> Predict:
        """The same predictions, with what depends on the times alone made at once.

        Beside a small network that is half of the work of a prediction.

        Arguments:
            times: The times, with shape (n,); other times may be asked for as well.
            context: What the examples are conditioned on, a row for each.
        """
        level, *weights = self._at(times)
        columns = level.split(1), *(weight.tolist() for weight in weights)
        known = dict(zip(times.tolist(), zip(*columns, strict=True), strict=True))

        def predict(x: Tensor, t: Tensor) -> Prediction:
            row = known.get(t.item())
            if row is None:
                return self.predict(x, context, t=t)
            return self._mixed(x, self._condition(row[0], context, len(x)), *row[1:])

        return predict

    def score(
        self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float | None = None
    ) -> Tensor:
        """The score of the data noised to t.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            context: What they are conditioned on.
            t: The time of each, with shape (batch,), or of all; None means the least level.

        Returns:
            The gradient of log p_t by x, shaped as x.
        """
        if t is None:
            t = self.path.times()[0]
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).reshape(-1)
        return -self.predict(x, context, t=t).noise / over(self.path.sigma(t), x)

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the network is told of times, and what stands before x and F at them."""
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        scale = (alpha.square() + sigma.square()).rsqrt()
        return self.level(alpha, sigma), scale, alpha * scale, sigma * scale

    def _mixed(
        self,
        x: Tensor,
        condition: Tensor,
        scale: Tensor | float,
        of_data: Tensor | float,
        of_noise: Tensor | float,
    ) -> Prediction:
        x = scale * x
        departure, spread = self._of_network(x, condition)
        return Prediction(
            data=of_data * x + of_noise * departure,
            noise=of_noise * x - of_data * departure,
            spread=spread,
        )

    def _of_network(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor | None]:
        """F, and where variances lie, if the network says."""
        return self.network(x, condition), None

    def _condition(self, level: Tensor, context: Tensor | None, rows: int) -> Tensor:
        """What the network is told, for each row or for all alike."""
        if not self.context.features:
            return self.context.join(level, context)
        level = level.expand(rows, -1)
        if not self.hidden_contexts:
            return self.context.join(level, context)
        seen = level.new_ones(rows, 1)
        if context is None:
            hidden = level.new_zeros(rows, self.context.features + 1)
            return torch.cat([level, hidden], dim=1)
        if self.training:
            seen = torch.bernoulli(seen, 1 - self.hidden_contexts)
        features = self.context(context, rows)
        assert features is not None
        return torch.cat([level, seen * features, seen], dim=1)


class SpreadDenoiser(Denoiser):
    r"""A denoiser that also says how wide steps back are.

    Its network has twice the outputs, of which the second half says where, in the logarithm, the
    variance of each value lies between that of a step back given the data and that of data of unit
    variance:

    .. math:: \log \sigma^2 = (1 - u) \log \sigma^2_\text{least} + u \log \sigma^2_\text{most} .

    It starts at the least.

    References:
        Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
        https://arxiv.org/abs/2102.09672, equation 15, with a sigmoid that keeps u within [0, 1]

    Arguments:
        path: The path from data to noise.
        network: Makes the network from the number of features of its condition: a module from
            examples and their condition to twice as many channels, or features.
        context_space: What examples are conditioned on.
        hidden_contexts: The share of examples whose context is hidden in training.
    """

    def _of_network(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor | None]:
        departure, spread = self.network(x, condition).chunk(2, dim=1)
        return departure, torch.sigmoid(spread - _START)


_START = 3.0  # networks start at zero, and variances near the least, where draws are sharp
