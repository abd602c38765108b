"""The contract of a recipe as checks that anyone can run on theirs.

>>> from ptheta.recipes.registry import build
>>> from ptheta.spaces import Binary
>>> from ptheta.testing import checks
>>> for check in checks(lambda: build("independent", Binary((3,))), Binary((3,))):
...     check.run()
"""

__all__ = ["Check", "bijection_checks", "checks", "example_rows"]

from ptheta.testing.bijections import bijection_checks
from ptheta.testing.checks import Check, checks
from ptheta.testing.examples import example_rows
