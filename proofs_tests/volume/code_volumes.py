"""Volumes of codes and their embeddings for the tests of segmentation, and what they are in one piece."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

import shiftjax as sj
from shiftjax.labelling import connected_components, drop_small
from shiftjax.volume import segment_volume

KEY = jax.random.key(0)
SAMPLES = 150  # everywhere alike, so that mean shift is compiled once
CODEBOOK = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], np.float32)


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


def plan_for(shape, tile):
    return sj.plan_tiles(lambda x: x, (1, *shape, 1), tile=tile)


def embedded(codes, *, seed=0, noise=0.3):
    """An embedding `(*shape, 2)` that has the given codes; background lies at the first code."""
    rng = np.random.default_rng(seed)
    return (CODEBOOK[codes.clip(0)] + rng.uniform(-noise, noise, (*codes.shape, 2))).astype(np.float32)


def segmented(codes, tile, target, *, source=None, **options):
    """Segments codes `(*space)` that are stored as an embedding, with the known codebook."""
    known: Any = {"axes": "zyx"[-codes.ndim :] + "c", "foreground": codes >= 0, "codebook": CODEBOOK, "key": KEY}
    embedding = embedded(codes) if source is None else source
    plan = plan_for(codes.shape, tile)
    return segment_volume(embedding, target, plan, bandwidth=1, progress=False, **{**known, **options})


def smooth_codes(shape, *, seed=0, codes=3):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.digitize(field, np.quantile(field, np.linspace(0.3, 1, codes + 1)[:-1])).astype(np.int32) - 1


def undisturbed(folder):
    """Codes, their tiles and their labels, from a run that nothing stopped."""
    codes = smooth_codes((20, 23))
    return codes, (6, 8), np.asarray(segmented(codes, (6, 8), folder / "undisturbed.zarr", min_size=3).labels)


def small_net(image):
    """Valid, period 2, two channels: a convolution, pooling, and an upsampling that tells the two phases apart."""
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 1, 2)), jnp.float32)
    y = jax.lax.conv_general_dilated(image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    pooled = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    parts = [pooled + phase for phase in range(2)]
    rows = jnp.stack(parts, 2).reshape(1, -1, pooled.shape[2], 2)
    return jnp.stack([rows, -rows], 3).reshape(1, rows.shape[1], -1, 2)
