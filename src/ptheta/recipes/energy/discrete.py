"""Neural energies of codes."""

__all__ = ["discrete_ebm"]

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from torch import nn

from ptheta.data.bridged import bridged
from ptheta.data.bridging import standardising
from ptheta.errors import PthetaError
from ptheta.inference.adapters import WithGibbs
from ptheta.inference.annealed_constant import AnnealedConstant, MachineWithGibbs
from ptheta.inference.discrete_langevin import DiscreteLangevin
from ptheta.inference.gibbs_with_gradients import GibbsWithGradients
from ptheta.inference.kernels import Kernel
from ptheta.inference.value_gibbs import ValueGibbs
from ptheta.models.energy.discrete import DiscreteEnergy
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits
from ptheta.networks.context import ContextFeatures
from ptheta.networks.mlp import MLP
from ptheta.networks.sizes import default_width
from ptheta.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from ptheta.objectives.neighbours import Pseudolikelihood, RatioMatching
from ptheta.objectives.types import Objective
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import WHEN_USED, Count, Fraction, OnlyWith, PositiveFloat
from ptheta.spaces import Categorical, Discrete, Real, Space
from ptheta.training.gradient import GradientLearner

_MOST = 64  # codes, each of which is a feature
_UPDATES = 4  # of values in a transition
_KERNELS: Mapping[str, Callable[[int], Kernel[Any, Any]]] = {
    "langevin": lambda codes: DiscreteLangevin(0.2, target=0.574),
    "gibbs-with-gradients": lambda codes: GibbsWithGradients(_UPDATES),
    "gibbs": lambda codes: ValueGibbs(codes, updates=_UPDATES),
}


