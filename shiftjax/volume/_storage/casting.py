"""Changes of type that keep what a pixel means: a number that does not fit is refused, never wrapped around."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail


def holds(wanted: np.dtype, found: np.dtype) -> bool:
    """Whether a type holds every value of another; a float type may round, and one of float32's range holds floats."""
    if np.can_cast(found, wanted, "safe"):
        return True
    if not jnp.issubdtype(wanted, jnp.floating):
        return False
    if np.issubdtype(found, np.integer):
        return float(jnp.finfo(wanted).max) >= float(np.iinfo(found).max)
    return jnp.issubdtype(found, jnp.floating) and bool(jnp.finfo(wanted).maxexp >= jnp.finfo(jnp.float32).maxexp)


def check_target(dtype: str, output: str) -> None:
    """Refuses a target whose type cannot hold an output: integers that would wrap, or floats cut to integers.

    A narrower float type is taken; a number beyond its range stops the run.
    """
    wanted, found = np.dtype(dtype), np.dtype(output)
    narrower = jnp.issubdtype(wanted, jnp.floating) and jnp.issubdtype(found, jnp.floating)
    if not narrower and not holds(wanted, found):
        fail("dtype", f"a type that holds every {output} of the network's output", repr(dtype), "convert in `fn`")


def cast(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`image` in another type.

    Raises:
        OverflowError: a finite number is beyond the type's range.
    """
    with np.errstate(over="ignore"):  # found below, for all types alike
        made = image.astype(dtype, copy=False)
    if made is not image and jnp.issubdtype(dtype, jnp.floating):
        lost = np.isfinite(image) & ~np.isfinite(made)
        if lost.any():
            raise OverflowError(f"{dtype} does not hold {image[lost][0]}")
    elif jnp.issubdtype(dtype, jnp.integer) and not np.can_cast(image.dtype, dtype, "safe"):
        lost = made != image
        if lost.any():
            raise OverflowError(f"{dtype} does not hold {image[lost][0]}")
    return made
