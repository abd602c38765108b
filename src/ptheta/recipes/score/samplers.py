"""Ways of drawing from a denoiser, by the names that recipes give them."""

__all__ = ["SAMPLERS", "AnySampler", "StepSampler"]

from collections.abc import Mapping
from typing import Literal

from ptheta.inference.denoising import ancestral, ddim, heun, multistep
from ptheta.inference.diffusing import Sampler
from ptheta.inference.reverse_sde import euler_maruyama, predictor_corrector

StepSampler = Literal["ancestral", "ddim", "heun", "multistep"]
"""Those of any path."""

AnySampler = Literal[StepSampler, "euler-maruyama", "predictor-corrector"]
"""Those of any path with data at every time."""

SAMPLERS: Mapping[str, Sampler] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "heun": heun,
    "multistep": multistep,
    "euler-maruyama": euler_maruyama,
    "predictor-corrector": predictor_corrector,
}
