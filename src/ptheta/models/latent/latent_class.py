r"""A mixture of products: values are independent given one hidden class.

.. math:: p(x) = \sum_k \pi_k \prod_d p_k(x_d)
"""

__all__ = ["ClassStatistics", "LatentClass"]

from typing import NamedTuple

import torch
from torch import Tensor

from ptheta.errors import PthetaError
from ptheta.models.completion import Completing
from ptheta.models.normalised import FromFunctions, Normalised, unconditional
from ptheta.models.tractable.codes import Codes, draw_codes
from ptheta.spaces import Space

_BLOCK = 2048


class ClassStatistics(NamedTuple):
    """What expectation-maximisation needs of the data; sums over rows, so they add.

    Arguments:
        counts: The expected count of each class, with shape (K,).
        sums: Those of each class and code, codes of 0 left out, with shape (K, codes).
        log_likelihood: The summed log-likelihood in nats, a scalar.
        rows: The number of rows, a scalar.
    """

    counts: Tensor
    sums: Tensor
    log_likelihood: Tensor
    rows: Tensor


class LatentClass(Completing, Normalised):
    r"""A mixture of products of Bernoulli or categorical values, by expectation-maximisation.

    With :math:`\phi(x)` the indicators of all codes but the first of each value, the log-density
    of a class is linear in it, so that an iteration is two matrix products.

    References:
        Latent structure analysis (Lazarsfeld & Henry, 1968)
        On the use of Bernoulli mixture models for text classification (Juan & Vidal, 2002),
        https://doi.org/10.1016/S0031-3203(01)00242-4, for binary values

    Arguments:
        space: A space of levels or categories.
        components: The number of classes K.
        smoothing: The counts added to each code of each class, spread as the marginals are.

    Raises:
        PthetaError: The space has real or missing values.

    Example:
        >>> from ptheta.spaces import Binary
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randint(2, (500, 1)).expand(-1, 3)  # three values that are always alike
        >>> model = LatentClass(Binary((3,)), components=2, smoothing=0.01)
        >>> model.initialize(x)
        >>> for _ in range(20):
        ...     model.maximization(model.expectation(x))
        >>> alike, apart = model.log_prob(torch.tensor([[1, 1, 1], [1, 0, 1]])).exp()
        >>> round(alike.item(), 1), round(apart.item(), 1)
        (0.5, 0.0)
    """

    sizes: Tensor
    owner: Tensor
    starts: Tensor
    weights: Tensor
    logits: Tensor
    base: Tensor
    marginal: Tensor

    def __init__(self, space: Space, components: int, smoothing: float = 1.0) -> None:
        super().__init__()
        self.space = space
        self.codes = Codes(space)
        self.components = components
        self.smoothing = smoothing
        sizes = torch.tensor(self.codes.sizes)
        owner = torch.repeat_interleave(torch.arange(len(sizes)), sizes - 1)
        starts = (sizes - 1).cumsum(0) - (sizes - 1)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("owner", owner, persistent=False)
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("weights", torch.full((components,), 1 / components).double())
        # the log-odds of each code against code 0 of its value, and the log-mass of all codes 0
        self.register_buffer("logits", torch.zeros(components, len(owner)).double())
        self.register_buffer("base", torch.zeros(components).double())
        self.register_buffer("marginal", torch.zeros(len(owner)).double())
        self._take(torch.ones(components), self._uniform().repeat(components, 1))

    def forward(self, context: Tensor | None = None) -> FromFunctions:
        unconditional(self, context)
        return FromFunctions(self.space, self._log_prob, self._draw)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Starts with classes halfway between the marginals and a row taken by chance.

        Arguments:
            x: The training examples, with shape (rows, *space.shape).
            context: Must be None.
        """
        if len(x) < self.components:
            raise PthetaError(
                f"{self.components} classes are more than the {len(x)} training rows; ask for "
                f"fewer, such as components={max(1, len(x) // 10)}."
            )
        sums = torch.stack([self._phi(rows).double().sum(dim=0) for rows in x.split(_BLOCK)])
        uniform = self._uniform().to(x.device)
        self.marginal.copy_((sums.sum(dim=0) + uniform) / (len(x) + 1))
        chosen = x[torch.randperm(len(x), device=x.device)[: self.components]]
        centres = (self._phi(chosen).double() + self.marginal) / 2
        self._take(torch.ones_like(self.weights), centres)

    def expectation(self, x: Tensor, *, careful: bool = False) -> ClassStatistics:
        """The sums that an iteration needs.

        Arguments:
            x: The rows, with shape (n, *space.shape).
            careful: Whether to work in float64, and not in float32.
        """
        dtype = torch.float64 if careful else torch.float32
        counts, sums = torch.zeros_like(self.weights), torch.zeros_like(self.logits)
        log_likelihood = counts.new_zeros(())
        logits, constant = self.logits.to(dtype), (self.base + self.weights.log()).to(dtype)
        for rows in x.split(_BLOCK):
            phi = self._phi(rows).to(dtype)
            joint = torch.addmm(constant, phi, logits.T)
            evidence = joint.logsumexp(dim=1, keepdim=True)
            share = (joint - evidence).exp_()
            counts += share.sum(dim=0)
            sums += share.T @ phi
            log_likelihood += evidence.double().sum()
        return ClassStatistics(counts, sums, log_likelihood, counts.new_tensor(len(x)))

    def maximization(self, statistics: ClassStatistics) -> None:
        """Takes the parameters that are most likely under the sums, smoothed.

        Arguments:
            statistics: The sums, over all rows.
        """
        pull = self.smoothing * self.sizes[self.owner]
        added = statistics.sums + pull * self.marginal
        self._take(statistics.counts, added / (statistics.counts[:, None] + pull))

    def log_joint(self, x: Tensor) -> Tensor:
        """Log p(x, class) in nats, with shape (n, K)."""
        return self._phi(x).to(self.logits.dtype) @ self.logits.T + self.base + self.weights.log()

    def draw_given(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """The class drawn given what is known, and the values given the class."""
        unconditional(self, context)
        each = known[self.owner]
        phi = self._phi(x)[:, each].to(self.logits.dtype)
        # the log-mass of the codes 0 of what is known
        tables = self.tables(torch.arange(self.components, device=x.device))
        base = tables[:, known, 0].sum(dim=1)
        which = draw_codes(
            (phi @ self.logits[:, each].T + base + self.weights.log()).log_softmax(dim=1)
        )
        return self.codes.back(draw_codes(tables[which]))

    def _take(self, counts: Tensor, probabilities: Tensor) -> None:
        counts = counts.double().clamp(min=1e-10)
        values = len(self.sizes)
        rest = probabilities.new_zeros(len(probabilities), values)
        rest = 1 - rest.index_add(1, self.owner, probabilities)
        self.weights.copy_(counts / counts.sum())
        self.logits.copy_(probabilities.log() - rest.log()[:, self.owner])
        self.base.copy_(rest.log().sum(dim=1))

    def _uniform(self) -> Tensor:
        return 1 / self.sizes[self.owner].double()

    def _phi(self, x: Tensor) -> Tensor:
        codes = self.codes(x)
        if len(self.owner) == codes.shape[1] and set(self.codes.sizes) == {2}:
            return codes.float()
        phi = torch.zeros(len(codes), len(self.owner) + 1, device=codes.device)
        # codes of 0 go to a last place that is cut off
        place = torch.where(codes > 0, self.starts + codes - 1, len(self.owner))
        return phi.scatter_(1, place, 1.0)[:, :-1]

    def tables(self, which: Tensor) -> Tensor:
        """Log-probabilities of the codes of classes, with shape (n, values, codes)."""
        largest = max(self.codes.sizes)
        odds = self.logits.new_full((self.components, len(self.sizes), largest), -torch.inf)
        odds[:, :, 0] = 0.0
        code = torch.arange(len(self.owner), device=odds.device) - self.starts[self.owner] + 1
        odds[:, self.owner, code] = self.logits
        return odds.log_softmax(dim=-1)[which]

    def _log_prob(self, x: Tensor) -> Tensor:
        return self.log_joint(x).logsumexp(dim=1)

    def _draw(self, n: int) -> Tensor:
        which = torch.multinomial(self.weights, n, replacement=True)
        return self.codes.back(draw_codes(self.tables(which)))
