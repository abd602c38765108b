"""Autoregressive models: one value after the other."""

__all__ = ["made"]

from ptheta.data.bridged import BridgedDensity, bridged
from ptheta.data.bridges import standardising
from ptheta.errors import PthetaError
from ptheta.models.autoregressive.made import MADE
from ptheta.models.heads import on_reals
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import Count, Fraction, Rate
from ptheta.spaces import Categorical, Real, Space, Table
from ptheta.training.gradient import GradientLearner


def made(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    hidden_features: Count | None = None,
    layers: Count = 2,
    components: Count = 10,
    direct: bool = True,
    one_hot_levels: int = 0,
    dropout: Fraction | None = None,
    learning_rate: Rate = 1e-3,
    weight_decay: float = 1e-4,
    batch_size: Count = 100,
    ema: Fraction = 0.99,
) -> Algorithm:
    if isinstance(space, Table) and space.missing:
        names = [f"'{column.name}'" for column in space.columns if column.missing]
        raise PthetaError(
            "an autoregressive order has no place for missing values (columns "
            f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}). Recipes that serve "
            "them: independent, vae. Or drop those rows or columns."
        )
    width = hidden_features or 512
    model = MADE(
        on_reals(space),
        context_space,
        hidden_features=(width,) * layers,
        components=components,
        direct=direct,
        one_hot_levels=one_hot_levels,
        dropout=dropout or 0.0,
    )
    joined = bridged(model, standardising(space), space)
    assert isinstance(joined, BridgedDensity)
    return Algorithm(
        model=joined,
        learner=GradientLearner(
            joined,
            MaximumLikelihood(),
            learning_rate=learning_rate,
            weight_decay=weight_decay,
        ),
        batch_size=batch_size,
        steps=5000,
        constraints=("ordered",),
        ema=ema,
    )
