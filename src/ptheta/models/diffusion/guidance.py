r"""Denoisers that lean towards what they are conditioned on, more than the data do.

With a weight w, draws follow about :math:`p(x) \, p(c \mid x)^{1 + w}` at every level of noise: the
larger the weight, the more typical they are of the context c, and the less varied. With w = 0 that
is the conditional law itself.

References:
    Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
    https://arxiv.org/abs/2105.05233, section 4
    Classifier-Free Diffusion Guidance (Ho & Salimans, 2022), https://arxiv.org/abs/2207.12598
"""

__all__ = ["ClassifierFree", "ClassifierGuided"]

import torch
from torch import Tensor, nn

from ptheta.broadcasting import over
from ptheta.networks.context import check_context
from ptheta.noising import Path, Prediction, SupportsNoisedClassify, SupportsPredict
from ptheta.spaces import Categorical


class ClassifierFree(nn.Module):
    r"""A denoiser set against itself without its context.

    .. math:: \tilde \epsilon = (1 + w) \, \hat \epsilon(x_t, c) - w \, \hat \epsilon(x_t)

    References:
        Classifier-Free Diffusion Guidance (Ho & Salimans, 2022),
        https://arxiv.org/abs/2207.12598, equation 6

    Arguments:
        model: A denoiser, a module, that may be asked without a context.
        weight: The weight w.
    """

    def __init__(self, model: SupportsPredict, weight: float) -> None:
        super().__init__()
        self.model = model
        self.weight = weight

    @property
    def path(self) -> Path:
        """The path along which the data are noised."""
        return self.model.path

    @property
    def unguided(self) -> SupportsPredict:
        """The denoiser without guidance, which is what data are like."""
        return self.model

    def predict(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float) -> Prediction:
        """What is expected given the context, moved away from what is expected without.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            context: What they are conditioned on; without it there is no guidance.
            t: The time of each, with shape (batch,), or of all.
        """
        given = self.model.predict(x, context, t=t)
        if context is None or not self.weight:
            return given
        free = self.model.predict(x, t=t)
        return Prediction(
            given.data + self.weight * (given.data - free.data),
            given.noise + self.weight * (given.noise - free.noise),
            given.spread,
        )


class ClassifierGuided(nn.Module):
    r"""A denoiser told the classes by a classifier of noised examples.

    .. math:: \tilde \epsilon = \hat \epsilon(x_t)
        - (1 + w) \, \sigma \nabla \log p(c \mid x_t)

    References:
        Diffusion Models Beat GANs on Image Synthesis (Dhariwal & Nichol, 2021),
        https://arxiv.org/abs/2105.05233, algorithm 2

    Arguments:
        model: A denoiser without a context, a module.
        classifier: A classifier, a module, along the same path.
        weight: The weight w.
    """

    def __init__(
        self, model: SupportsPredict, classifier: SupportsNoisedClassify, weight: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self.classifier = classifier
        self.weight = weight

    @property
    def path(self) -> Path:
        """The path along which the data are noised."""
        return self.model.path

    @property
    def unguided(self) -> SupportsPredict:
        """The denoiser told the classes, and no more than told, which is what data are like."""
        return ClassifierGuided(self.model, self.classifier)

    def predict(self, x: Tensor, context: Tensor | None = None, *, t: Tensor | float) -> Prediction:
        """What is expected without the classes, moved to where they are likelier.

        Arguments:
            x: Noised examples, with shape (batch, *shape).
            context: Their classes, with shape (batch,) or (batch, 1); without them there is no
                guidance.
            t: The time of each, with shape (batch,), or of all.
        """
        free = self.model.predict(x, t=t)
        if context is None:
            return free
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        alpha, sigma = over(self.path.alpha(t), x), over(self.path.sigma(t), x)
        followed = torch.is_grad_enabled()
        with torch.enable_grad():
            at = x if x.requires_grad else x.detach().requires_grad_()
            found = self.classifier.class_log_prob(at, t=t)
            classes = Categorical(categories=found.shape[1])
            check_context(classes, context, len(x), codes=context.device.type == "cpu")
            likelihood = found.gather(1, context.long().reshape(-1, 1)).sum()
            (slope,) = torch.autograd.grad(likelihood, at, create_graph=followed)
        moved = (1 + self.weight) * sigma * slope
        # the data move the other way, by as much as keeps the two mixed to x
        return free._replace(data=free.data + moved * sigma / alpha, noise=free.noise - moved)
