"""Changes of type that keep what a pixel means: a number that does not fit is refused, never wrapped around."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, shown


def of_numbers(dtype: np.dtype) -> bool:
    """Whether a type is of numbers, or of booleans: NumPy's own, and bfloat16. Numbers of 4 bits have bytes of 8."""
    return dtype.kind in "biufc" or dtype.name == "bfloat16"


def holds(target: np.dtype, dtype: np.dtype) -> bool:
    """Whether `target` holds every value of `dtype`.

    A float type may round. One of float32's range holds all floats: a float64 beyond it is found when it occurs.
    """
    if np.can_cast(dtype, target, "safe"):
        return True
    if not jnp.issubdtype(target, jnp.floating):
        return False
    if np.issubdtype(dtype, np.integer):
        return float(jnp.finfo(target).max) >= float(np.iinfo(dtype).max)
    return jnp.issubdtype(dtype, jnp.floating) and bool(jnp.finfo(target).maxexp >= jnp.finfo(jnp.float32).maxexp)


def check_holds(target_dtype: str, output_dtype: str) -> None:
    """Refuses a target whose type cannot hold an output: integers that would wrap, or floats cut to integers.

    A narrower float type is taken; a number beyond its range stops the run.
    """
    target, output = np.dtype(target_dtype), np.dtype(output_dtype)
    narrower = jnp.issubdtype(target, jnp.floating) and jnp.issubdtype(output, jnp.floating)
    if not narrower and not holds(target, output):
        expected = f"a type that holds every {output_dtype} of the network's output"
        fail("dtype", expected, shown(target_dtype), "convert in `fn`")


def cast(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`image` in another type.

    Raises:
        OverflowError: a finite number is beyond the type's range.
    """
    with np.errstate(over="ignore"):  # looked for below, for all types alike
        converted = image.astype(dtype, copy=False)
    if converted is image:
        return image
    if jnp.issubdtype(dtype, jnp.floating):
        lost = np.isfinite(image) & ~np.isfinite(converted)
    elif jnp.issubdtype(dtype, jnp.integer) and not np.can_cast(image.dtype, dtype, "safe"):
        lost = converted != image
    else:
        return converted
    if lost.any():
        raise OverflowError(f"{dtype} does not hold {image[lost][0]}")
    return converted
