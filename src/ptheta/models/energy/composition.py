r"""Energies put together: densities multiplied, mixed or divided by are densities again.

.. math:: \log \tilde p(x) = \sum_i w_i \log \tilde p_i(x), \qquad
    \log \tilde p(x) = \log \sum_i w_i \, \tilde p_i(x)

References:
    Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002),
    https://doi.org/10.1162/089976602760128018
    Compositional Visual Generation with Energy Based Models (Du, Li & Mordatch, 2020),
    https://arxiv.org/abs/2004.06030, equations 5, 9 and 10

Fitted models are composed as they are, in the units of the data: what is inside of each has a scale
of its own.
"""

__all__ = ["Given", "Mixture", "Product"]

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ptheta.models.gradient import score_of
from ptheta.protocols import SupportsUnnormalizedLogProb


class _Composition(nn.Module, ABC):
    """Densities and a weight for each. Required: the density that they make."""

    weights: Tensor

    def __init__(
        self,
        models: Sequence[SupportsUnnormalizedLogProb],
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not models:
            raise ValueError("expected a density at least, got none")
        given = [1.0] * len(models) if weights is None else list(weights)
        if len(given) != len(models):
            raise ValueError(
                f"expected a weight for each of {len(models)} densities, got {len(given)}"
            )
        for model in models:
            if not (isinstance(model, nn.Module) and hasattr(model, "unnormalized_log_prob")):
                raise ValueError(
                    f"expected modules with `unnormalized_log_prob`, got {type(model).__name__}"
                )
        if not all(math.isfinite(weight) for weight in given):
            raise ValueError(f"weights must be finite, got {given}")
        self.models = nn.ModuleList(models)  # pyright: ignore[reportArgumentType]
        self.register_buffer("weights", torch.tensor(given, dtype=torch.float32))

    @abstractmethod
    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The gradient of the negative energy by x, shaped as x."""
        return score_of(lambda x: self.unnormalized_log_prob(x, context), x)

    def _each(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Their log-densities, with shape (models, batch)."""
        parts: list[Tensor] = []
        for model, weight in zip(self.models, self.weights.tolist(), strict=True):
            assert isinstance(model, SupportsUnnormalizedLogProb)
            # what has no weight does not count, even where it finds x impossible
            parts.append(
                model.unnormalized_log_prob(x, context)
                if weight
                else torch.zeros(len(x), device=x.device)
            )
        return torch.stack(parts)


class Product(_Composition):
    """What all of several densities find likely, and those of negative weight do not.

    It is the conjunction of attributes, and with a weight below zero the absence of one. A product
    with negative weights need not have a finite integral, and chains can then run away.

    Arguments:
        models: The densities, known up to constants.
        weights: The power to which each is raised; None means 1 for all.

    Raises:
        ValueError: There is no density, or not a finite weight for each, or what is given is no
            density.

    Example:
        >>> from ptheta.recipes.registry import build
        >>> from ptheta.spaces import Real
        >>> energies = [build("ebm", Real((2,))).model for _ in range(2)]
        >>> Product(energies).unnormalized_log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        each = self._each(x, context)
        return self.weights.to(each.dtype) @ each


class Mixture(_Composition):
    """What any of several densities finds likely: the disjunction of attributes.

    The constants of the densities are unknown, so that a weight is not the share of the draws that
    are of one.

    Arguments:
        models: The densities, known up to constants.
        weights: The weight of each, above 0; None means 1 for all.

    Raises:
        ValueError: There is no density, not a finite weight for each, or one that is not above 0,
            or what is given is no density.
    """

    def __init__(
        self,
        models: Sequence[SupportsUnnormalizedLogProb],
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(models, weights)
        if not bool((self.weights > 0).all()):
            raise ValueError(f"weights of a mixture must be above 0, got {self.weights.tolist()}")

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        each = self._each(x, context)
        return (each + self.weights.log().to(each.dtype).unsqueeze(1)).logsumexp(dim=0)


class Given(nn.Module):
    r"""A conditional density at one context, to be composed with others.

    Of attributes a and b that are independent given x and in the data,
    :math:`p(x \mid a, b) \propto p(x \mid a) \, p(x \mid b) / p(x)`: a product of two that were
    learned apart, with the density of all data at the weight -1.

    Arguments:
        model: The density, known up to a constant.
        context: What it is conditioned on, with the shape of one context.

    Example:
        >>> from ptheta.recipes.registry import build
        >>> from ptheta.spaces import Categorical, Real
        >>> energy = build("ebm", Real((2,)), Categorical(categories=3)).model
        >>> Given(energy, torch.tensor(1)).unnormalized_log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    context: Tensor

    def __init__(self, model: SupportsUnnormalizedLogProb, context: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("context", context)

    def unnormalized_log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The negative energy, with shape (batch,)."""
        return self.model.unnormalized_log_prob(x, self.context.expand(len(x), *self.context.shape))

    def score(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The gradient of the negative energy by x, shaped as x."""
        return score_of(self.unnormalized_log_prob, x)
