"""Outputs compared up to rounding. A test can find a violation; only the certificate can exclude one.

Integer functions are compared bit for bit. For floating point a violation is a difference of more than `ROUNDING` units
in the last place of the largest output: on the CPU, moving an image moves a U-Net's output to within 10 of them, and
half a period of a freshly initialised one, the smallest violation known, differs by 400.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail
from shiftjax._typing import PRNGKeyArray, Shaped

ROUNDING = 128
ONE, TAKE = "a function that returns one array", "give one of its outputs, `lambda x: fn(x)[0]`"

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
            fail("fn", ONE, f"one that returns a {type(output).__name__}", TAKE)
        return np.asarray(output)

    return run


def random_image(key: PRNGKeyArray | None, shape: Sequence[int], dtype: Any) -> Shaped[np.ndarray, "*shape"]:
    """Standard normal, integers of two digits, or truth values; drawn on the host.

    Of either sign where the type has one: a network that begins with a ReLU of the negative would be constant.
    """
    seed = 0 if key is None else np.asarray(jax.random.key_data(key), np.uint32)
    rng = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.bool_):
        return rng.integers(0, 2, tuple(shape)).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(-99 if np.issubdtype(dtype, np.signedinteger) else 0, 100, tuple(shape)).astype(dtype)
    image = rng.normal(size=tuple(shape))
    if np.issubdtype(dtype, np.complexfloating):
        image = image + 1j * rng.normal(size=tuple(shape))
    return image.astype(dtype)


def tolerance(expected: Shaped[np.ndarray, "..."]) -> float:
    """The largest difference that may be rounding. Values that are not finite say nothing of the size of the others."""
    if not is_rounded(expected.dtype):
        return 0.0
    sizes = np.abs(wide(expected))
    largest = float(sizes.max(initial=0.0, where=np.isfinite(sizes)))
    return ROUNDING * float(jnp.finfo(expected.dtype).eps) * largest


def is_rounded(dtype: Any) -> bool:
    """Whether numbers of this type are floats, or made of floats."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def wide(numbers: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """The same numbers in double precision, complex ones with both parts."""
    return numbers.astype(np.complex128 if np.iscomplexobj(numbers) else np.float64)


def differ(
    output: Shaped[np.ndarray, "*shape"], expected: Shaped[np.ndarray, "*shape"], within: float
) -> Shaped[np.ndarray, "*shape"]:
    """Where the arrays differ by more than this. Infinity equals itself, and NaN nothing."""
    unequal = np.asarray(output != expected)
    if is_rounded(expected.dtype):
        with np.errstate(invalid="ignore"):
            gap = np.abs(wide(output) - wide(expected))
        unequal &= ~(gap <= within)
    return unequal


def first_difference(
    output: Shaped[np.ndarray, "*shape"], expected: Shaped[np.ndarray, "*shape"]
) -> tuple[int, ...] | None:
    """The first index at which the arrays differ by more than rounding, or None."""
    different = np.argwhere(differ(output, expected, tolerance(expected)))
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
