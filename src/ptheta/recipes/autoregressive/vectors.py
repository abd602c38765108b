"""Autoregressive models of vectors and tables: a head for each value."""

__all__ = ["eonade", "fvsbn", "made", "nade"]

from functools import partial
from typing import Literal

from ptheta.data.bridged import bridged, standardised
from ptheta.data.bridging import scaling, standardising
from ptheta.errors import PthetaError
from ptheta.models.autoregressive.eonade import EoNADE
from ptheta.models.autoregressive.made import MADE
from ptheta.models.autoregressive.nade import NADE
from ptheta.models.autoregressive.order_agnostic_made import OrderAgnosticMADE
from ptheta.models.heads import on_reals
from ptheta.networks.sizes import default_dropout, default_width
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.order_agnostic import OrderAgnosticLikelihood
from ptheta.objectives.penalty import L1Penalised
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.autoregressive.ordered import by_likelihood, in_order
from ptheta.recipes.gaps import refuse_gaps
from ptheta.recipes.settings import Count, Fraction, NonNegative, PositiveFloat
from ptheta.spaces import Categorical, Positive, Real, Space, groups
from ptheta.training.gradient import GradientLearner


def fvsbn(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    components: Count = 3,
    learning_rate: PositiveFloat = 1e-2,
    l1: NonNegative = 1e-4,
    batch_size: Count = 128,
    steps: Count = 6000,
) -> Algorithm:
    """Fully visible sigmoid belief network: each value by a logistic regression on those before.

    Values of other kinds than binary ones have the conditionals of `made`, linear in the values
    before.

    References:
        Connectionist learning of belief networks (Neal, 1992),
        https://doi.org/10.1016/0004-3702(92)90065-6
        Graphical models for machine learning and digital communication (Frey, 1998)

    Arguments:
        space: What one example is; no value may be missing.
        context_space: What the model is conditioned on, if anything.
        components: The number of components of mixtures, for real values and more than 8 levels.
        learning_rate: The step size of Adam.
        l1: The strength of the penalty on the sum of absolute weights, beside the nats of an
            example: a Laplace prior, which suits few examples and values that are seldom 1.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    refuse_gaps(space, "an order of values")
    model = MADE(
        on_reals(space), context_space, hidden_features=(), components=components, direct=False
    )
    joined = standardised(model, space)
    learner = GradientLearner(
        joined, L1Penalised(MaximumLikelihood(), l1), learning_rate=learning_rate, clip=10.0
    )
    return in_order(joined, learner, batch_size, steps)


def made(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count | None = None,
    layers: Count = 2,
    masks: Count = 1,
    components: Count | None = None,
    direct: bool | None = None,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 2e-3,
    weight_decay: NonNegative | None = None,
    batch_size: Count = 128,
    steps: Count = 6000,
) -> Algorithm:
    """MADE: every value given those before it, by one masked network.

    The conditionals suit the kind of value: a logit for binary values, a softmax for categories
    and few levels, a mixture of rounded logistics for many levels, a mixture of Gaussians for
    real values.

    References:
        MADE: Masked Autoencoder for Distribution Estimation (Germain, Gregor, Murray & Larochelle,
        2015), https://arxiv.org/abs/1502.03509

    Arguments:
        space: What one example is; no value may be missing.
        context_space: What the model is conditioned on, if anything.
        hidden_features: The width of the hidden layers; none means four units for each value, at
            least 256 and at most 512.
        layers: The number of hidden layers.
        masks: The number of masks, each of an order drawn at random, under which the weights are
            trained in turn; the density is the mean over them. One mask keeps the values' order.
        components: The number of components of mixtures, for real values and more than 8
            levels; none means 16 for up to 16 values in an example, and 3 for more.
        direct: Whether values before are joined to each conditional directly as well; none
            joins them in examples of up to 1000 values, beyond which that takes most weights.
        dropout: The share of hidden units dropped in training; none means 0 for up to 4 values
            in an example, and 0.2 for more.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate; none means 0.1 for one
            mask, and 0.001 for more, which keep each other from learning by heart.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    refuse_gaps(space, "an order of values")
    width = hidden_features or default_width(space.features, least=256)
    form = MADE if masks == 1 else partial(OrderAgnosticMADE, masks=masks)
    model = form(
        on_reals(space),
        context_space,
        hidden_features=(width,) * layers,
        components=components or (16 if space.features <= 16 else 3),
        direct=space.features <= 1000 if direct is None else direct,
        dropout=default_dropout(space.features) if dropout is None else dropout,
    )
    decay = (0.1 if masks == 1 else 0.001) if weight_decay is None else weight_decay
    return by_likelihood(standardised(model, space), learning_rate, decay, batch_size, steps)


