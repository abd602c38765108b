"""Output heads: from a network's parameters to a distribution over values of any kind."""

__all__ = ["Factorised", "Head", "on_reals"]

from ptheta.models.heads.head import Factorised, Head, on_reals
