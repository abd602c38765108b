"""A denoiser and a classifier of noised examples, learned side by side."""

__all__ = ["DenoisingAndClassifying", "SupportsDenoiseAndClassify"]

from typing import Protocol, runtime_checkable

from ptheta.noising import SupportsNoisedClassify, SupportsNoisedScore
from ptheta.objectives.score_matching import MultiLevelDenoisingScoreMatching, at_every_level
from ptheta.objectives.types import Batch, Loss


@runtime_checkable
class SupportsDenoiseAndClassify(Protocol):
    """A denoiser with a classifier along the same path."""

    @property
    def model(self) -> SupportsNoisedScore:
        """The denoiser, which is not told the classes."""
        ...

    @property
    def classifier(self) -> SupportsNoisedClassify:
        """The classifier."""
        ...


class DenoisingAndClassifying:
    r"""Denoising score matching of all examples, and the likelihood of their noised classes.

    .. math:: \mathcal{L} = \mathcal{L}_\text{denoising} - \mathbb{E}_t \mathbb{E} \log
        p_\phi(c \mid \alpha(t) x + \sigma(t) \epsilon)

    The two share no weights, so that neither changes what the other learns.

    References:
        Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
        https://arxiv.org/abs/2105.05233, section 4.1
    """

    def __init__(self) -> None:
        self.denoising = MultiLevelDenoisingScoreMatching()

    def loss(self, model: SupportsDenoiseAndClassify, batch: Batch) -> Loss:
        """The loss: that of the scores and the nats of a class, as terms.

        Raises:
            ValueError: The batch has no classes.
        """
        if batch.context is None:
            raise ValueError("a classifier learns from classes, and the batch has none")
        denoising = self.denoising.loss(model.model, Batch(batch.x)).value
        noised, _, t = at_every_level(model.classifier.path, batch.x)
        found = model.classifier.class_log_prob(noised, t=t)
        classes = -found.gather(1, batch.context.long().reshape(-1, 1)).mean()
        return Loss(denoising + classes, {"denoising": denoising.detach(), "classes": classes})
