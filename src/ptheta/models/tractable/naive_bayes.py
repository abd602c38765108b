r"""Naive Bayes: independent values in each class, and how frequent the classes are.

.. math:: p(x, c) = p(c) \prod_d p_d(x_d \mid c), \qquad
    p(c \mid x) = \frac{p(x, c)}{\sum_{c'} p(x, c')}

All of it is counted. Where Gaussians share their variances among classes, or values are binary,
:math:`\log p(c \mid x)` is linear in x up to a constant: logistic regression is the same family
of :math:`p(c \mid x)`, learnt by it alone.

References:
    On Discriminative vs. Generative Classifiers: A comparison of logistic regression and naive
    Bayes (Ng & Jordan, 2002),
    https://papers.nips.cc/paper/2020-on-discriminative-vs-generative-classifiers
"""

__all__ = ["NaiveBayes"]

import torch
from torch import Tensor

from ptheta.models.tractable.marginals import Gaussian, Marginals
from ptheta.spaces import Categorical, Space


class NaiveBayes(Marginals):
    """Independent values given the class: Gaussians for real ones, else smoothed frequencies.

    Missing values are marginalised. All arithmetic is in float64.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        classes: The classes.
        alpha: The counts that are added to each level and category, as Laplace did with 1.
        var_smoothing: What is added to each variance, in variances of the whole data.
        shared: Whether all classes have the same variances rather than their own.

    Example:
        >>> from ptheta.spaces import Discrete
        >>> model = NaiveBayes(Discrete((1,), levels=2), Categorical(categories=2))
        >>> x, c = torch.tensor([[0], [0], [1]]), torch.tensor([0, 0, 1])
        >>> model.take(model.count(x, c))
        >>> model.class_log_prob(x[:1]).exp()  # in proportion to 2/3 3/4 and 1/3 1/3
        tensor([[0.8182, 0.1818]], dtype=torch.float64)
    """

    rows: Tensor

    def __init__(
        self,
        space: Space,
        classes: Categorical,
        *,
        alpha: float = 1.0,
        var_smoothing: float = 1e-9,
        shared: bool = False,
    ) -> None:
        gaussian = Gaussian(var_smoothing, shared)
        super().__init__(space, classes, smoothing=alpha, real=gaussian)
        rows = torch.ones(classes.categories, dtype=torch.float64)
        self.register_buffer("rows", rows)

    def class_log_prob(self, x: Tensor) -> Tensor:
        """log p(class | x) in nats, with shape (batch, classes)."""
        given_class = self.head(self.parameters_of_classes()).log_prob(x.unsqueeze(1))
        return (given_class + (self.rows / self.rows.sum()).log()).log_softmax(dim=1)

    @torch.no_grad()
    def count(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """What is counted of examples, and last the number of rows; batches add up.

        Arguments:
            x: The examples, with shape (batch, *space.shape); NaN is missing.
            context: The class of each, with shape (batch,).

        Returns:
            The counts of each class, with shape (classes, counts of an example + 1), in float64.
        """
        counts = super().count(x, context)
        assert context is not None
        rows = torch.bincount(context.long(), minlength=len(counts)).to(counts)
        return torch.cat([counts, rows[:, None]], dim=1)

    @torch.no_grad()
    def take(self, counts: Tensor) -> None:
        """Takes the counts of all examples."""
        super().take(counts[:, :-1])
        self.rows.copy_(counts[:, -1])
