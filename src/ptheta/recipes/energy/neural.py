"""Energy-based models."""

__all__ = ["ebm", "rbm"]

from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import Ge

from ptheta.data.bridged import bridged
from ptheta.data.bridging import dequantising, standardising
from ptheta.inference.adapters import WithGibbs, WithMCMC
from ptheta.inference.gibbs import BlockGibbs
from ptheta.inference.langevin import MALA
from ptheta.models.energy.energy import Energy
from ptheta.models.energy.rbm import RBM
from ptheta.models.energy.units import BinaryUnits, CategoricalUnits, GaussianUnits
from ptheta.networks.context import ContextFeatures
from ptheta.networks.mlp import MLP
from ptheta.networks.sizes import default_width
from ptheta.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from ptheta.objectives.score_matching import DenoisingScoreMatching
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.settings import Count, Fraction, Rate
from ptheta.spaces import Categorical, Discrete, Real, Space
from ptheta.training.gradient import GradientLearner

# the noise of each objective, on real data and on levels: score matching at one level needs
# noise wide enough to join the modes; levels are noisy by their own width already
_NOISE: Mapping[str, tuple[float, float]] = {"pcd": (0.05, 0.1), "dsm": (0.1, 0.3)}


def ebm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    objective: Literal["pcd", "dsm"] = "pcd",
    noise: Rate | None = None,
    hidden_features: Count | None = None,
    layers: Count = 2,
    chains: Count = 1024,
    chain_steps: Count = 10,
    refresh: Fraction = 0.02,
    penalty: Annotated[float, Ge(0)] = 1e-4,
    sample_steps: Count = 200,
    learning_rate: Rate = 5e-4,
    batch_size: Count = 128,
) -> Algorithm:
    """Energy-based model, by persistent contrastive divergence or denoising score matching.

    A network gives every example a log-density up to a constant. It is fitted either to hold
    its own against chains of Metropolis-adjusted Langevin dynamics at temperature one (pcd), or
    to have the right gradient at noised data (dsm). Either way the density is that of
    standardised data (levels made real by uniform noise) smoothed by Gaussian noise; draws are
    taken from it by the same chains, and the noise is then taken off them in one step.

    References:
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
        (Tieleman, 2008), https://doi.org/10.1145/1390156.1390290
        A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011),
        https://doi.org/10.1162/NECO_a_00142
        Neural Empirical Bayes (Saremi & Hyvarinen, 2019), https://arxiv.org/abs/1903.02334

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        objective: What the network is trained by: pcd or dsm.
        noise: The standard deviation of the noise, in standard deviations of the data; none
            means 0.05 for pcd and 0.1 for dsm on real data, 0.1 and 0.3 on levels.
        hidden_features: The width of the network; none means by the size of an example.
        layers: The number of its hidden layers.
        chains: The number of chains that live on through training (pcd).
        chain_steps: The number of their transitions at an update (pcd).
        refresh: The share of chains that start afresh at an update (pcd).
        penalty: The weight of the squared log-densities, which ties down their constant (pcd).
        sample_steps: The number of transitions for each draw.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
    """
    bridge = dequantising(space)
    shape = (space.features,)
    width = hidden_features or default_width(space.features)
    inputs = space.features + ContextFeatures(context_space).features
    energy = Energy(MLP(inputs, 1, [width] * layers), context_space)
    smoothing = noise or _NOISE[objective][bridge.stochastic]
    kernel = MALA(0.05, target=0.574)
    if objective == "pcd":
        loss = PersistentContrastiveDivergence(
            kernel,
            shape,
            context_space,
            chains=chains,
            steps=chain_steps,
            refresh=refresh,
            noise=smoothing,
            penalty=penalty,
        )
    else:
        loss = DenoisingScoreMatching(smoothing)
    return Algorithm(
        model=bridged(
            WithMCMC(energy, kernel, shape, steps=sample_steps, jump=smoothing), bridge, space
        ),
        learner=GradientLearner(energy, loss, learning_rate=learning_rate, clip=1.0, bridge=bridge),
        batch_size=batch_size,
        steps=4000,
        ema=0.998,
    )


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
