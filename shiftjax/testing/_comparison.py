"""Does arithmetic contradict a claim about a function? It can show a violation; that none exists only a proof can.

Integer functions are compared bit for bit. For floating point a violation is a difference of more than `ROUNDING` units
in the last place of the largest output: on the CPU, moving an image moves a U-Net's output to within 10 of them, and
half a period of a freshly initialised one, the smallest violation known, differs by 400.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from shiftjax._typing import PRNGKeyArray, Shaped

ROUNDING = 128

Run = Callable[[np.ndarray], np.ndarray]


def runner(fn: Callable[[Any], Any]) -> Run:
    """`fn` on host arrays, compiled per shape."""
    compiled = jax.jit(fn)
    return lambda image: np.asarray(compiled(image))


def random_image(key: PRNGKeyArray | None, shape: Sequence[int], dtype: Any) -> Shaped[np.ndarray, "*shape"]:
    """Standard normal, or integers of two digits; drawn on the host."""
    seed = 0 if key is None else np.asarray(jax.random.key_data(key), np.uint32)
    rng = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 100, tuple(shape)).astype(dtype)
    return rng.normal(size=tuple(shape)).astype(dtype)


def tolerance(wanted: Shaped[np.ndarray, "..."]) -> float:
    """The largest difference that may be rounding."""
    if not np.issubdtype(wanted.dtype, np.inexact) and wanted.dtype.kind != "V":  # bfloat16 is of kind V
        return 0.0
    largest = float(np.abs(wanted.astype(np.float64)).max(initial=0.0))
    return ROUNDING * float(jax.numpy.finfo(wanted.dtype).eps) * largest


def differing(found: Shaped[np.ndarray, "*shape"], wanted: Shaped[np.ndarray, "*shape"]) -> tuple[int, ...] | None:
    """The first index at which the arrays differ by more than rounding, or None."""
    gap = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    bad = np.argwhere(~(gap <= tolerance(wanted)))
    return tuple(int(i) for i in bad[0]) if len(bad) else None


def overlap(
    here: Shaped[np.ndarray, "..."], there: Shaped[np.ndarray, "..."], shift: Sequence[int], axes: Sequence[int]
) -> tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, "..."], tuple[int, ...]]:
    """What an output and that of the image moved by `shift` output pixels have in common, and where it begins."""
    a, b = [slice(None)] * here.ndim, [slice(None)] * here.ndim
    begin = [0] * here.ndim
    for axis, s in zip(axes, shift, strict=True):
        n = here.shape[axis]
        a[axis], b[axis] = slice(max(0, -s), n - max(0, s)), slice(max(0, s), n - max(0, -s))
        begin[axis] = max(0, -s)
    return here[tuple(a)], there[tuple(b)], tuple(begin)


def moved(
    image: Shaped[np.ndarray, "..."], start: Sequence[int], size: Sequence[int], axes: Sequence[int]
) -> Shaped[np.ndarray, "..."]:
    """A window of a larger image."""
    index = [slice(None)] * image.ndim
    for axis, a, n in zip(axes, start, size, strict=True):
        index[axis] = slice(a, a + n)
    return image[tuple(index)]
