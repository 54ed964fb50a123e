"""Volumes of codes for the tests of segmentation, and what they are in one piece."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

from shiftjax.labelling._components import connected_components, drop_small


@st.composite
def tilings(draw, *, sizes=(40, 14, 8), least=1, times=2):
    """Codes `(time, *space)` from noise, from smooth noise (large winding regions), or of one code, and a tile."""
    ndim = draw(st.integers(1, 3))
    shape = (draw(st.integers(1, times)), *(draw(st.integers(1, sizes[ndim - 1])) for _ in range(ndim)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), [0] + [draw(st.sampled_from([0, 0.7, 1.5]))] * ndim)
    levels = np.quantile(smooth, np.linspace(0, 1, draw(st.integers(1, 4)) + 1)[1:-1])
    codes = np.digitize(smooth, levels) - draw(st.integers(0, 1))
    return codes.astype(np.int32), tuple(draw(st.integers(min(least, n), n)) for n in shape[1:])


def in_memory(codes, *, min_size=0):
    """The labels of the whole by the in-memory functions; ids run on through the time points, without gaps."""
    labels = drop_small(connected_components(codes, background=-1), min_size=min_size)
    out = np.zeros(codes.shape, np.uint64)
    count = 0
    for image, result in zip(labels, out, strict=True):
        ids, inverse = np.unique(image, return_inverse=True)
        number = np.cumsum(ids > 0) + count
        result[...] = np.where(ids > 0, number, 0)[inverse].reshape(image.shape)
        count += int((ids > 0).sum())
    return out


def spiral(n):
    """A path one pixel wide, with a gap of one, that winds into the middle of an n x n image."""
    image, at, step = np.full((n, n), -1, np.int32), np.zeros(2, int), np.array([0, 1])
    image[0, 0] = 0
    for length in [n - 1, *np.repeat(range(n - 1, 0, -2), 2)]:
        for _ in range(length):
            at = at + step
            image[tuple(at)] = 0
        step = np.array([step[1], -step[0]])
    return image


def u_shape():
    """Two arms that only meet in the last row of tiles, and a third of another code between them."""
    image = np.full((9, 9), -1, np.int32)
    image[:, 1] = image[:, 7] = image[8, 1:8] = 0
    image[:7, 4] = 1
    return image