def nade(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count = 500,
    components: Count = 5,
    positive: Literal["log-normal", "exponential"] = "log-normal",
    learning_rate: PositiveFloat = 1e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 100,
    steps: Count = 10_000,
) -> Algorithm:
    """NADE: every value given those before it, with hidden units that go along.

    Real values have mixtures of Gaussians as conditionals, which makes it RNADE; positive values
    have the same in their logarithm, or mixtures of exponentials.

    References:
        The neural autoregressive distribution estimator (Larochelle & Murray, 2011),
        https://proceedings.mlr.press/v15/larochelle11a.html
        RNADE: The real-valued neural autoregressive density-estimator (Uria, Murray & Larochelle,
        2013), https://arxiv.org/abs/1306.0186

    Arguments:
        space: What one example is; no value may be missing.
        context_space: What the model is conditioned on, if anything.
        hidden_features: The number of hidden units.
        components: The number of components of mixtures, for real values and more than 8 levels.
        positive: The conditionals of positive values: mixtures of log-normals, or of exponentials.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    refuse_gaps(space, "an order of values")
    exponential = positive == "exponential"
    if exponential and not any(isinstance(group.space, Positive) for group in groups(space)):
        raise PthetaError(
            f"exponentials are for positive values, and this is {space.describe()}; say which "
            "columns are positive (--kind NAME=positive), or leave the setting out."
        )
    model = NADE(
        space if exponential else on_reals(space),
        context_space,
        hidden_features=hidden_features,
        components=components,
    )
    joined = bridged(model, scaling(space), space) if exponential else standardised(model, space)
    return by_likelihood(joined, learning_rate, weight_decay, batch_size, steps)


def eonade(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count | None = None,
    layers: Count = 2,
    orders: Count = 4,
    components: Count | None = None,
    dropout: Fraction | None = None,
    learning_rate: PositiveFloat = 2e-3,
    weight_decay: NonNegative = 0.01,
    batch_size: Count = 128,
    steps: Count = 10_000,
) -> Algorithm:
    """EoNADE: one network for the conditionals of every order, and an ensemble of orders.

    It gives any values given any others, so it fills in what is missing, and takes examples with
    missing values. A density takes a pass for each value and order.

    References:
        A Deep and Tractable Density Estimator (Uria, Murray & Larochelle, 2014),
        https://arxiv.org/abs/1310.1757

    Arguments:
        space: What one example is; values may be missing.
        context_space: What the model is conditioned on, if anything.
        hidden_features: The width of the hidden layers; none means four units for each value, at
            least 256 and at most 512.
        layers: The number of hidden layers.
        orders: The number of orders in the ensemble; the density is the mean over them.
        components: The number of components of mixtures, for real values and more than 8
            levels; none means 16 for up to 16 values in an example, and 3 for more.
        dropout: The share of hidden units dropped in training; none means 0 for up to 4 values
            in an example, and 0.2 for more.
        learning_rate: The step size of Adam.
        weight_decay: The decay of the weights per unit of learning rate.
        batch_size: The number of examples in a batch.
        steps: The number of steps where no budget is given.
    """
    model = EoNADE(
        on_reals(space),
        context_space,
        hidden_features=(hidden_features or default_width(space.features, least=256),) * layers,
        orders=orders,
        components=components or (16 if space.features <= 16 else 3),
        dropout=default_dropout(space.features) if dropout is None else dropout,
    )
    bridge = standardising(space)
    return Algorithm(
        bridged(model, bridge, space),
        GradientLearner(
            model,
            OrderAgnosticLikelihood(),
            learning_rate=learning_rate,
            clip=10.0,
            weight_decay=weight_decay,
            bridge=bridge,
        ),
        batch_size=batch_size,
        steps=steps,
        ema=0.999,
    )
