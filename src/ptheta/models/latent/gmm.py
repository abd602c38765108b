"""A mixture of Gaussians."""

__all__ = ["GaussianMixture", "Statistics"]

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ptheta.errors import PthetaError
from ptheta.models.completion import Completing
from ptheta.models.latent.covariances import Covariance
from ptheta.models.normalised import Normalised, unconditional
from ptheta.spaces import Real

# rows are taken in blocks whose quadratic features stay in the processor's cache
_BLOCK_VALUES = 2**19


class Statistics(NamedTuple):
    """What expectation-maximisation needs of the data; sums over rows, so they add.

    Arguments:
        counts: The summed responsibilities of each component, with shape (K,).
        first: The responsibility-weighted sums of the values, with shape (K, D).
        second: Those of the quadratic features, with shape (K, Q).
        log_likelihood: The summed log-likelihood in nats, a scalar.
        rows: The number of rows, a scalar.
    """

    counts: Tensor
    first: Tensor
    second: Tensor
    log_likelihood: Tensor
    rows: Tensor


class GaussianMixture(Completing, Normalised):
    r"""A mixture of Gaussians, learnt by expectation-maximisation.

    .. math:: p(x) = \sum_k \pi_k \, N(x; \mu_k, \Sigma_k)

    In the natural parameters the log-density of a component is linear in
    :math:`\phi(x) = (x_i x_j, x, 1)`, so that an iteration is two matrix products: one gives all
    responsibilities, the other all weighted sums. In float32 the products lose digits where a
    component is narrow against its distance from the origin, so the sums are kept in float64,
    the data are expected standardised, and the last iterations are done in float64 by whitening.

    References:
        Maximum likelihood from incomplete data via the EM algorithm (Dempster, Laird & Rubin,
        1977), https://doi.org/10.1111/j.2517-6161.1977.tb01600.x

    Arguments:
        features: The number of values D of an example.
        components: The number of components K.
        covariance: The kind of covariance.
        floor: What is added to each variance, in units of the values' own variance.
        shrinkage: The rows' worth of pull of each covariance towards that of the whole data, its
            correlations damped where rows are few.

    Example:
        >>> from ptheta.models.latent.covariances import Full
        >>> _ = torch.manual_seed(0)
        >>> x = torch.cat([torch.randn(500, 1) - 5, torch.randn(500, 1) + 5])
        >>> model = GaussianMixture(1, 2, Full())
        >>> model.initialize(x)
        >>> for _ in range(10):
        ...     model.maximization(model.expectation(x))
        >>> model.means.flatten().sort().values.round().tolist()
        [-5.0, 5.0]
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    prior: Tensor

    def __init__(
        self,
        features: int,
        components: int,
        covariance: Covariance,
        *,
        floor: float = 1e-6,
        shrinkage: float = 0.0,
    ) -> None:
        super().__init__()
        self.features = features
        self.space = Real((features,))
        self.components = components
        self.covariance = covariance
        self.floor = floor
        self.shrinkage = shrinkage
        shape = covariance.shape(components, features)
        second = len(covariance.quadratic(torch.zeros(features, 1)))
        self.register_buffer("weights", torch.full((components,), 1 / components).double())
        self.register_buffer("means", torch.zeros(components, features).double())
        self.register_buffer("covariances", torch.ones(shape).double())
        self.register_buffer("prior", torch.zeros(second).double())

    def forward(self, context: Tensor | None = None) -> Distribution:
        unconditional(self, context)
        return _Mixture(self)

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts from k-means++ centres, each row given to the nearest.

        References:
            k-means++: the advantages of careful seeding (Arthur & Vassilvitskii, 2007),
            https://dl.acm.org/doi/10.5555/1283383.1283494

        Arguments:
            x: The rows, with shape (n, D).
            context: Must be None.
        """
        from sklearn.cluster import kmeans_plusplus

        seed = int(torch.randint(2**31, ()).item())
        rows = x[:20_000].double().cpu()
        if len(rows) < self.components:
            raise PthetaError(
                f"{self.components} components are more than the {len(rows)} training rows; ask "
                f"for fewer, such as components={max(1, len(rows) // 10)}."
            )
        centres, _ = kmeans_plusplus(rows.numpy(), self.components, random_state=seed)
        nearest = torch.cdist(x.double(), torch.from_numpy(centres).to(x.device)).argmin(dim=1)
        centred = (x.double() - x.double().mean(dim=0)).T
        whole = self.covariance.quadratic(centred).mean(dim=1)
        # of fewer rows than values a covariance matrix is singular, so it gives way to the
        # variances alone, the more the fewer rows there are
        self.prior.copy_(self.covariance.damped(whole, len(x) / (len(x) + self.features)))
        given = nn.functional.one_hot(nearest, self.components).T.double()
        self.maximization(self._sums(self._phi(x.double()), given, x.new_zeros(()).double()))

    def expectation(self, x: Tensor, *, careful: bool = False) -> Statistics:
        """The sums that an iteration needs.

        Arguments:
            x: The rows, with shape (n, D).
            careful: Whether to work in float64 by whitening, and not in x's own dtype in the
                natural parameters.
        """
        x = x.double() if careful else x
        # the sums of the features include their coefficients' width: Q + D + 1 values a row
        width = self.prior.numel() + self.features + 1
        natural = None if careful else self._natural(x.dtype)
        total: Statistics | None = None
        for block in x.split(max(256, _BLOCK_VALUES // width)):
            phi = self._phi(block)
            joint = self._log_joint(block).T if natural is None else natural @ phi
            # logsumexp and softmax at once: the exponentials are half of an iteration
            top = joint.amax(dim=0)
            shares = (joint - top).exp_()
            summed = shares.sum(dim=0)
            part = self._sums(phi, shares.div_(summed), (top + summed.log()).double().sum())
            total = part if total is None else Statistics(*map(torch.add, total, part))
        assert total is not None
        return total

    def maximization(self, statistics: Statistics) -> None:
        """Takes the parameters that are most likely under the sums.

        Arguments:
            statistics: The sums, over all rows.
        """
        counts = statistics.counts.clamp(min=1e-10)
        means = statistics.first / counts[:, None]
        # the prior pulls towards the covariance of the whole data around each mean
        pull = self.shrinkage / (counts + self.shrinkage)
        centred = self.prior + self.covariance.quadratic(means.T).T
        second = torch.lerp(statistics.second / counts[:, None], centred, pull[:, None])
        self.weights.copy_(counts / counts.sum())
        self.means.copy_(means)
        self.covariances.copy_(self.covariance.estimate(counts, means, second, self.floor))

    def log_joint(self, x: Tensor) -> Tensor:
        """Log p(x, component) in nats, by whitening.

        Arguments:
            x: The rows, with shape (n, D).

        Returns:
            The joint of each row and component, with shape (n, K).
        """
        return self._log_joint(x)

    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """The component drawn given what is known, and the rest given both.

        The rest is that of a draw from the component, moved by the regression of it on how far what
        is known is from what was drawn.

        References:
            Constrained realizations of Gaussian fields: a simple algorithm (Hoffman & Ribak,
            1991), https://doi.org/10.1086/186160
        """
        unconditional(self, context)
        matrices = self._matrices()
        factor = torch.linalg.cholesky(matrices[:, known][:, :, known])
        seen = x.double()[:, known]
        off = seen.T - self.means[:, known, None]
        white = torch.linalg.solve_triangular(factor, off, upper=False)
        log_det = factor.diagonal(dim1=1, dim2=2).log().sum(dim=1, keepdim=True)
        log_joint = self.weights.log()[:, None] - 0.5 * white.square().sum(dim=1) - log_det
        which = torch.multinomial(log_joint.softmax(dim=0).T, 1)[:, 0]
        noise = torch.randn_like(self.means[which])
        drawn = self.means[which] + self.covariance.colour(self.covariances, which, noise)
        for component in which.unique().tolist():
            rows = which == component
            off = (seen[rows] - drawn[rows][:, known]).T
            moved = matrices[component][:, known] @ torch.cholesky_solve(off, factor[component])
            drawn[rows] += moved.T
        return drawn.to(x.dtype)

    def _matrices(self) -> Tensor:
        """The covariance matrices of all components, with shape (K, D, D)."""
        which = torch.arange(self.components, device=self.means.device)
        which = which.repeat_interleave(self.features)
        unit = torch.eye(self.features, dtype=self.means.dtype, device=self.means.device)
        factor = self.covariance.colour(self.covariances, which, unit.repeat(self.components, 1))
        factor = factor.unflatten(0, (self.components, self.features))
        return factor.mT @ factor

    def _log_joint(self, x: Tensor) -> Tensor:
        covariance, means = self.covariances.to(x.dtype), self.means.to(x.dtype)
        squared, log_det = self.covariance.mahalanobis(covariance, means, x)
        normaliser = self.features * math.log(2 * math.pi)
        return self.weights.to(x.dtype).log() - 0.5 * (squared + log_det + normaliser)

    def _natural(self, dtype: torch.dtype) -> Tensor:
        quadratic, linear, constant = self.covariance.natural(self.covariances, self.means)
        constant = constant + self.weights.log() - 0.5 * self.features * math.log(2 * math.pi)
        return torch.cat([quadratic, linear, constant[:, None]], dim=1).to(dtype)

    def _phi(self, x: Tensor) -> Tensor:
        values = x.T.contiguous()
        return torch.cat([self.covariance.quadratic(values), values, values.new_ones(1, len(x))])

    def _sums(self, phi: Tensor, responsibilities: Tensor, log_likelihood: Tensor) -> Statistics:
        sums = (responsibilities @ phi.T).double()
        second, first, counts = sums.split([self.prior.numel(), self.features, 1], dim=1)
        rows = sums.new_tensor(phi.shape[1])
        return Statistics(counts[:, 0], first, second, log_likelihood, rows)


class _Mixture(Distribution):
    def __init__(self, mixture: GaussianMixture) -> None:
        self.mixture = mixture
        super().__init__(torch.Size(), torch.Size([mixture.features]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        # in float64, whose cost is small beside that of a wrong digit in a narrow component
        return self.mixture.log_joint(value.double()).logsumexp(dim=1).to(value.dtype)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        mixture, shape = self.mixture, torch.Size(sample_shape)
        n = shape.numel()
        # torch draws at least one
        which = torch.multinomial(mixture.weights, max(n, 1), replacement=True)[:n]
        noise = torch.randn_like(mixture.means[which])
        x = mixture.means[which] + mixture.covariance.colour(mixture.covariances, which, noise)
        return x.float().reshape(*shape, mixture.features)
