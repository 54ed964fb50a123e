"""One sentence for bad input: what was expected, what was found, how to mend it."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

Bound = int | float | None


def fail(name: str, expected: str, found: object, mend: str = "") -> NoReturn:
    """Raises the ValueError that every public boundary of the library raises."""
    raise ValueError(f"`{name}`: expected {expected}, found {found}" + (f"; {mend}." if mend else "."))


def one_of(name: str, value: Any, known: Collection[Any]) -> None:
    """Refuses an unknown name and lists the known ones."""
    if value not in known:
        fail(name, "one of " + ", ".join(repr(k) for k in known), repr(value))


def integer(name: str, value: Any, *, least: int) -> int:
    """`value` as an int of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        fail(name, f"an integer >= {least}", repr(value))
    if number < least or isinstance(value, bool):  # Python counts True as the integer 1
        fail(name, f"an integer >= {least}", number)
    return number


def number(name: str, value: Any, *, above: Bound = None, least: Bound = None, most: Bound = None) -> float:
    """`value` as a finite float above `above`, at least `least` and at most `most`."""
    bounds = [f"{sign} {bound}" for sign, bound in ((">", above), (">=", least), ("<=", most)) if bound is not None]
    expected = "a finite number " + " and ".join(bounds)
    try:
        result = float(value)
    except (TypeError, ValueError):
        fail(name, expected, repr(value))
    too_small = (above is not None and result <= above) or (least is not None and result < least)
    if not np.isfinite(result) or too_small or (most is not None and result > most):
        fail(name, expected, result)
    return result


def per_axis(name: str, value: int | Sequence[int] | np.ndarray, ndim: int, *, least: int = 1) -> tuple[int, ...]:
    """One integer per spatial axis; a single integer counts for all of them."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence):
        if len(value) != ndim:
            fail(name, f"one integer or {ndim} of them, one per spatial axis", value)
        return tuple(integer(name, v, least=least) for v in value)
    return (integer(name, value, least=least),) * ndim


def floating(name: str, x: Any) -> None:
    """Refuses an array that is not floating point."""
    dtype = jnp.result_type(x)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"`{name}`: expected floating point values, found {dtype}.")


def integers(name: str, x: Any) -> None:
    """Refuses an array that is not of integers."""
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype  # not JAX's type of it, which has 32 bits at most
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"`{name}`: expected integers, found {dtype}; convert them with `.astype(numpy.int32)`.")


def concrete(x: Any) -> np.ndarray | None:
    """`x` on the host, or None while JAX traces it and its values are unknown."""
    try:
        return np.asarray(x)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        return None


def finite(name: str, x: Any) -> None:
    """Refuses NaN and infinity; under jit, where values cannot be checked, it accepts everything."""
    values = concrete(x)
    if values is None or not jnp.issubdtype(values.dtype, jnp.inexact):  # bfloat16 is inexact to JAX, not to NumPy
        return
    bad = int(np.size(values) - np.isfinite(values).sum())
    if bad:
        fail(name, "finite values", f"{bad} of {values.size} that are NaN or infinite", "clean the image first")


def single_key(key: Any) -> None:
    """Refuses anything but one JAX random key, of the new or the old style."""
    typed = hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    legacy = hasattr(key, "dtype") and key.dtype == jnp.uint32 and key.ndim == 1
    if not (legacy or (typed and key.ndim == 0)):
        found = f"{key.dtype} of shape {key.shape}" if hasattr(key, "dtype") else repr(key)
        fail("key", "one random key", found, "make one with jax.random.key(seed)")
