"""Fitting a recipe to data, and loading what was fitted."""

__all__ = ["Diverged", "Progress", "Run", "fit", "load", "resolve_device"]

from ptheta.fitting.run import Progress, Run
from ptheta.fitting.saved import load
from ptheta.fitting.start import fit
from ptheta.training.devices import resolve_device
from ptheta.training.guard import Diverged
