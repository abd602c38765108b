"""What recipes of Boltzmann machines share: chains that live on, and training in phases."""

__all__ = ["in_phases", "persistent"]

from collections.abc import Sequence
from typing import Any

from torch import nn

from ptheta.inference.gibbs import BlockGibbs
from ptheta.inference.tempering import TemperedTransitions
from ptheta.models.energy.rbm import RBM
from ptheta.objectives.contrastive import PersistentContrastiveDivergence
from ptheta.recipes.algorithm import Algorithm
from ptheta.training.phases import InPhases, Phase


def persistent(
    machine: RBM,
    chains: int,
    chain_steps: int,
    kernel: TemperedTransitions | None = None,
) -> PersistentContrastiveDivergence[Any, Any]:
    """The objective of a machine by chains that live on, started from its own units.

    Arguments:
        machine: The machine.
        chains: The number of chains.
        chain_steps: The number of transitions at an update.
        kernel: The transition; none means sweeps.
    """
    return PersistentContrastiveDivergence(
        kernel or BlockGibbs(),
        machine.visible.shape,
        chains=chains,
        steps=chain_steps,
        start=lambda shape: machine.start(shape[0]),
    )


def in_phases(model: nn.Module, phases: Sequence[Phase], batch_size: int) -> Algorithm:
    """The algorithm of a deep machine, which is trained layer by layer.

    Arguments:
        model: The machine, on data.
        phases: The phases of its training.
        batch_size: The number of examples in a batch.
    """
    return Algorithm(
        model=model,
        learner=InPhases(phases),
        batch_size=batch_size,
        steps=sum(phase.steps for phase in phases),
        ema=0.99,
        # a layer may lower the bound before it raises it, and a constant that is found too small
        # looks like a better fit
        patience=None,
        keep="last",
    )
