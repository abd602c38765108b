"""Deep generative models behind one interface.

>>> import ptheta
>>> data = ptheta.load_data("moons")
>>> run = ptheta.fit(data, "realnvp", steps=100)
>>> run.model.sample(4).shape
torch.Size([4, 2])
>>> run.model.log_prob(data.test.x[:3]).shape
torch.Size([3])
"""

__all__ = [
    "Data",
    "PthetaError",
    "Run",
    "__version__",
    "build",
    "capabilities",
    "classify",
    "compare",
    "densities",
    "denoise",
    "density_kind",
    "describe",
    "draw",
    "evaluate",
    "extend",
    "fit",
    "impute",
    "load",
    "load_data",
    "load_rows",
    "recipe_names",
    "register",
    "save_samples",
    "seeded",
    "translate",
]

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptheta.data.dataset import Data
    from ptheta.data.export import save_samples
    from ptheta.data.load import load_data, load_rows
    from ptheta.density import densities, draw
    from ptheta.errors import PthetaError
    from ptheta.evaluation.compare import compare
    from ptheta.evaluation.evaluate import evaluate
    from ptheta.fitting import Run, fit, load
    from ptheta.protocols import capabilities, density_kind
    from ptheta.random import seeded
    from ptheta.recipes.registry import build, describe, register
    from ptheta.recipes.registry import names as recipe_names
    from ptheta.tasks.classify import classify
    from ptheta.tasks.denoise import denoise
    from ptheta.tasks.extend import extend
    from ptheta.tasks.impute import impute
    from ptheta.tasks.translate import translate

__version__ = version("ptheta")

# imported when asked for, so that `import ptheta` stays quick
_WHERE = {
    "Data": "ptheta.data.dataset",
    "PthetaError": "ptheta.errors",
    "Run": "ptheta.fitting",
    "build": "ptheta.recipes.registry",
    "capabilities": "ptheta.protocols",
    "classify": "ptheta.tasks.classify",
    "compare": "ptheta.evaluation.compare",
    "densities": "ptheta.density",
    "denoise": "ptheta.tasks.denoise",
    "density_kind": "ptheta.protocols",
    "describe": "ptheta.recipes.registry",
    "draw": "ptheta.density",
    "evaluate": "ptheta.evaluation.evaluate",
    "extend": "ptheta.tasks.extend",
    "fit": "ptheta.fitting",
    "impute": "ptheta.tasks.impute",
    "load": "ptheta.fitting",
    "load_data": "ptheta.data.load",
    "load_rows": "ptheta.data.load",
    "recipe_names": "ptheta.recipes.registry:names",
    "register": "ptheta.recipes.registry",
    "save_samples": "ptheta.data.export",
    "seeded": "ptheta.random",
    "translate": "ptheta.tasks.translate",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'ptheta' has no attribute '{name}'")
    module, _, attribute = _WHERE[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
