"""Intensities from 0 to 1: percentiles of the whole image, measured once, so that all windows and tiles agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shiftjax.fitting._pictures import AXES, IN_MEMORY, Picture
from shiftjax.volume import normalize, open_source

LOW, HIGH = 1.0, 99.8  # percentiles that become 0 and 1


def scaled(picture: Picture, low: float, high: float) -> Picture:
    """The picture in float32, from 0 at one percentile to 1 at the other, per channel.

    Raises:
        ValueError: the percentiles coincide: an image without contrast.
    """
    if picture.nbytes > IN_MEMORY:
        fn = normalize(picture.source, low=low, high=high)
        read = picture.read
        return replace(picture, dtype=np.dtype("f4"), read=lambda slices: np.asarray(fn(read(slices))))
    pixels = scale_array(picture.read(picture.everything), low, high)
    return replace(picture, dtype=np.dtype("f4"), read=lambda slices: pixels[(slice(None), *slices)])


def scale_array(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """The same for an image `(1, *space, channel)` in memory."""
    source = open_source(image[0], axes=AXES[image.ndim - 2] + "c")
    return np.asarray(normalize(source, low=low, high=high)(image))
