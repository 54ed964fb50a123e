"""Outputs compared up to rounding. A test can find a violation; only the certificate can exclude one.

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


def on_host(fn: Callable[[Any], Any]) -> Run:
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


def tolerance(expected: Shaped[np.ndarray, "..."]) -> float:
    """The largest difference that may be rounding."""
    if not np.issubdtype(expected.dtype, np.inexact) and expected.dtype.kind != "V":  # bfloat16 is of kind V
        return 0.0
    largest = float(np.abs(expected.astype(np.float64)).max(initial=0.0))
    return ROUNDING * float(jax.numpy.finfo(expected.dtype).eps) * largest


def first_difference(
    output: Shaped[np.ndarray, "*shape"], expected: Shaped[np.ndarray, "*shape"]
) -> tuple[int, ...] | None:
    """The first index at which the arrays differ by more than rounding, or None."""
    gap = np.abs(output.astype(np.float64) - expected.astype(np.float64))
    different = np.argwhere(~(gap <= tolerance(expected)))  # true for NaN
    return tuple(int(i) for i in different[0]) if len(different) else None


def overlap(
    output: Shaped[np.ndarray, "batch *space channel"],
    shifted: Shaped[np.ndarray, "batch *space channel"],
    shift: Sequence[int],
) -> tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, "..."], tuple[int, ...]]:
    """The part that an output and that of the image moved by `shift` have in common, in both, and its first pixel.

    The shift is in output pixels per axis: pixel i of the output is pixel i + shift of the shifted one.
    """
    space = output.shape[1:-1]
    in_output = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, space, strict=True))
    in_shifted = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shift, space, strict=True))
    begin = (0, *(s.start for s in in_output), 0)
    return output[(slice(None), *in_output)], shifted[(slice(None), *in_shifted)], begin
