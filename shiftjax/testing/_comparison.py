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

from shiftjax._checks import fail
from shiftjax._typing import PRNGKeyArray, Shaped

ROUNDING = 128
ONE, MEND = "one output, an array", "take them one by one: `lambda x: fn(x)[0]`"

Run = Callable[[np.ndarray], np.ndarray]


def on_host(fn: Callable[[Any], Any]) -> Run:
    """`fn` on host arrays, compiled per shape.

    Raises:
        ValueError: when it runs, a function of several outputs.
    """
    compiled = jax.jit(fn)

    def run(image: np.ndarray) -> np.ndarray:
        output = compiled(image)
        if not isinstance(output, jax.Array):
            fail("fn", ONE, f"a {type(output).__name__}", MEND)
        return np.asarray(output)

    return run


def random_image(key: PRNGKeyArray | None, shape: Sequence[int], dtype: Any) -> Shaped[np.ndarray, "*shape"]:
    """Standard normal, integers of two digits, or booleans; drawn on the host.

    Of either sign where the type has one: a network that begins with a ReLU of the negative would be constant.
    """
    seed = 0 if key is None else np.asarray(jax.random.key_data(key), np.uint32)
    rng = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(-99 if np.issubdtype(dtype, np.signedinteger) else 0, 100, tuple(shape)).astype(dtype)
    if np.dtype(dtype) == bool:  # as a type of numbers, all of them would be true
        return rng.random(tuple(shape)) < 0.5
    return rng.normal(size=tuple(shape)).astype(dtype)


def tolerance(expected: Shaped[np.ndarray, "..."]) -> float:
    """The largest difference that may be rounding."""
    if not np.issubdtype(expected.dtype, np.inexact) and expected.dtype.kind != "V":  # bfloat16 is of kind V
        return 0.0
    size = np.abs(expected.astype(_wide(expected)))
    largest = float(size.max(initial=0.0, where=np.isfinite(size)))  # an infinity would excuse any difference
    return ROUNDING * float(jax.numpy.finfo(expected.dtype).eps) * largest


def first_difference(
    output: Shaped[np.ndarray, "*shape"], expected: Shaped[np.ndarray, "*shape"], *, rounding: float | None = None
) -> tuple[int, ...] | None:
    """The first index at which the arrays differ by more than rounding, or None.

    Args:
        output: an array.
        expected: another one.
        rounding: the largest difference that may be; by default the `tolerance` of what is expected.
    """
    most = tolerance(expected) if rounding is None else rounding
    different = output != expected  # of integers of 64 bits, too; true for NaN; an infinity equals itself
    if most:
        with np.errstate(invalid="ignore"):  # infinity less infinity
            gap = np.abs(output.astype(_wide(output)) - expected.astype(_wide(expected)))
        different &= ~(gap <= most)
    found = np.argwhere(different)
    return tuple(int(i) for i in found[0]) if len(found) else None


def _wide(values: Shaped[np.ndarray, "..."]) -> type:
    """A type that holds the values and their differences."""
    return np.complex128 if np.iscomplexobj(values) else np.float64


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
