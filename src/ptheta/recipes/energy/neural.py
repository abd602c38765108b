"""Neural energies."""

__all__ = ["ebm"]

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from ptheta.data.bridged import bridged
from ptheta.data.bridging import dequantising
from ptheta.errors import PthetaError
from ptheta.inference.adapters import NormalisedWithMCMC, WithMCMC
from ptheta.inference.kernels import Kernel
from ptheta.inference.langevin import MALA, ULA
from ptheta.inference.metropolis import RandomWalk
from ptheta.models.energy.energy import Energy
from ptheta.models.energy.self_normalised import SelfNormalised
from ptheta.models.latent.covariances import COVARIANCES
from ptheta.models.latent.gmm import GaussianMixture
from ptheta.networks.context import ContextFeatures
from ptheta.networks.downsampling import DownsamplingCNN
from ptheta.networks.mlp import MLP
from ptheta.networks.sizes import default_width, is_small
from ptheta.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from ptheta.objectives.noise_contrastive import FlowContrastive, NoiseContrastive
from ptheta.objectives.score_matching import (
    DenoisingScoreMatching,
    MultiScaleDenoisingScoreMatching,
    ScoreMatching,
    SlicedScoreMatching,
)
from ptheta.objectives.smoothing import Smoothed
from ptheta.objectives.types import Objective
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.flows.splines import spline_flow
from ptheta.recipes.images import image_shape
from ptheta.recipes.settings import WHEN_USED, Count, Fraction, NonNegative, OnlyWith, PositiveFloat
from ptheta.spaces import Categorical, Real, Space
from ptheta.training.gradient import GradientLearner

# the noise of each objective, on real data and on levels: score matching at one level needs
# noise wide enough to join the modes; levels are noisy by their own width already, but with edges,
# at which a density has no gradient
_NOISE: Mapping[str, tuple[float, float]] = {
    "pcd": (0.05, 0.1),
    "cd": (0.05, 0.1),
    "dsm": (0.1, 0.3),
    "mdsm": (0.1, 0.3),
    "sm": (0.0, 0.3),
    "ssm": (0.0, 0.3),
    "nce": (0.0, 0.0),
    "fce": (0.0, 0.0),
}
_PERSISTENT = OnlyWith("objective", ("pcd",))
_COARSEST = 4  # pixels a side at the end of convolutions
_KERNELS: Mapping[str, Kernel[Any, Any]] = {
    "mala": MALA(0.05, target=0.574),
    "ula": ULA(0.01),
    "random-walk": RandomWalk(0.1, target=0.234),
}


