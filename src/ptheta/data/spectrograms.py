"""Spectrograms of examples of sound, as images."""

from __future__ import annotations

__all__ = ["sound_grid", "spectrograms"]

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptheta.data.images import image_grid
from ptheta.data.mu_law import expanded
from ptheta.spaces import Discrete

if TYPE_CHECKING:
    from PIL.Image import Image

_SEGMENT = 128  # samples
_COLUMNS = 96  # at most about so many in a picture
_LOUDEST, _QUIETEST = -15.0, -85.0  # decibels of full scale


def spectrograms(x: Tensor) -> NDArray[np.uint8]:
    """Colours of how loud each frequency is at each time, on one scale for all sounds.

    Arguments:
        x: The mu-law levels, with shape (n, samples).

    Returns:
        Colours, with shape (n, 3, frequencies, times), the highest frequency on top.
    """
    from matplotlib import colormaps
    from scipy.signal import spectrogram

    sounds = expanded(x.detach().cpu().numpy().astype(np.uint8))
    segment = min(_SEGMENT, sounds.shape[1])
    hop = min(segment, max(1, segment // 8, sounds.shape[1] // _COLUMNS))
    power = spectrogram(
        sounds, nperseg=segment, noverlap=segment - hop, scaling="spectrum", detrend=False
    )[2]
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    share = ((decibels - _QUIETEST) / (_LOUDEST - _QUIETEST)).clip(0, 1)
    colours = np.asarray(colormaps["magma"](share, bytes=True))[..., :3]  # (n, F, T, 3)
    return colours[:, ::-1].transpose(0, 3, 1, 2).copy()


def sound_grid(x: Tensor, columns: int = 8) -> Image:
    """The spectrograms of examples as one image, row by row.

    Arguments:
        x: The mu-law levels, with shape (n, samples).
        columns: The number of examples in a row.
    """
    colours = torch.from_numpy(spectrograms(x))
    return image_grid(colours, Discrete(tuple(colours.shape[1:]), 256, layout="image"), columns)
