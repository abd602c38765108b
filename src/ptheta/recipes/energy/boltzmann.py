"""Boltzmann machines."""

__all__ = ["rbm"]

from typing import Literal

from ptheta.data.bridged import bridged
from ptheta.data.bridging import dequantising, standardising
from ptheta.inference.adapters import WithGibbs
from ptheta.inference.gibbs import BlockGibbs
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, GaussianUnits
from ptheta.networks.sizes import default_width
from ptheta.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import Count, Rate
from ptheta.spaces import Categorical, Discrete, Space
from ptheta.training.gradient import GradientLearner


def rbm(
    space: Space,
    *,
    objective: Literal["cd", "pcd"] = "pcd",
    hidden_features: Count | None = None,
    chain_steps: Count = 1,
    chains: Count = 100,
    sample_steps: Count = 200,
    learning_rate: Rate = 1e-3,
    batch_size: Count = 100,
) -> Algorithm:
    """Restricted Boltzmann machine, by contrastive divergence or with chains that live on.

    Visible units are binary on two levels, categorical on categories, and else Gaussian on
    standardised data (levels made real by uniform noise). The hidden units are summed out.

    References:
        Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002),
        https://doi.org/10.1162/089976602760128018
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
        (Tieleman, 2008), https://doi.org/10.1145/1390156.1390290

    Arguments:
        space: What one example is.
        objective: What the machine is trained by: chains that start at data (cd), or live on (pcd).
        hidden_features: The number of hidden units; none means by the size of an example.
        chain_steps: The number of sweeps of a chain at an update, the k of CD-k.
        chains: The number of chains that live on through training (pcd).
        sample_steps: The number of sweeps for each draw.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
    """
    match space:
        case Discrete(levels=2):
            units, bridge = BinaryUnits(space.shape), standardising(space)
        case Categorical():
            units, bridge = CategoricalUnits(space.shape, space.categories), standardising(space)
        case _:
            units, bridge = GaussianUnits((space.features,)), dequantising(space)
    machine = RBM(units, hidden_features or default_width(space.features))
    if objective == "cd":
        loss = ContrastiveDivergence(BlockGibbs(), steps=chain_steps)
    else:
        loss = PersistentContrastiveDivergence(
            BlockGibbs(),
            units.shape,
            chains=chains,
            steps=chain_steps,
            start=lambda shape: machine.start(shape[0]),
        )
    return Algorithm(
        model=bridged(WithGibbs(machine, steps=sample_steps), bridge, space),
        learner=GradientLearner(machine, loss, learning_rate=learning_rate, bridge=bridge),
        batch_size=batch_size,
        steps=4000,
        ema=0.99,
    )
