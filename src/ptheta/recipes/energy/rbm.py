"""The restricted Boltzmann machine."""

__all__ = ["rbm"]

from typing import Annotated, Literal

import torch
from annotated_types import Ge

from ptheta.data.bridged import bridged
from ptheta.errors import PthetaError
from ptheta.inference.annealed_constant import AnnealedConstant, MachineWithGibbs
from ptheta.inference.gibbs import BlockGibbs
from ptheta.inference.tempering import TemperedTransitions
from ptheta.models.energy.rbm import RBM
from ptheta.networks.sizes import default_width
from ptheta.objectives.contrastive import ContrastiveDivergence
from ptheta.objectives.neighbours import Pseudolikelihood, RatioMatching
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.energy.machines import persistent
from ptheta.recipes.energy.visible import visible_units
from ptheta.recipes.settings import WHEN_USED, Count, OnlyWith, PositiveFloat
from ptheta.spaces import Categorical, Discrete, Space
from ptheta.training.gradient import GradientLearner


def rbm(
    space: Space,
    *,
    objective: Literal["pcd", "cd", "pseudolikelihood", "ratio-matching"] = "pcd",
    hidden_features: Count | None = None,
    chain_steps: Annotated[Count, OnlyWith("objective", ("pcd", "cd"))] = 1,
    chains: Annotated[Count, OnlyWith("objective", ("pcd",))] = 100,
    tempering: Annotated[int, Ge(0), OnlyWith("objective", ("pcd",))] = 0,
    values: Annotated[Count, OnlyWith("objective", ("pseudolikelihood", "ratio-matching"))] = 16,
    temperatures: Annotated[Count, WHEN_USED] = 1000,
    sample_steps: Annotated[Count, WHEN_USED] = 200,
    learning_rate: PositiveFloat = 1e-3,
    halving_steps: Count | None = None,
    batch_size: Count = 100,
) -> Algorithm:
    """Restricted Boltzmann machine, by chains of its own or by what follows from each value.

    It is fitted to hold its own against chains that live on (pcd) or start at data (cd), or, where
    values are codes, to tell each of them from the others of its example (pseudolikelihood,
    ratio-matching), which takes no chains.

    Visible units are binary on two levels, categorical on categories, of each kind in a table with
    categories, and else Gaussian on standardised data (levels made real by uniform noise). The
    hidden units are summed out, and the constant is estimated by annealed importance sampling.

    References:
        Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002),
        https://doi.org/10.1162/089976602760128018
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
        (Tieleman, 2008), https://doi.org/10.1145/1390156.1390290
        Learning in Markov Random Fields using Tempered Transitions (Salakhutdinov, 2009),
        https://papers.nips.cc/paper/2009/hash/b7ee6f5f9aa5cd17ca1aea43ce848496-Abstract.html
        Statistical Analysis of Non-Lattice Data (Besag, 1975), https://doi.org/10.2307/2987782, for
        the pseudolikelihood
        Some extensions of score matching (Hyvärinen, 2007),
        https://doi.org/10.1016/j.csda.2006.09.003, for ratio matching

    Arguments:
        space: What one example is.
        objective: What the machine is trained by.
        hidden_features: The number of hidden units; none means by the size of an example.
        chain_steps: The number of sweeps of a chain at an update, the k of CD-k (pcd, cd).
        chains: The number of chains that live on through training (pcd).
        tempering: The number of flatter machines through which a chain that lives on goes up and
            down after each sweep, so that it may leave a mode (pcd); 0 for sweeps alone.
        values: The number of values of an example that an update looks at, chosen by chance
            (pseudolikelihood, ratio-matching).
        temperatures: The number of steps by which the constant is estimated.
        sample_steps: The number of sweeps for each draw.
        learning_rate: The step size of Adam.
        halving_steps: The number of updates after which the step size is half of that, after twice
            as many a third, and so on, which settles chains and weights in long runs; none keeps
            it.
        batch_size: The number of examples in a batch.

    Raises:
        PthetaError: Tempering is asked for, and no chain lives on, or an objective on codes, and
            values are none.
    """
    if tempering and objective != "pcd":
        raise PthetaError(
            f"tempering is of chains that live on: leave out tempering or objective={objective}."
        )
    units, bridge = visible_units(space)
    machine = RBM(units, hidden_features or default_width(space.features))
    looked_at = min(values, space.features)
    match objective:
        case "pcd":
            # half of the machine is flat enough to leave its modes, and each step up is small
            betas = torch.linspace(1.0, 0.5, tempering + 1)[1:].tolist()
            kernel = TemperedTransitions(betas) if tempering else None
            loss = persistent(machine, chains, chain_steps, kernel)
        case "cd":
            loss = ContrastiveDivergence(BlockGibbs(), steps=chain_steps)
        case "pseudolikelihood":
            loss = Pseudolikelihood(_codes(space, objective), values=looked_at)
        case "ratio-matching":
            if _codes(space, objective) != 2:
                raise PthetaError(
                    "ratio-matching is for values of two levels, and these have "
                    f"{_codes(space, objective)}; take objective=pseudolikelihood."
                )
            loss = RatioMatching(values=looked_at)
    constant = AnnealedConstant(temperatures=temperatures)
    return Algorithm(
        model=bridged(MachineWithGibbs(machine, constant, steps=sample_steps), bridge, space),
        learner=GradientLearner(
            machine, loss, learning_rate=learning_rate, bridge=bridge, halving_steps=halving_steps
        ),
        batch_size=batch_size,
        steps=4000,
        ema=0.99,
        # a constant that is found too small looks like a better fit, and is not to be chosen by
        patience=None,
        keep="last",
    )


def _codes(space: Space, objective: str) -> int:
    match space:
        case Discrete(levels=2):
            return 2
        case Categorical():
            return space.categories
        case _:
            raise PthetaError(
                f"{objective} is for values of two levels or of categories, and these are "
                f"{space.describe()}; take objective=pcd or cd."
            )
