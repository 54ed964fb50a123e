"""From pixels of equal code to instances: connected components on the host, in any dimension."""

from __future__ import annotations

import numpy as np

from shiftjax import _checks
from shiftjax._host import host, host_labels, with_batch
from shiftjax._typing import ArrayLike, Integer
from shiftjax.labelling._objects import objects
from shiftjax.labelling._regions import regions


def connected_components(
    codes: Integer[ArrayLike, "batch *space"], *, background: int = 0
) -> Integer[np.ndarray, "batch *space"]:
    """Labels the connected regions of equal code.

    Pixels that share a face (4 neighbours in 2-D, 6 in 3-D) and a code belong to one region. Two regions of one code
    that do not touch get two labels: a network of period p gives objects whole periods apart the same code, so that
    clusters alone do not tell instances apart.

    Args:
        codes: `(batch, *space)`, integers, say the cluster of each pixel; negative ones are allowed.
        background: the code of pixels that belong to no region.

    Returns:
        int32 labels `(batch, *space)`, 0 = background, in each image 1, 2, 3... by first pixel in raster order.

    Raises:
        ValueError: for codes that are not integers or have no batch axis.
    """
    background = _checks.integer("background", background, least=-(2**63), most=2**64 - 1)
    values = host("codes", codes)
    if not np.issubdtype(values.dtype, np.integer) or values.ndim < 2:
        _checks.fail("codes", "integers (batch, *space)", f"{values.dtype} of shape {values.shape}")
    with_batch("codes", values.shape)
    labels = np.zeros(values.shape, np.int32)
    for image, out in zip(values, labels, strict=True):
        out[...] = regions(image, background=background).label
    return labels


def drop_small(labels: Integer[ArrayLike, "batch *space"], *, min_size: int) -> Integer[np.ndarray, "batch *space"]:
    """Sets objects of fewer than `min_size` pixels to background; the others keep their labels.

    Args:
        labels: `(batch, *space)`, integers, 0 = background.
        min_size: pixels of the smallest object that stays.

    Returns:
        Labels `(batch, *space)` of the same type.

    Raises:
        ValueError: for labels that are not integers >= 0 or have no batch axis, or a negative `min_size`.
    """
    values = host_labels("labels", labels)
    with_batch("labels", values.shape)
    _checks.integer("min_size", min_size, least=0)
    number, area = objects(values)
    small = np.append(area < min_size, False)  # the last entry answers for background, whose number is -1
    return np.where(small[number].reshape(values.shape), np.zeros((), values.dtype), values)
