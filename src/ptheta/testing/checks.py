"""The checks that every recipe passes, chosen by what its model can do."""

__all__ = ["Check", "checks"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ptheta.protocols import (
    SupportsBeamSearch,
    SupportsClassify,
    SupportsComplete,
    SupportsElbo,
    SupportsEncode,
    SupportsExtend,
    SupportsLogProb,
    SupportsSample,
    SupportsScore,
    SupportsUnnormalizedLogProb,
    density_kind,
)
from ptheta.recipes.algorithm import Algorithm
from ptheta.spaces import Categorical, Real, Space
from ptheta.testing.codes import (
    classes_of_batch,
    classifies,
    comes_back,
    encodes,
    follows_bayes,
)
from ptheta.testing.densities import (
    batch_is_loop,
    bound_rises,
    bound_sums,
    draws_have_density,
    goodness_of_fit,
    has_support,
    normalised,
    score_is_gradient,
)
from ptheta.testing.drawing import completes, draws, extends, finds, same_seed
from ptheta.testing.examples import states
from ptheta.testing.fitted import Make, fitted, stirred
from ptheta.testing.learning import learns, round_trip, standardises


@dataclass(frozen=True)
class Check:
    """One property.

    Arguments:
        name: What is checked.
        run: Checks it; raises AssertionError where it does not hold.
    """

    name: str
    run: Callable[[], None]


def checks(
    make: Callable[[], Algorithm],
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    steps: int = 10,
) -> Iterator[Check]:
    """The checks that apply to a recipe on a space.

    Statistical checks use a fixed seed and a bound of five standard errors, which a correct
    model crosses once in two million times.

    Arguments:
        make: Makes the algorithm; called anew for each check.
        space: The space.
        context_space: What it is conditioned on, if anything.
        steps: The number of updates before a model is checked.
    """
    made: Make = partial(fitted, make, space, context_space, steps)
    found = made()
    model = found.model
    yield Check("every update is finite and reaches every parameter", partial(learns, made))
    yield Check("state goes out and comes back", partial(round_trip, made))
    if isinstance(context_space, Real):
        yield Check("networks see the context standardised", partial(standardises, made))
    if "invertible" in found.algorithm.constraints:
        # a flow of few updates is near the identity, where much that is wrong passes
        made = partial(stirred, made)
        yield Check("a decoded latent is the row", partial(comes_back, made, space))
    if isinstance(model, SupportsSample):
        yield Check("draws lie in the space", partial(draws, made, space))
        yield Check("the same seed gives the same draws", partial(same_seed, made))
    if isinstance(model, SupportsLogProb):
        yield Check("a batch is a loop over rows", partial(batch_is_loop, made, "log_prob"))
        yield Check("draws have a density", partial(draws_have_density, made))
        if has_support(space):
            yield Check("probabilities sum to one", partial(normalised, made, space))
            yield Check("draws follow the density", partial(goodness_of_fit, made, space))
    if isinstance(model, SupportsElbo):
        if states(space) is not None:
            yield Check("the bound lies under the evidence", partial(bound_sums, made, space))
        yield Check("the bound rises with particles", partial(bound_rises, made))
    if isinstance(model, SupportsUnnormalizedLogProb):
        verb = "unnormalized_log_prob"
        yield Check("a batch is a loop over rows", partial(batch_is_loop, made, verb))
    if isinstance(model, SupportsScore) and space.continuous and density_kind(model) != "none":
        yield Check("the score is the gradient", partial(score_is_gradient, made))
    if isinstance(model, SupportsEncode):
        yield Check("a latent for each row", partial(encodes, made))
    if isinstance(model, SupportsComplete):
        yield Check("what is known is kept", partial(completes, made, space))
    if isinstance(model, SupportsClassify):
        yield Check("the classes of a row have probabilities", partial(classifies, made))
        yield Check("a batch is a loop over rows", partial(classes_of_batch, made))
    if isinstance(model, SupportsClassify) and isinstance(model, SupportsLogProb):
        yield Check("classes follow the rule of Bayes", partial(follows_bayes, made))
    if isinstance(model, SupportsExtend):
        yield Check("a beginning is kept", partial(extends, made, space))
    if isinstance(model, SupportsBeamSearch):
        yield Check("what is found is the same alone and in a batch", partial(finds, made, space))
