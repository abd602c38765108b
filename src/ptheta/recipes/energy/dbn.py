"""The deep belief network."""

__all__ = ["dbn"]

from functools import partial
from typing import Annotated, Any

from ptheta.data.bridged import bridged
from ptheta.inference.annealed_constant import AnnealedConstant, DeepWithGibbs
from ptheta.models.energy.dbn import DBN
from ptheta.networks.sizes import default_width
from ptheta.objectives.layers import OnLayer, UpDown
from ptheta.objectives.types import Batch
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.energy.machines import in_phases, persistent
from ptheta.recipes.energy.visible import visible_units
from ptheta.recipes.settings import WHEN_USED, Count, PositiveFloat
from ptheta.spaces import Space
from ptheta.training.gradient import GradientLearner
from ptheta.training.phases import Phase


def dbn(
    space: Space,
    *,
    hidden_features: Count | None = None,
    layers: Count = 2,
    layer_steps: Count = 2000,
    chain_steps: Count = 1,
    chains: Count = 100,
    temperatures: Annotated[Count, WHEN_USED] = 1000,
    sample_steps: Annotated[Count, WHEN_USED] = 200,
    learning_rate: PositiveFloat = 1e-3,
    halving_steps: Count | None = None,
    batch_size: Count = 100,
) -> Algorithm:
    """Deep belief network, grown machine by machine and fine-tuned up and down.

    Each machine is fitted, with chains that live on, to what the one below it makes of data; then
    all are fine-tuned together by contrastive wake-sleep. The visible units are those of `rbm`. The
    density is a bound, but for the constant of the machine on top, which is estimated.

    References:
        A Fast Learning Algorithm for Deep Belief Nets (Hinton, Osindero & Teh, 2006),
        https://doi.org/10.1162/neco.2006.18.7.1527
        On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008),
        https://doi.org/10.1145/1390156.1390266

    Arguments:
        space: What one example is.
        hidden_features: The number of units of a hidden layer; none means by the size of an
            example.
        layers: The number of hidden layers.
        layer_steps: The number of updates of each layer alone; all that follow are fine-tuning.
        chain_steps: The number of sweeps of a chain at an update, in fine-tuning five at least.
        chains: The number of chains that live on through training.
        temperatures: The number of steps by which the constant is estimated.
        sample_steps: The number of sweeps for each draw.
        learning_rate: The step size of Adam.
        halving_steps: The number of updates of a phase after which the step size is half of that,
            after twice as many a third, and so on; none keeps it.
        batch_size: The number of examples in a batch.
    """
    units, bridge = visible_units(space)
    model = DBN(units, [hidden_features or default_width(space.features)] * layers)

    def grow(batch: Batch) -> None:
        model.grow(bridge.to_reals(batch.x)[0])

    learner = partial(
        GradientLearner[Any],
        learning_rate=learning_rate,
        bridge=bridge,
        halving_steps=halving_steps,
    )
    phases: list[Phase] = []
    for k, machine in enumerate(model.machines):
        objective = OnLayer(
            lambda x, k=k: model.recognise(x, k)[-1], persistent(machine, chains, chain_steps)
        )
        phases.append(Phase(learner(machine, objective), layer_steps, begin=grow if k else None))
    if layers > 1:
        fine_tuning = UpDown(steps=max(chain_steps, 5))
        phases.append(Phase(learner(model, fine_tuning), layer_steps))
    constant = AnnealedConstant(temperatures=temperatures)
    drawn = DeepWithGibbs(model, constant, steps=sample_steps)
    return in_phases(bridged(drawn, bridge, space), phases, batch_size)