def ebm(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    objective: Literal["pcd", "cd", "sm", "ssm", "dsm", "mdsm", "nce", "fce"] = "pcd",
    kernel: Annotated[Literal["mala", "ula", "random-walk"], WHEN_USED] = "mala",
    noise: NonNegative | None = None,
    network: Literal["mlp", "cnn"] | None = None,
    spectral_norm: PositiveFloat | None = None,
    hidden_features: Count | None = None,
    layers: Count | None = None,
    chains: Annotated[Count, _PERSISTENT] = 1024,
    chain_steps: Annotated[Count, OnlyWith("objective", ("pcd", "cd"))] = 10,
    refresh: Annotated[Fraction, _PERSISTENT] = 0.02,
    penalty: Annotated[NonNegative, _PERSISTENT] = 1e-4,
    noise_ratio: Annotated[Count, OnlyWith("objective", ("nce",))] = 5,
    sample_steps: Annotated[Count, WHEN_USED] = 200,
    learning_rate: PositiveFloat = 5e-4,
    batch_size: Count = 128,
) -> Algorithm:
    """Energy-based model: a network's density up to a constant, by any of eight objectives.

    A network gives every example a log-density up to a constant. It is fitted to hold its own
    against chains of its own draws, which live on (pcd) or start at data (cd); to have the gradient
    of the data's log-density, exactly (sm), along random directions (ssm), at one level of noise
    (dsm) or at many (mdsm); or to tell data from a Gaussian fitted to them (nce), or from a flow
    that learns too (fce), which brings its constant along. The density is that of standardised data
    (levels made real by uniform noise) smoothed by Gaussian noise; draws are taken from it by
    chains, and the noise is then taken off them in one step.

    References:
        Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002),
        https://doi.org/10.1162/089976602760128018
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
        (Tieleman, 2008), https://doi.org/10.1145/1390156.1390290
        Estimation of Non-Normalized Statistical Models by Score Matching (Hyvärinen, 2005),
        https://jmlr.org/papers/v6/hyvarinen05a.html
        A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011),
        https://doi.org/10.1162/NECO_a_00142
        Sliced Score Matching (Song, Garg, Shi & Ermon, 2019), https://arxiv.org/abs/1905.07088
        Multi-scale Denoising Score Matching (Li, Chen & Sommer, 2019),
        https://arxiv.org/abs/1910.07762
        Noise-contrastive estimation (Gutmann & Hyvärinen, 2010),
        https://proceedings.mlr.press/v9/gutmann10a.html
        Flow Contrastive Estimation of Energy-Based Models (Gao et al., 2020),
        https://arxiv.org/abs/1912.00589
        Neural Empirical Bayes (Saremi & Hyvarinen, 2019), https://arxiv.org/abs/1903.02334

    Arguments:
        space: What one example is.
        context_space: What examples are conditioned on.
        objective: What the network is trained by.
        kernel: The transition of the chains: Langevin with refusals (mala) or without (ula, biased
            by its step), or a random walk that asks for no gradient.
        noise: The standard deviation of the noise, in standard deviations of the data; none
            means 0.05 for pcd and cd, 0.1 for dsm and mdsm and 0 else on real data, 0.1, 0.3 and,
            for sm and ssm, 0.3 on levels.
        network: A perceptron (mlp), or, for images, convolutions that halve them from layer to
            layer (cnn); none means the perceptron.
        spectral_norm: What the largest singular value of every layer is at most, which bounds how
            steep the density can be; none leaves the layers free.
        hidden_features: The width of the perceptron, or the number of channels of the first
            convolution, which doubles from layer to layer; none means by the size of an example.
        layers: The number of its hidden layers; none means 2 of a perceptron, and as many
            convolutions as leave images of 4 pixels a side.
        chains: The number of chains that live on through training (pcd).
        chain_steps: The number of their transitions at an update (pcd, cd).
        refresh: The share of chains that start afresh at an update (pcd).
        penalty: The weight of the squared log-densities, which ties down their constant (pcd).
        noise_ratio: The number of draws of the Gaussian for each example (nce).
        sample_steps: The number of transitions for each draw.
        learning_rate: The step size of Adam.
        batch_size: The number of examples in a batch.
    """
    tilt = _cnn if network == "cnn" else _mlp
    bridge = dequantising(space, together=network == "cnn")
    smoothing = _NOISE[objective][bridge.stochastic] if noise is None else noise
    if objective in ("dsm", "mdsm") and smoothing == 0:
        raise PthetaError(f"{objective} learns to take noise off, and needs noise above 0.")
    shape = (space.features,)
    energy = Energy(
        tilt(
            space, ContextFeatures(context_space).features, hidden_features, layers, spectral_norm
        ),
        context_space,
    )
    moves = _KERNELS[kernel]
    # of fewer rows than values a covariance is singular; data are told apart from what covers them
    gaussian = GaussianMixture(
        space.features, 1, COVARIANCES["full"], shrinkage=float(space.features)
    )
    objectives: Mapping[str, Callable[[], Objective[Any]]] = {
        "pcd": lambda: PersistentContrastiveDivergence(
            moves,
            shape,
            context_space,
            chains=chains,
            steps=chain_steps,
            refresh=refresh,
            noise=smoothing,
            penalty=penalty,
        ),
        "cd": lambda: Smoothed(ContrastiveDivergence(moves, steps=chain_steps), smoothing),
        "sm": lambda: Smoothed(ScoreMatching(), smoothing),
        "ssm": lambda: Smoothed(SlicedScoreMatching(), smoothing),
        "dsm": lambda: DenoisingScoreMatching(smoothing),
        # the paper's levels, from half to twelve times that of the energy
        "mdsm": lambda: MultiScaleDenoisingScoreMatching(
            smoothing / 2, 12 * smoothing, sigma=smoothing
        ),
        "nce": lambda: Smoothed(NoiseContrastive(gaussian, ratio=noise_ratio), smoothing),
        "fce": lambda: Smoothed(FlowContrastive(spline_flow(space.features)), smoothing),
    }
    if objective in ("nce", "fce"):
        model = SelfNormalised(energy)
        sampler = NormalisedWithMCMC(
            model, moves, gaussian, shape, steps=sample_steps, jump=smoothing
        )
    else:
        model = energy
        sampler = WithMCMC(energy, moves, shape, steps=sample_steps, jump=smoothing)
    return Algorithm(
        model=bridged(sampler, bridge, space),
        learner=GradientLearner(
            model, objectives[objective](), learning_rate=learning_rate, clip=1.0, bridge=bridge
        ),
        batch_size=batch_size,
        steps=4000,
        constraints=() if spectral_norm is None else ("lipschitz",),
        ema=0.998,
    )


def _mlp(space: Space, told: int, width: int | None, layers: int | None, norm: float | None) -> MLP:
    widths = [width or default_width(space.features)] * (layers or 2)
    return MLP(space.features + told, 1, widths, spectral_norm=norm)


def _cnn(
    space: Space, told: int, width: int | None, layers: int | None, norm: float | None
) -> DownsamplingCNN:
    shape = image_shape(space)
    if shape is None:
        raise PthetaError(
            f"network=cnn is for images, and this is: {space.describe()}; leave it out, or set "
            "network=mlp."
        )
    most = max(1, math.ceil(math.log2(max(shape[1:]))))
    if layers is not None and layers > most:
        raise PthetaError(
            f"images of {shape[1]} x {shape[2]} pixels can be halved {most} times, and layers is "
            f"{layers}; set layers={most} at most."
        )
    halvings = layers or max(1, math.ceil(math.log2(max(shape[1:]) / _COARSEST)))
    first = width or (32 if is_small(shape) else 16)
    channels = [first * 2**i for i in range(halvings)]
    return DownsamplingCNN(shape, 1, channels, told, spectral_norm=norm)