def discrete_ebm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    objective: Literal["pcd", "cd", "pseudolikelihood", "ratio-matching"] = "pcd",
    kernel: Annotated[Literal["langevin", "gibbs-with-gradients", "gibbs"], WHEN_USED] = "langevin",
    hidden_features: Count | None = None,
    layers: Count = 2,
    chains: Annotated[Count, OnlyWith("objective", ("pcd",))] = 256,
    chain_steps: Annotated[Count, OnlyWith("objective", ("pcd", "cd"))] = 10,
    refresh: Annotated[Fraction, OnlyWith("objective", ("pcd",))] = 0.02,
    values: Annotated[
        Count | None, OnlyWith("objective", ("pseudolikelihood", "ratio-matching"))
    ] = None,
    constant: Annotated[Literal["annealed"] | None, WHEN_USED] = None,
    temperatures: Annotated[Count, WHEN_USED, OnlyWith("constant", ("annealed",))] = 1000,
    sample_steps: Annotated[Count, WHEN_USED] = 500,
    learning_rate: PositiveFloat = 1e-3,
    batch_size: Count = 128,
) -> Algorithm:
    """Energy-based model of codes: a network's mass up to a constant, by any of four objectives.

    A network tilts values that follow the data one by one. It is fitted to hold its own against
    chains that live on (pcd) or start at data (cd), or to tell each value from the others that it
    could be (pseudolikelihood, ratio-matching), which takes no chains. Nothing is made real: levels
    and categories are one code or another. The constant can be estimated by annealed importance
    sampling, which is right where it comes out alike from both ends (`ptheta evaluate` shows both),
    and flatters networks that were trained for long on many values, by tens of nats.

    References:
        Oops I Took A Gradient: Scalable Sampling for Discrete Distributions (Grathwohl, Swersky,
        Hashemi, Duvenaud & Maddison, 2021), https://arxiv.org/abs/2102.04509
        A Langevin-like Sampler for Discrete Distributions (Zhang, Liu & Liu, 2022),
        https://arxiv.org/abs/2206.09914
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
        (Tieleman, 2008), https://doi.org/10.1145/1390156.1390290
        Statistical Analysis of Non-Lattice Data (Besag, 1975), https://doi.org/10.2307/2987782, for
        the pseudolikelihood
        Some extensions of score matching (Hyvärinen, 2007),
        https://doi.org/10.1016/j.csda.2006.09.003, for ratio matching

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        objective: What the network is trained by.
        kernel: The transition of the chains: proposals of codes by the network's slope for all
            values at once (langevin) or for one (gibbs-with-gradients), or draws of a value given
            the others, by the mass of each of its codes (gibbs). A transition of the last two is of
            4 values.
        hidden_features: The width of the network; none means by the size of an example.
        layers: The number of its hidden layers.
        chains: The number of chains that live on through training (pcd).
        chain_steps: The number of their transitions at an update (pcd, cd).
        refresh: The share of chains that start afresh at an update (pcd).
        values: The number of values of an example that an update looks at, chosen by chance
            (pseudolikelihood, ratio-matching); none means as many as have 16 other codes together.
        constant: Whether the constant is estimated (annealed), so that the mass is an estimate
            in nats; none leaves it unnormalised, as it is given a context, each of which has a
            constant of its own.
        temperatures: The number of steps by which it is.
        sample_steps: The number of transitions for each draw.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.

    Raises:
        PthetaError: Examples are not of levels or categories alone, or have too many of them,
            ratio-matching is asked for of more than two, or a constant given a context.
    """
    units = _units(space)
    codes = 2 if isinstance(units, BinaryUnits) else units.categories
    if objective == "ratio-matching" and codes != 2:
        raise PthetaError(
            f"ratio-matching is for values of two levels, and these have {codes}; take "
            "objective=pseudolikelihood."
        )
    told = ContextFeatures(context_space).features
    width = hidden_features or default_width(space.features)
    network = nn.Sequential(
        MLP(units.statistics_features + told, width, [width] * (layers - 1)),
        nn.SiLU(),
        # what is added to every mass alike is of no account
        nn.Linear(width, 1, bias=False),
    )
    energy = DiscreteEnergy(units, network, context_space)
    moves = _KERNELS[kernel](codes)
    looked_at = min(values or max(1, 16 // (codes - 1)), space.features)
    match objective:
        case "pcd":
            loss: Objective[Any] = PersistentContrastiveDivergence(
                moves,
                space.shape,
                context_space,
                chains=chains,
                steps=chain_steps,
                refresh=refresh,
                start=lambda shape: energy.start(shape[0]),
            )
        case "cd":
            loss = ContrastiveDivergence(moves, steps=chain_steps)
        case "pseudolikelihood":
            loss = Pseudolikelihood(codes, values=looked_at)
        case "ratio-matching":
            loss = RatioMatching(values=looked_at)
    if constant is None:
        drawn = WithGibbs(energy, steps=sample_steps, kernel=moves)
    elif context_space is None:
        annealed = AnnealedConstant(temperatures=temperatures, kernel=moves)
        drawn = MachineWithGibbs(energy, annealed, steps=sample_steps)
    else:
        raise PthetaError(
            "each context has a constant of its own, and none is annealed; leave constant out."
        )
    bridge = standardising(space)
    return Algorithm(
        model=bridged(drawn, bridge, space),
        learner=GradientLearner(energy, loss, learning_rate=learning_rate, clip=1.0, bridge=bridge),
        batch_size=batch_size,
        steps=4000,
        ema=0.998,
    )


def _units(space: Space) -> BinaryUnits | CategoricalUnits:
    match space:
        case Discrete(levels=2):
            return BinaryUnits(space.shape)
        case Discrete() if space.levels <= _MOST:
            return CategoricalUnits(space.shape, space.levels)
        case Categorical() if space.categories <= _MOST:
            return CategoricalUnits(space.shape, space.categories)
        case _:
            raise PthetaError(
                "an energy of codes is for examples whose values all have the same number of "
                f"levels or categories, up to {_MOST}, and these are {space.describe()}."
            )
