"""Maximum likelihood, for exact densities, for bounds, and for classes given examples."""

__all__ = [
    "ConditionalLikelihood",
    "EstimatedLikelihood",
    "MaximumLikelihood",
    "NegativeElbo",
]

from ptheta.objectives.types import Batch, Loss
from ptheta.protocols import (
    SupportsClassify,
    SupportsElbo,
    SupportsLogProb,
    SupportsLogProbEstimate,
)


class MaximumLikelihood:
    r"""The mean negative log-likelihood, which is KL(data, model) up to the data's entropy.

    .. math:: \mathcal{L} = - \mathbb{E}_{x \sim p_\text{data}} \log p_\theta(x)
    """

    def loss(self, model: SupportsLogProb, batch: Batch) -> Loss:
        """The loss in nats per example."""
        return Loss(-model.log_prob(batch.x, batch.context).mean())


class EstimatedLikelihood:
    """Maximum likelihood by an estimate of the log-likelihood, where the exact one is dear.

    References:
        Residual Flows for Invertible Generative Modeling (Chen, Behrmann, Duvenaud & Jacobsen,
        2019), https://arxiv.org/abs/1906.02735, section 3.1
    """

    def loss(self, model: SupportsLogProbEstimate, batch: Batch) -> Loss:
        """An estimate of the loss in nats per example."""
        return Loss(-model.log_prob_estimate(batch.x, batch.context).mean())


class ConditionalLikelihood:
    r"""The mean negative log-probability of the class given the example.

    .. math:: \mathcal{L} = - \mathbb{E}_{x, c \sim p_\text{data}} \log p_\theta(c \mid x)

    References:
        On Discriminative vs. Generative Classifiers: A comparison of logistic regression and
        naive Bayes (Ng & Jordan, 2002),
        https://papers.nips.cc/paper/2020-on-discriminative-vs-generative-classifiers
    """

    def loss(self, model: SupportsClassify, batch: Batch) -> Loss:
        """The loss in nats per example.

        Raises:
            ValueError: The batch has no classes.
        """
        if batch.context is None:
            raise ValueError("expected the class of each example as context, got None")
        found = model.class_log_prob(batch.x)
        return Loss(-found.gather(1, batch.context.long()[:, None]).mean())


class NegativeElbo:
    r"""The mean negative lower bound on the log-likelihood.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2013), https://arxiv.org/abs/1312.6114
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016),
        https://arxiv.org/abs/1509.00519, equation 8, for more than one particle

    Arguments:
        particles: The number of particles of the bound.
    """

    def __init__(self, particles: int = 1) -> None:
        self.particles = particles

    def loss(self, model: SupportsElbo, batch: Batch) -> Loss:
        """The loss in nats per example."""
        return Loss(-model.elbo(batch.x, batch.context, particles=self.particles).mean())
