"""One sentence for bad input: what was expected, what was found, how to mend it."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

Bound = int | float | None
MOST = 2**62  # of an integer: sums and products of two stay numbers that NumPy and storage can index with
SHOWN = 80  # characters of a value in an error
TOLD = 300  # characters of somebody else's error


class Undivided(ValueError):
    """An image that has no proved tiles but itself, and is too large to be one tile unasked."""


def fail(name: str, expected: str, found: object, mend: str = "", kind: type[ValueError] = ValueError) -> NoReturn:
    """Raises the ValueError that every public boundary of the library raises."""
    text = found if isinstance(found, str) else shown(found)
    raise kind(f"`{name}`: expected {expected}, found {text}" + (f"; {mend}." if mend else "."))


def shown(value: object) -> str:
    """A value in an error: on one line and short; of an array its type and shape, never its numbers."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and isinstance(shape, tuple):
        return f"{dtype} of shape {shape}" if len(str(shape)) < SHOWN else f"{dtype} with {len(shape)} axes"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {len(value)} entries"
    if isinstance(value, np.dtype):
        return str(value)
    if type(value) in (list, tuple):
        return _listed(value)  # type: ignore[arg-type]
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of thousands of digits, or an object whose repr is broken
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _listed(values: Sequence[object]) -> str:
    """A list or tuple in an error; of those within it, the lengths only."""
    inner = [f"a list of {len(v)}" if isinstance(v, list | tuple) else shown(v) for v in values[:9]]
    items = ", ".join([*inner, "..."] if len(values) > 9 else inner)
    if isinstance(values, list):
        return f"[{items}]"
    return f"({items},)" if len(values) == 1 else f"({items})"


def room(name: str, shape: Sequence[int], itemsize: int, *, copies: int = 1) -> None:
    """Refuses what would not fit into this machine's memory, before anything of it is made.

    Args:
        name: of the argument that decides the size.
        shape: of the array.
        itemsize: bytes of a number.
        copies: arrays of this size that are needed at a time.
    """
    size = math.prod(map(int, shape)) * itemsize * copies
    if size > _memory():
        found = f"{shown(tuple(shape))}, which takes {size / 2**30:.3g} GiB" if size < 2**200 else shown(tuple(shape))
        fail(name, f"a size that fits into {_memory() / 2**30:.3g} GiB of memory", found)


@cache
def _memory() -> int:
    """Bytes of this machine's memory; where it does not say, no limit."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**62


def _of_torch(x: Any) -> str:
    """How to make an image of a tensor of PyTorch; of all else nothing."""
    of_torch = type(x).__module__.partition(".")[0] == "torch"
    return "give a NumPy array, `tensor.movedim(1, -1).numpy(force=True)`" if of_torch else ""


def images(name: str, x: Any, *, least: int = 3) -> None:
    """Refuses what is not an array of numbers, or a description of one, `(batch, *space, channel)`."""
    expected = "an array or a jax.ShapeDtypeStruct of numbers, (batch, *space, channel)"
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if not isinstance(shape, tuple) or dtype is None or len(shape) < least or 0 in shape:
        fail(name, expected, shown(x), _of_torch(x))
    if isinstance(x, np.ma.MaskedArray):
        fail(name, "an array without a mask, which would be dropped", "a masked one", "fill it: `.filled(0)`")
    try:
        known = np.dtype(dtype).kind == "b" or jnp.issubdtype(dtype, jnp.number)
    except TypeError:  # a type that NumPy does not have, such as that of random keys
        known = False
    if not known:
        fail(name, expected, shown(x), _of_torch(x))


def one_of(name: str, value: Any, known: Collection[Any]) -> None:
    """Refuses an unknown name and lists the known ones."""
    plain = value is None or (isinstance(value, str | int | np.integer) and not isinstance(value, bool))
    if not plain or value not in known:
        fail(name, "one of " + ", ".join(repr(k) for k in known), shown(value))


def switch(name: str, value: Any) -> bool:
    """Refuses what is neither True nor False."""
    if not isinstance(value, bool):
        fail(name, "True or False", shown(value))
    return value


def function(name: str, value: Any) -> None:
    """Refuses what cannot be called."""
    if not callable(value):
        fail(name, "a function of one array", shown(value))


def told(error: BaseException) -> str:
    """Somebody else's error on one line, and short: the kind, and what it says."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= TOLD else f"{text[:TOLD]}..."


def integer(name: str, value: Any, *, least: int, most: int = MOST) -> int:
    """`value` as an int of at least `least` and at most `most`."""
    expected = f"an integer >= {least}"
    try:
        number = operator.index(value)
    except TypeError:
        fail(name, expected, shown(value))
    if number < least or isinstance(value, bool):  # Python counts True as the integer 1
        fail(name, expected, shown(value))
    if number > most:
        fail(name, f"an integer <= {most}", shown(value))
    return number


UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def nbytes(name: str, value: Any) -> int:
    """`value` in bytes: a number of at least 1, or a text like "2GiB", "500M" or "123456"; units are powers of 1024."""
    if not isinstance(value, str):
        return integer(name, value, least=1)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", value, re.IGNORECASE)
    size = float(found[1]) * UNITS[found[2].upper()] if found else 0.0
    if not 1 <= size < 2**62:
        fail(name, "bytes, or a size like '2GiB' or '500M'", shown(value))
    return int(size)


def number(name: str, value: Any, *, above: Bound = None, least: Bound = None, most: Bound = None) -> float:
    """`value` as a finite float above `above`, at least `least` and at most `most`."""
    bounds = [f"{sign} {bound}" for sign, bound in ((">", above), (">=", least), ("<=", most)) if bound is not None]
    expected = f"a finite number {' and '.join(bounds)}".rstrip()
    # float() takes some of these too
    if isinstance(value, str | bytes | bool | np.bool_ | Sequence) or getattr(value, "shape", ()) != ():
        fail(name, expected, shown(value))
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        fail(name, expected, shown(value))
    too_small = (above is not None and result <= above) or (least is not None and result < least)
    if not np.isfinite(result) or too_small or (most is not None and result > most):
        fail(name, expected, result)
    return result


def length(name: str, value: Any) -> float:
    """`value` as a float above 0 whose square float32 holds, neither 0 nor infinite: a distance, computed with."""
    result = number(name, value, above=0.0)
    if not 1e-18 <= result <= 1e18:
        fail(name, "a length from 1e-18 to 1e18, whose square float32 holds", result)
    return result


def per_axis(name: str, value: int | Sequence[int] | np.ndarray, ndim: int, *, least: int = 1) -> tuple[int, ...]:
    """One integer per spatial axis; a single integer counts for all of them."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence):
        if isinstance(value, str | bytes) or len(value) != ndim:
            fail(name, f"one integer or {ndim} of them, one per spatial axis", shown(value))
        return tuple(integer(name, v, least=least) for v in value)
    return (integer(name, value, least=least),) * ndim


def array(name: str, x: Any) -> Any:
    """`x` if it is an array of numbers, known or traced; numbers in lists as a NumPy array."""
    if isinstance(x, np.ma.MaskedArray):
        fail(name, "an array without a mask, which would be dropped", "a masked one", "fill it: `.filled(0)`")
    if isinstance(x, jax.ShapeDtypeStruct):
        fail(name, "an array of numbers", "a jax.ShapeDtypeStruct, which has none")
    try:
        found = x if hasattr(x, "shape") and hasattr(x, "dtype") else np.asarray(x)
        of_numbers = jnp.issubdtype(found.dtype, jnp.number) or found.dtype == bool
    except Exception:  # lists of unequal lengths, objects that refuse to become arrays, types that NumPy does not know
        fail(name, "an array of numbers", shown(x), _of_torch(x))
    if not of_numbers:
        fail(name, "an array of numbers", shown(x), _of_torch(x))
    return found


def floating(name: str, x: Any) -> None:
    """Refuses an array that is not floating point."""
    dtype = array(name, x).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"`{name}`: expected floating point values, found {dtype}.")


def integers(name: str, x: Any) -> None:
    """Refuses an array that is not of integers."""
    dtype = array(name, x).dtype  # not JAX's type of it, which has 32 bits at most
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"`{name}`: expected integers, found {dtype}; convert them with `.astype(numpy.int32)`.")


def concrete(x: Any) -> np.ndarray | None:
    """`x` on the host, or None while JAX traces it and its values are unknown."""
    try:
        return np.asarray(x)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        return None


def type_of_numbers(name: str, value: Any) -> np.dtype:
    """`value` as a type of numbers; None is float64, as for NumPy."""
    # NumPy would take the type of an array, and names such as "\0".
    odd = isinstance(value, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)
    odd |= isinstance(value, str) and not value.lstrip("<>=|").isidentifier()
    try:
        found = jnp.dtype(value)
        known = not odd and (found.kind == "b" or jnp.issubdtype(found, jnp.number))
    except Exception:  # whatever NumPy makes of what is none
        known = False
    if not known:
        fail(name, "a dtype such as jax.numpy.float32", shown(value))
    return found


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
    of_arrays = isinstance(key, jax.Array | np.ndarray)
    typed = of_arrays and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    legacy = of_arrays and key.dtype == jnp.uint32 and key.shape in ((2,), (4,))
    if not (legacy or (typed and key.ndim == 0)):
        fail("key", "one random key", shown(key), "make one with jax.random.key(seed)")
