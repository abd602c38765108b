r"""The mu-law: 256 levels of sound, finer where it is quiet.

.. math:: f(x) = \mathrm{sign}(x) \, \frac{\ln(1 + \mu |x|)}{\ln(1 + \mu)}, \quad \mu = 255
"""

__all__ = ["LEVELS", "compressed", "expanded"]

import math

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
_MU = LEVELS - 1


def compressed(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The levels of samples of sound.

    References:
        WaveNet: A Generative Model for Raw Audio (van den Oord et al., 2016),
        https://arxiv.org/abs/1609.03499, section 2.2

    Arguments:
        samples: The samples, from -1 to 1; what lies beyond is cut off.

    Returns:
        The levels, from 0 to 255, shaped as the samples.

    Example:
        >>> compressed(np.array([-1.0, -0.01, 0.0, 0.01, 1.0], dtype=np.float32)).tolist()
        [0, 98, 128, 157, 255]
    """
    size = np.log1p(_MU * np.abs(samples.clip(-1, 1))) / math.log1p(_MU)
    return np.floor((np.copysign(size, samples) + 1) / 2 * _MU + 0.5).astype(np.uint8)


def expanded(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The samples that levels stand for, from -1 to 1.

    Arguments:
        levels: The levels, from 0 to 255.
    """
    y = 2 * levels.astype(np.float64) / _MU - 1
    return np.copysign(np.expm1(np.abs(y) * math.log1p(_MU)) / _MU, y).astype(np.float32)
