r"""The product of marginals, counted: what any model of how values hang together must beat.

.. math:: p(x) = \prod_d p_d(x_d), \qquad p_d(k) = \frac{c_{dk} + 1/2}{n_d + K/2}

Half a count of smoothing is Jeffreys' prior, the estimator of Krichevsky and Trofimov. Real values
have a histogram on a scale on which the ends are unbounded, so that the density is positive
everywhere. The number of its bins is the one of largest evidence under the same prior.

References:
    The performance of universal encoding (Krichevsky & Trofimov, 1981),
    https://doi.org/10.1109/TIT.1981.1056331
    Optimal data-based binning for histograms (Knuth, 2006), https://arxiv.org/abs/physics/0605197,
    equation 31
"""

__all__ = ["Independent"]

from torch import Tensor

from ptheta.models.completion import Completing
from ptheta.models.tractable.marginals import Histogram, Marginals
from ptheta.spaces import Categorical, Space


class Independent(Completing, Marginals):
    """Independent values, each with its own counted marginal; missing values are marginalised.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        context_space: The categories that have marginals of their own, or None.
        bins: The number of bins at most of a histogram, a power of two.

    Example:
        >>> import torch
        >>> from ptheta.spaces import Discrete
        >>> model = Independent(Discrete((2,), levels=2))
        >>> model.counts.copy_(model.count(torch.tensor([[0, 1], [1, 1], [0, 1]]))).shape
        torch.Size([1, 4])
        >>> model.log_prob(torch.tensor([[0, 1]])).exp()  # (2.5 / 4) (3.5 / 4)
        tensor([0.5469], dtype=torch.float64)
    """

    def __init__(
        self, space: Space, context_space: Categorical | None = None, *, bins: int = 256
    ) -> None:
        if bins < 1 or bins & (bins - 1):
            raise ValueError(f"expected a power of two of bins, got {bins}")
        super().__init__(space, context_space, smoothing=0.5, real=Histogram(bins))

    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        return self.sample(len(x), context)
