"""Several processes that share each batch."""

__all__ = ["QuietDDP"]

import logging
import warnings

from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class QuietDDP(DDPStrategy):
    """Distributed data parallelism that leaves the screen to ptheta."""

    def setup_environment(self) -> None:
        # processes are started anew, so this has to be said in each
        for name in ("rank_zero", "distributed"):
            logging.getLogger(f"lightning_fabric.utilities.{name}").setLevel(logging.WARNING)
        super().setup_environment()

    def setup_module(self, module: nn.Module) -> DistributedDataParallel:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*broadcast_buffers")
            return super().setup_module(module)
