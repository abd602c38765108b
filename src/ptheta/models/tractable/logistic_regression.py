r"""Logistic regression: the log-probability of each class is linear in x up to a constant.

.. math:: p(c \mid x) = \frac{\exp(w_c \cdot x + b_c)}{\sum_{c'} \exp(w_{c'} \cdot x + b_{c'})}

Of two classes only the difference of weights counts, so that the first has none.
"""

__all__ = ["LogisticRegression"]

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.errors import PthetaError
from ptheta.networks.features import Features
from ptheta.spaces import Categorical, Space


class LogisticRegression(nn.Module):
    """A model of the class given an example, and of nothing else: x itself has no density.

    Levels are scaled to [-1, 1], and categories are one-hot.

    Arguments:
        space: The space of the examples; real values are expected to be standardised.
        classes: The classes.

    Example:
        >>> from ptheta.spaces import Real
        >>> model = LogisticRegression(Real((2,)), Categorical(categories=3))
        >>> model.class_log_prob(torch.zeros(1, 2)).exp()
        tensor([[0.3333, 0.3333, 0.3333]], dtype=torch.float64, grad_fn=<ExpBackward0>)
    """

    def __init__(self, space: Space, classes: Categorical) -> None:
        super().__init__()
        self.classes = classes
        # an optimum is known to the digits that its gradient has
        self.features = Features(space, dtype=torch.float64)
        outputs = classes.categories if classes.categories > 2 else 1
        weight = torch.zeros(outputs, self.features.features, dtype=torch.float64)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs, dtype=torch.float64))

    def class_log_prob(self, x: Tensor) -> Tensor:
        """log p(class | x) in nats, with shape (batch, classes)."""
        logits = F.linear(self.features(x).to(self.weight.dtype), self.weight, self.bias)
        if self.classes.categories == 2:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits.log_softmax(dim=1)

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Makes sure that there is something to tell apart.

        Arguments:
            x: The examples.
            context: The class of each, with shape (rows,).

        Raises:
            PthetaError: All are of one class, so that no weights are the best.
        """
        if context is not None and len(context) and bool((context == context[0]).all()):
            name = self.classes.names[int(context[0])]
            raise PthetaError(
                f"every training row is of class '{name}', so there is nothing to tell apart. "
                "Give rows of other classes too."
            )
