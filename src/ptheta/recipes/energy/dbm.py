"""The deep Boltzmann machine."""

__all__ = ["dbm"]

from functools import partial
from typing import Annotated, Any

from ptheta.data.bridged import bridged
from ptheta.inference.annealed_constant import AnnealedConstant, DeepWithGibbs
from ptheta.models.energy.dbm import DBM, layer_input, layer_machines
from ptheta.networks.sizes import default_width
from ptheta.objectives.layers import OnLayer
from ptheta.objectives.types import Batch
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.energy.machines import in_phases, persistent
from ptheta.recipes.energy.visible import visible_units
from ptheta.recipes.settings import WHEN_USED, Count, PositiveFloat
from ptheta.spaces import Space
from ptheta.training.gradient import GradientLearner
from ptheta.training.phases import Phase


def dbm(
    space: Space,
    *,
    hidden_features: Count | None = None,
    layers: Count = 2,
    layer_steps: Count = 2000,
    mean_field_steps: Count = 10,
    chain_steps: Count = 1,
    chains: Count = 100,
    temperatures: Annotated[Count, WHEN_USED] = 1000,
    sample_steps: Annotated[Count, WHEN_USED] = 200,
    learning_rate: PositiveFloat = 1e-3,
    halving_steps: Count | None = None,
    batch_size: Count = 100,
) -> Algorithm:
    """Deep Boltzmann machine, started layer by layer, by mean fields and chains that live on.

    Each layer starts from a machine fitted to what those below it make of data. Then all are fitted
    together: hidden layers given data are set to their mean field, and draws of the model come from
    chains that live on. The visible units are those of `rbm`. The density is a bound, but for the
    constant, which is estimated.

    References:
        Deep Boltzmann Machines (Salakhutdinov & Hinton, 2009),
        https://proceedings.mlr.press/v5/salakhutdinov09a.html

    Arguments:
        space: What one example is.
        hidden_features: The number of units of a hidden layer; none means by the size of an
            example.
        layers: The number of hidden layers.
        layer_steps: The number of updates of each layer alone; all that follow are of all layers.
        mean_field_steps: The number of rounds in which the layers' means are set.
        chain_steps: The number of sweeps of a chain at an update.
        chains: The number of chains that live on through training.
        temperatures: The number of steps by which the constant is estimated.
        sample_steps: The number of sweeps for each draw.
        learning_rate: The step size of Adam.
        halving_steps: The number of updates of a phase after which the step size is half of that,
            after twice as many a third, and so on; none keeps it.
        batch_size: The number of examples in a batch.
    """
    units, bridge = visible_units(space)
    sizes = [hidden_features or default_width(space.features)] * layers
    model = DBM(units, sizes, mean_field_steps=mean_field_steps)
    machines = layer_machines(units, sizes)

    def assemble(batch: Batch) -> None:
        model.assemble(machines, bridge.to_reals(batch.x)[0])

    learner = partial(
        GradientLearner[Any],
        learning_rate=learning_rate,
        bridge=bridge,
        halving_steps=halving_steps,
    )
    phases: list[Phase] = []
    for k, machine in enumerate(machines):
        objective = OnLayer(
            partial(layer_input, machines[: k + 1]), persistent(machine, chains, chain_steps)
        )
        # a budget may end before all layers have had their turn: then the model is its lowest
        meanwhile = None if k else assemble
        phases.append(
            Phase(learner(machine, objective), layer_steps, passing=machine, meanwhile=meanwhile)
        )
    together = OnLayer(model.mean_field, persistent(model.machine, chains, chain_steps))
    phases.append(Phase(learner(model.machine, together), layer_steps, begin=assemble))
    constant = AnnealedConstant(temperatures=temperatures)
    drawn = DeepWithGibbs(model, constant, steps=sample_steps)
    return in_phases(bridged(drawn, bridge, space), phases, batch_size)
