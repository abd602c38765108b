"""An iteration of expectation-maximisation: ptheta, scikit-learn and pomegranate from one start.

    python benchmarks/mixtures.py

pomegranate is optional (the `benchmark` extra).
"""

from timing import interleaved, machine  # isort: skip

import importlib.util
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitLearn
from torch import Tensor

from ptheta.models.latent.covariances import COVARIANCES
from ptheta.models.latent.gmm import GaussianMixture

ROWS, FEATURES, COMPONENTS, ITERATIONS = 100_000, 16, 32, 3


def data() -> Tensor:
    g = torch.Generator().manual_seed(0)
    which = torch.randint(COMPONENTS, (ROWS,), generator=g)
    centres = 2 * torch.randn(COMPONENTS, FEATURES, generator=g)
    mix = torch.randn(COMPONENTS, FEATURES, FEATURES, generator=g) / FEATURES**0.5
    noise = torch.randn(ROWS, 1, FEATURES, generator=g)
    x = torch.cat([(noise[i : i + 1000] @ mix[which[i : i + 1000]])[:, 0]
                   for i in range(0, ROWS, 1000)]) + centres[which]  # fmt: skip
    return (x - x.mean(dim=0)) / x.std(dim=0)


def ours(start: GaussianMixture, x: Tensor, *, careful: bool) -> int:
    mixture = GaussianMixture(FEATURES, COMPONENTS, COVARIANCES["full"])
    mixture.load_state_dict(start.state_dict())
    for _ in range(ITERATIONS):
        mixture.maximization(mixture.expectation(x, careful=careful))
    return ITERATIONS


def scikit_learn(start: GaussianMixture, x: Tensor) -> ScikitLearn:
    mixture = ScikitLearn(
        COMPONENTS,
        max_iter=ITERATIONS,
        tol=0,
        weights_init=start.weights.numpy(),
        means_init=start.means.numpy(),
        precisions_init=np.linalg.inv(start.covariances.numpy()),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(x.numpy())


def pomegranate(start: GaussianMixture, x: Tensor) -> int:
    from pomegranate.distributions import Normal  # pyright: ignore[reportMissingImports]
    from pomegranate.gmm import GeneralMixtureModel  # pyright: ignore[reportMissingImports]

    normals = [
        Normal(mean.float(), covariance.float())
        for mean, covariance in zip(start.means, start.covariances, strict=True)
    ]
    mixture = GeneralMixtureModel(
        normals, priors=start.weights.float(), max_iter=ITERATIONS, tol=0, verbose=False
    )
    mixture.fit(x)
    return ITERATIONS


def main() -> None:
    torch.set_num_threads(1)
    x = data()
    torch.manual_seed(0)
    start = GaussianMixture(FEATURES, COMPONENTS, COVARIANCES["full"])
    start.initialize(x)
    systems = {
        "ptheta float32": lambda: ours(start, x, careful=False),
        "ptheta float64 by whitening": lambda: ours(start, x, careful=True),
        "scikit-learn": lambda: scikit_learn(start, x).n_iter_,
        "scikit-learn float64": lambda: scikit_learn(start, x.double()).n_iter_,
    }
    if importlib.util.find_spec("pomegranate"):
        systems["pomegranate"] = lambda: pomegranate(start, x)
    torch.set_num_threads(1)  # k-means++ leaves it otherwise
    seconds = interleaved(systems, rounds=5)
    print(machine())
    best = min(taken for name, taken in seconds.items() if not name.startswith("ptheta"))
    for name, taken in seconds.items():
        print(f"{name:28} {taken * 1e3:7.0f} ms an iteration, {best / taken:5.1f}x the best peer")
    compare_likelihood(start, x)


def compare_likelihood(start: GaussianMixture, x: Tensor) -> None:
    reference = scikit_learn(start, x.double()).score(x.double().numpy())
    mixture = GaussianMixture(FEATURES, COMPONENTS, COVARIANCES["full"])
    for careful in (False, True):
        mixture.load_state_dict(start.state_dict())
        for _ in range(ITERATIONS):
            mixture.maximization(mixture.expectation(x, careful=careful))
        found = mixture.log_prob(x.double()).mean().item()
        print(f"log-likelihood a row, careful={careful}: {found:.6f}, scikit-learn {reference:.6f}")


if __name__ == "__main__":
    main()
