"""Which object each pixel belongs to, counted through a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shiftjax._typing import Int, Integer


class Objects(NamedTuple):
    """The objects of a batch of labels, numbered from 0 image after image, within an image by label.

    Attributes:
        number: per pixel, flat in raster order: the number of its object, -1 on background.
        area: per object: its pixels.
    """

    number: Int[np.ndarray, " pixel"]
    area: Int[np.ndarray, " object"]


def objects(labels: Integer[np.ndarray, "batch *space"]) -> Objects:
    """Numbers the objects of a batch; equal labels in different images are different objects.

    Args:
        labels: `(batch, *space)`, integers, 0 = background.

    Returns:
        The object of every pixel `(pixel,)`, and the area of every object `(object,)` in pixels.
    """
    # Begun with empty arrays, so that a batch without images has objects of the right type: none.
    number, area, count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for image in labels:
        ids, inverse, pixels = np.unique(image, return_inverse=True, return_counts=True)
        numbers = np.where(ids > 0, count + np.cumsum(ids > 0) - 1, -1)
        number.append(numbers[inverse.ravel()])
        area.append(pixels[ids > 0])
        count += len(area[-1])
    return Objects(np.concatenate(number), np.concatenate(area))
