r"""The covariances of a Gaussian mixture: full, tied, diagonal, spherical.

Each kind says what it needs of the data (the quadratic features), how it is estimated from their
weighted sums, what its density is in the natural parameters, and what it is by whitening. The
first three make expectation-maximisation a pair of matrix products; the last is the exact form.
"""

__all__ = ["COVARIANCES", "Covariance", "Diagonal", "Full", "Spherical", "Tied"]

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Covariance(ABC):
    """One kind of covariance. Final classes: Full, Tied, Diagonal, Spherical.

    In all methods: n rows, D values, K components, Q quadratic features. Features come first and
    rows last, since sums over a short last dimension are slow.
    """

    @abstractmethod
    def shape(self, components: int, features: int) -> tuple[int, ...]:
        """The shape of the covariances' tensor."""

    @abstractmethod
    def quadratic(self, x: Tensor) -> Tensor:
        """The quadratic features of values, from (D, n) to (Q, n)."""

    @abstractmethod
    def estimate(self, counts: Tensor, means: Tensor, second: Tensor, floor: float) -> Tensor:
        """The maximum-likelihood covariances.

        Arguments:
            counts: The weight of each component, with shape (K,).
            means: The means, with shape (K, D).
            second: The weighted means of the quadratic features, with shape (K, Q).
            floor: What is added to each variance.
        """

    def damped(self, quadratic: Tensor, share: float) -> Tensor:
        """Weakens what the quadratic features (Q,) say of two different values together."""
        return quadratic

    @abstractmethod
    def natural(self, covariance: Tensor, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The natural parameters of each component's density.

        Returns:
            The coefficients of the quadratic features (K, Q), those of the values (K, D), and
            the constant (K,), without the term in pi.
        """

    @abstractmethod
    def mahalanobis(self, covariance: Tensor, means: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The squared distance of each row to each component (n, K), and log-determinants (K,)."""

    @abstractmethod
    def colour(self, covariance: Tensor, which: Tensor, noise: Tensor) -> Tensor:
        """Gives white noise (n, D) the covariance of the component that each row is of."""


class Full(Covariance):
    """A covariance matrix for each component, with shape (K, D, D)."""

    def shape(self, components: int, features: int) -> tuple[int, ...]:
        return components, features, features

    def quadratic(self, x: Tensor) -> Tensor:
        row, column = _pairs(len(x), x.device)
        return x[row].mul_(x[column])

    def damped(self, quadratic: Tensor, share: float) -> Tensor:
        features = round((math.sqrt(8 * len(quadratic) + 1) - 1) / 2)
        row, column = _pairs(features, quadratic.device)
        return torch.where(row == column, quadratic, share * quadratic)

    def estimate(self, counts: Tensor, means: Tensor, second: Tensor, floor: float) -> Tensor:
        moments = _symmetric(second, means.shape[1])
        return _add(moments - means[:, :, None] * means[:, None, :], floor)

    def natural(self, covariance: Tensor, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cholesky = torch.linalg.cholesky(covariance)
        precision = torch.cholesky_inverse(cholesky)
        linear = (precision @ means[:, :, None]).squeeze(-1)
        constant = -0.5 * (linear * means).sum(dim=1) - _half_log_det(cholesky)
        row, column = _pairs(means.shape[1], means.device)
        # a product of two different values stands once for both of its places
        weight = torch.where(row == column, -0.5, -1.0)
        return precision[:, row, column] * weight, linear, constant

    def mahalanobis(self, covariance: Tensor, means: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        cholesky = torch.linalg.cholesky(covariance)
        eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        whiten = torch.linalg.solve_triangular(cholesky, eye.expand_as(cholesky), upper=False)
        components, features = means.shape
        shift = (whiten @ means[:, :, None]).reshape(-1)
        white = x @ whiten.reshape(components * features, features).T - shift
        squared = white.square().reshape(len(x), components, features).sum(dim=2)
        return squared, 2 * _half_log_det(cholesky)

    def colour(self, covariance: Tensor, which: Tensor, noise: Tensor) -> Tensor:
        cholesky = torch.linalg.cholesky(covariance)
        return (cholesky[which] @ noise[:, :, None]).squeeze(-1)


class Tied(Covariance):
    """One covariance matrix for all components, with shape (D, D)."""

    def shape(self, components: int, features: int) -> tuple[int, ...]:
        return features, features

    def quadratic(self, x: Tensor) -> Tensor:
        return Full().quadratic(x)

    def damped(self, quadratic: Tensor, share: float) -> Tensor:
        return Full().damped(quadratic, share)

    def estimate(self, counts: Tensor, means: Tensor, second: Tensor, floor: float) -> Tensor:
        share = (counts / counts.sum()).to(means.dtype)
        moments = _symmetric((share @ second)[None], means.shape[1])[0]
        return _add(moments - (share[:, None] * means).T @ means, floor)

    def natural(self, covariance: Tensor, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return Full().natural(_each(covariance, means), means)

    def mahalanobis(self, covariance: Tensor, means: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        cholesky = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(cholesky, torch.cat([x, means]).T, upper=False).T
        squared = (white[: len(x), None] - white[None, len(x) :]).square().sum(dim=2)
        return squared, 2 * _half_log_det(cholesky).expand(len(means))

    def colour(self, covariance: Tensor, which: Tensor, noise: Tensor) -> Tensor:
        return noise @ torch.linalg.cholesky(covariance).T


class Diagonal(Covariance):
    """A variance for each value of each component, with shape (K, D)."""

    def shape(self, components: int, features: int) -> tuple[int, ...]:
        return components, features

    def quadratic(self, x: Tensor) -> Tensor:
        return x.square()

    def estimate(self, counts: Tensor, means: Tensor, second: Tensor, floor: float) -> Tensor:
        return (second - means.square()).clamp(min=0) + floor

    def natural(self, covariance: Tensor, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        linear = means / covariance
        constant = -0.5 * ((linear * means).sum(dim=1) + covariance.log().sum(dim=1))
        return -0.5 / covariance, linear, constant

    def mahalanobis(self, covariance: Tensor, means: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        squared = ((x[:, None] - means) ** 2 / covariance).sum(dim=2)
        return squared, covariance.log().sum(dim=1)

    def colour(self, covariance: Tensor, which: Tensor, noise: Tensor) -> Tensor:
        return noise * covariance.sqrt()[which]


class Spherical(Covariance):
    """One variance for each component, with shape (K,)."""

    def shape(self, components: int, features: int) -> tuple[int, ...]:
        return (components,)

    def quadratic(self, x: Tensor) -> Tensor:
        return x.square().sum(dim=0, keepdim=True)

    def estimate(self, counts: Tensor, means: Tensor, second: Tensor, floor: float) -> Tensor:
        spread = second[:, 0] - means.square().sum(dim=1)
        return (spread / means.shape[1]).clamp(min=0) + floor

    def natural(self, covariance: Tensor, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        linear = means / covariance[:, None]
        log_det = means.shape[1] * covariance.log()
        return -0.5 / covariance[:, None], linear, -0.5 * ((linear * means).sum(dim=1) + log_det)

    def mahalanobis(self, covariance: Tensor, means: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        squared = torch.cdist(x, means).square() / covariance
        return squared, means.shape[1] * covariance.log()

    def colour(self, covariance: Tensor, which: Tensor, noise: Tensor) -> Tensor:
        return noise * covariance.sqrt()[which, None]


COVARIANCES: dict[str, Covariance] = {
    "full": Full(),
    "tied": Tied(),
    "diagonal": Diagonal(),
    "spherical": Spherical(),
}


def _pairs(features: int, device: torch.device) -> tuple[Tensor, Tensor]:
    row, column = torch.triu_indices(features, features, device=device)
    return row, column


def _symmetric(upper: Tensor, features: int) -> Tensor:
    row, column = _pairs(features, upper.device)
    full = upper.new_zeros(len(upper), features, features)
    full[:, row, column] = upper
    full[:, column, row] = upper
    return full


def _each(covariance: Tensor, means: Tensor) -> Tensor:
    return covariance.expand(len(means), *covariance.shape)


def _add(covariance: Tensor, floor: float) -> Tensor:
    features = covariance.shape[-1]
    return covariance + floor * torch.eye(
        features, dtype=covariance.dtype, device=covariance.device
    )


def _half_log_det(cholesky: Tensor) -> Tensor:
    return cholesky.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
