"""One flow by four objectives, on eight Gaussians: the picture `docs/images/objectives.png`.

    python benchmarks/objectives.py

Above is the flow that is a matrix, and so a Gaussian; below is RealNVP. Likelihood and the Fisher
divergence see the data, reverse KL sees the density that they were drawn from, up to a constant,
and the critic of the adversarial objective sees data and draws. The densities that are shown are
the flows' own.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import ptheta
from ptheta.models.flows.bases import Gaussian
from ptheta.models.flows.bijections import Composition
from ptheta.models.flows.coupling import Coupling
from ptheta.models.flows.flow import Flow
from ptheta.models.flows.linear import LULinear
from ptheta.models.flows.univariate import Affine
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.reverse_kl import ReverseKL
from ptheta.objectives.score_matching import ScoreMatching
from ptheta.objectives.types import Batch

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "objectives.png"
STEPS, BATCH = 3000, 256
AXIS = torch.linspace(-5, 5, 201)
EXTENT = (-5, 5, -5, 5)


def gaussian() -> Flow:
    flow = Flow(LULinear(torch.eye(2)), Gaussian(2))
    with torch.no_grad():
        flow.bijection.get_parameter("shift.start").add_(torch.tensor([0.5, 0.2]))
    return flow


def realnvp() -> Flow:
    couplings = [
        Coupling(Affine(), 2, 0, (64, 64), flip=i % 2 == 1, activation=nn.SiLU) for i in range(8)
    ]
    return Flow(Composition(couplings), Gaussian(2))


def trained(flow: Flow, objective: Any, x: Tensor) -> Flow:
    adam = torch.optim.Adam(flow.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.01, STEPS)
    for _ in range(STEPS):
        adam.zero_grad()
        objective.loss(flow, Batch(x[torch.randint(len(x), (BATCH,))])).value.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        adam.step()
        schedule.step()
    return flow


@torch.no_grad()
def density(model: Any) -> Tensor:
    grid = torch.cartesian_prod(AXIS, AXIS)
    return model.log_prob(grid).exp().reshape(len(AXIS), len(AXIS)).t()


def main() -> None:
    torch.manual_seed(0)
    data = ptheta.load_data("eight-gaussians")
    x, truth = data.train.x[:], data.truth
    assert truth is not None
    objectives = {
        "likelihood, KL(P, Q)": MaximumLikelihood(),
        "reverse, KL(Q, P)": ReverseKL(truth.log_prob),
        "Fisher divergence": ScoreMatching(),
    }
    figure, axes = plt.subplots(2, 5, figsize=(12, 5), constrained_layout=True)
    for row, make in zip(axes, (gaussian, realnvp), strict=True):
        shown = {"the density P": density(truth)}
        shown |= {k: density(trained(make(), o, x)) for k, o in objectives.items()}
        if make is realnvp:
            # two players need more steps than one
            settings = {"objective": "adversarial"}
            run = ptheta.fit(data, "realnvp", settings=settings, steps=2 * STEPS, seed=0)
            shown["adversarial"] = density(run.model)
        for axis, (title, values) in zip(row, shown.items(), strict=False):
            # a few pixels of a thin ridge would leave all the others dark
            brightest = values.quantile(0.99).item()
            axis.imshow(values, origin="lower", extent=EXTENT, cmap="magma", vmax=brightest)
            axis.set_title(title)
        for axis in row:
            axis.set_axis_off()
    figure.savefig(PICTURE, dpi=80)


if __name__ == "__main__":
    main()
