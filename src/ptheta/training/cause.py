"""Why a training diverged, as far as can be told."""

__all__ = ["likely_cause"]

from collections.abc import Mapping

from ptheta.data.dataset import Data
from ptheta.spaces import Table
from ptheta.training.batches import PIECE

_BEYOND = 1e9  # times the median size of a value
_RUN_AWAY = 10.0  # times as far as data reach


def likely_cause(
    data: Data, learning_rate: float | None, usual: float, terms: Mapping[str, float]
) -> str:
    """The likely cause of a divergence, and what to do, in a sentence.

    Arguments:
        data: The data.
        learning_rate: The learning rate, or None where there is none.
        usual: The recipe's default.
        terms: What was recorded when it diverged.
    """
    extreme = _extreme(data)
    if extreme or learning_rate is None:
        return f"The likely cause is extreme values in the data{extreme}: look at `ptheta data`."
    if not terms.get("reach", 0.0) < _RUN_AWAY:
        return (
            "Its chains have run away from the data, where the density does not fall (reach is how "
            "many times as far as data they are): try a lower learning_rate, or where the recipe "
            "has them a kernel with refusals (mala), more noise or a larger penalty."
        )
    return (
        f"The likely cause is a learning rate of {learning_rate:g} that is too high: try --set "
        f"learning_rate={min(learning_rate / 10, usual):g}."
    )


def _extreme(data: Data) -> str:
    """Names a value that lies beyond all others; empty where there is none."""
    if not (data.space.continuous or isinstance(data.space, Table)):
        return ""
    for name, split in (("training", data.train), ("validation", data.validation)):
        x = split.x[:PIECE].double().flatten(1)
        size = x.abs().nan_to_num(nan=0.0)
        typical = size.median(dim=0).values.clamp(min=1e-30)
        beyond = (size / typical).amax(dim=1)
        row = int(beyond.argmax())
        if beyond[row] > _BEYOND:
            return f" (row {row + 1} of the {name} rows holds {size[row].max():.3g})"
    return ""
