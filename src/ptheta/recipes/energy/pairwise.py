"""Fields on a grid."""

__all__ = ["potts"]

from typing import Annotated, Literal

from ptheta.data.bridged import bridged
from ptheta.data.bridging import standardising
from ptheta.errors import PthetaError
from ptheta.inference.annealed_constant import AnnealedConstant, MachineWithGibbs
from ptheta.models.energy.pairwise import PairwiseField
from ptheta.objectives.pseudolikelihood import ConditionalPseudolikelihood
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import WHEN_USED, Count, PositiveFloat
from ptheta.spaces import Discrete, Space
from ptheta.training.gradient import GradientLearner

_MOST = 64  # levels, for each pair of which a coupling is learned


def potts(
    space: Space,
    *,
    couplings: Literal["tables", "equal"] = "tables",
    temperatures: Annotated[Count, WHEN_USED] = 200,
    sample_steps: Annotated[Count, WHEN_USED] = 200,
    learning_rate: PositiveFloat = 1e-2,
    batch_size: Count = 100,
) -> Algorithm:
    """Potts' model of images of a few levels, Ising's of two: each pixel is tied to its neighbours.

    It is fitted by pseudolikelihood, and its constant estimated by annealed importance sampling.
    `ptheta.denoise` takes noise off by it.

    References:
        Some generalized order-disorder transformations (Potts, 1952),
        https://doi.org/10.1017/S0305004100027419
        On the Statistical Analysis of Dirty Pictures (Besag, 1986),
        https://doi.org/10.1111/j.2517-6161.1986.tb01412.x

    Arguments:
        space: What one example is.
        couplings: What neighbours gain: a number for each pair of levels (tables), or one number
            where they are equal (equal).
        temperatures: The number of steps by which the constant is estimated.
        sample_steps: The number of sweeps for each draw.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.

    Raises:
        PthetaError: Examples are not images of one channel, or have too many levels.
    """
    if not (isinstance(space, Discrete) and space.layout == "image" and space.shape[0] == 1):
        raise PthetaError("a field of pixels is of images of one channel of levels.")
    if space.levels > _MOST:
        raise PthetaError(f"a coupling for each pair of levels is learned of up to {_MOST} levels.")
    field = PairwiseField(space.shape, space.levels, tables=couplings == "tables")
    constant = AnnealedConstant(temperatures=temperatures)
    return Algorithm(
        model=bridged(
            MachineWithGibbs(field, constant, steps=sample_steps), standardising(space), space
        ),
        learner=GradientLearner(field, ConditionalPseudolikelihood(), learning_rate=learning_rate),
        batch_size=batch_size,
        steps=1000,
        constraints=("parametric",),
    )
