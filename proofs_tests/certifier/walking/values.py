"""Steps of a walk that compute with values: pixel by pixel, over one axis, and of two arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from proofs_tests.certifier.walking.constants import DTYPES, as_type
from proofs_tests.certifier.walking.kinds import Options, View, ints, kind
from proofs_tests.certifier.walking.windows import weights

ANY: dict[str, Callable[[Any, int], Any]] = {  # of a number array and a number
    "scale and shift": lambda x, c: x * (2 * c + 1) + c,
    "times zero": lambda x, c: x * 0 + c,
    "rectify": lambda x, c: jax.nn.relu(x),
    "leak": lambda x, c: jnp.where(x >= 0, x, c - 5 * x),
    "negative": lambda x, c: -x,
    "magnitude": lambda x, c: lax.abs(x) if not jnp.issubdtype(x.dtype, jnp.unsignedinteger) else x,
    "sign": lambda x, c: lax.sign(x),
    "square": lambda x, c: lax.square(x),
    "cube": lambda x, c: lax.integer_pow(x, 3),
    "remainder": lambda x, c: lax.rem(x, jnp.asarray(c + 2).astype(x.dtype)),
    "modulo": lambda x, c: x % (c + 2),
    "floor divide": lambda x, c: x // (c + 2),
    "clamp": lambda x, c: lax.clamp(jnp.asarray(0).astype(x.dtype), x, jnp.asarray(9 * c).astype(x.dtype)),
    "less": lambda x, c: x < c,
    "equal": lambda x, c: x % 4 == c,
    "choose": lambda x, c: lax.select(x > c, x, jnp.full_like(x, c)),
    "not a number": lambda x, c: jnp.where(jnp.isnan(x), c, x),
}
FLOATING: dict[str, Callable[[Any, int], Any]] = {
    "floor": lambda x, c: jnp.floor(x * c),
    "round": lambda x, c: jnp.round(x),
    "tanh": lambda x, c: jnp.tanh(x),
    "exponential": lambda x, c: jnp.exp(-jnp.abs(x) / (c + 1)),
    "root": lambda x, c: jnp.sqrt(jnp.abs(x) + c),
    "logarithm": lambda x, c: jnp.log(x),
    "third": lambda x, c: x / (c + 3),
    "finite": lambda x, c: jnp.isfinite(1 / x),
    "cut": lambda x, c: lax.reduce_precision(x, 5, 4),
    "gelu": lambda x, c: jax.nn.gelu(x),
    "next": lambda x, c: lax.nextafter(x, jnp.full_like(x, c)),
    "bits": lambda x, c: _bits(x),
}
INTEGRAL: dict[str, Callable[[Any, int], Any]] = {
    "wrap": lambda x, c: x * jnp.asarray(2 * c + 91).astype(x.dtype) + jnp.asarray(101).astype(x.dtype),
    "shift": lambda x, c: lax.shift_right_arithmetic(x, jnp.full_like(x, c)),
    "population": lambda x, c: lax.population_count(x),
    "zeros": lambda x, c: lax.clz(x),
    "xor": lambda x, c: x ^ (c + 5),
    "invert": lambda x, c: ~x,
    "looked up": lambda x, c: jnp.asarray(np.arange(8, dtype=np.int32) * (2 * c + 1) % 11)[x & 7],
    "looked up clipped": lambda x, c: jnp.take(jnp.asarray(weights(c, (5, 2), np.int32)), x, 0, mode="clip"),
    "one hot": lambda x, c: jax.nn.one_hot(x & 3, 4, dtype=np.int32),
}
LOGICAL: dict[str, Callable[[Any, int], Any]] = {
    "not": lambda x, c: ~x,
    "number": lambda x, c: x.astype(np.int32) + c,
    "where": lambda x, c: jnp.where(x, np.float32(c) / 3, 2.5),
}


def _bits(x: Any) -> Any:
    # Which of the two zeros a sum of zeros gives depends on the order in which XLA takes it; numbers have one zero.
    x = jnp.where(x == 0, jnp.zeros_like(x), x)
    return lax.bitcast_convert_type(x, np.int32 if x.dtype == np.float32 else np.int16)


def pointwise(x: Any, *, by: str, c: int) -> Any:
    return (ANY | FLOATING | INTEGRAL | LOGICAL)[by](x, c)


@kind(pointwise, 4, keeps=True)
def _(v: View) -> Options | None:
    if v.complex:
        return None
    own = FLOATING if v.floating else INTEGRAL if v.integral else LOGICAL
    table = LOGICAL if v.boolean else ANY if v.chance(0.6) else own
    return {"by": v.one_of(list(table)), "c": v.integer(0, 4)}


def cast(x: Any, *, to: str) -> Any:
    if jnp.iscomplexobj(x):
        x = x.real if to != "bool" else x.imag
    if jnp.issubdtype(x.dtype, jnp.integer) and jnp.issubdtype(jnp.dtype(to), jnp.floating):
        x = x & 31  # exact in every type of floats
    return x > 0 if to == "bool" and x.dtype != bool else as_type(x, jnp.dtype(to))


@kind(cast, 2)
def _(v: View) -> Options:
    return {"to": v.one_of(DTYPES + ("int32",) * 3)}


def dense(x: Any, *, axis: int, out: int, seed: int, keep: bool) -> Any:
    """The channels multiplied by a matrix, put last or where they were."""
    x = ints(x)
    y = jnp.tensordot(x, jnp.asarray(weights(seed, (x.shape[axis], out), x.dtype)), ([axis], [0]))
    return jnp.moveaxis(y, -1, axis) if keep else y


@kind(dense, 1.5)
def _(v: View) -> Options | None:
    if v.complex:
        return None
    return {"axis": v.axis(0.05), "out": v.integer(1, 3), "seed": v.integer(0, 99), "keep": v.chance(0.8)}


def _attention(x: Any, k: int) -> Any:
    """All pairs along one axis."""
    x = jnp.moveaxis(ints(x), k, -1)
    return jnp.moveaxis(jnp.einsum("...ij,...j->...i", jnp.einsum("...i,...j->...ij", x, x), x), -1, k)


OVER: dict[str, Callable[[Any, int], Any]] = {  # of an array and an axis
    "sort": lambda x, k: lax.sort(x, dimension=k),
    "sort two": lambda x, k: lax.sort((x % 5 if x.dtype != bool else x, x), dimension=k, num_keys=1)[1],
    "sum": lambda x, k: ints(x).sum(k, keepdims=True),
    "mean": lambda x, k: ints(x).mean(k, keepdims=True),
    "largest": lambda x, k: x.max(k, keepdims=True),
    "less the largest": lambda x, k: ints(x) - ints(x).max(k, keepdims=True),
    "product": lambda x, k: ints(x).prod(k, keepdims=True),
    "place of the largest": lambda x, k: jnp.expand_dims(jnp.argmax(x, k), k),
    "at the largest": lambda x, k: jnp.take_along_axis(x, jnp.expand_dims(jnp.argmax(x, k), k), k),
    "in order": lambda x, k: jnp.take_along_axis(x, jnp.argsort(x, k), k),
    "read at the largest": lambda x, k: x * 1 + lax.dynamic_index_in_dim(x, jnp.argmax(x.ravel()[:1]), k),
    "top": lambda x, k: jnp.moveaxis(lax.top_k(jnp.moveaxis(ints(x), k, -1), 1)[0], -1, k),
    "places of the top": lambda x, k: jnp.moveaxis(lax.top_k(jnp.moveaxis(ints(x), k, -1), 1)[1], -1, k),
    "running sum": lambda x, k: jnp.cumsum(ints(x), k),
    "running largest": lambda x, k: lax.cummax(x, k),
    "running product": lambda x, k: lax.cumprod(ints(x), k),
    "associative": lambda x, k: lax.associative_scan(lambda a, b: a * 3 + b, ints(x), axis=k),
    "softmax": lambda x, k: jax.nn.softmax(ints(x).astype(np.float32), k),
    "any": lambda x, k: (x > 2).any(k, keepdims=True),
    "reduce": lambda x, k: lax.reduce(
        ints(x), np.asarray(1).astype(ints(x).dtype), lambda a, b: a * 3 + b * 0 + b, (k,)
    ),
    "attention": _attention,
    "spectrum": lambda x, k: jnp.abs(jnp.fft.fft(ints(x).astype(np.float32), axis=k)),
    "padded spread": lambda x, k: ints(x) + lax.slice_in_dim(ints(x), 0, 1, axis=k),
}


def over(x: Any, *, axis: int, by: str) -> Any:
    return OVER[by](x, axis)


@kind(over, 3.5)
def _(v: View) -> Options | None:
    return None if v.complex else {"axis": v.axis(0.3), "by": v.one_of(list(OVER))}


def joined(x: Any, y: Any, *, by: str, places: list[float]) -> Any:
    """Two arrays, cut to their common size at the start, in the middle or at the end of each axis."""
    if by != "where" and by != "equal":
        x, y = ints(x), ints(y)
    sizes = [min(n, m) for n, m in zip(x.shape, y.shape, strict=True)]
    x, y = (
        lax.slice(
            v,
            [int((n - m) * f) for n, m, f in zip(v.shape, sizes, places, strict=True)],
            [int((n - m) * f) + m for n, m, f in zip(v.shape, sizes, places, strict=True)],
        )
        for v in (x, y)
    )
    if by == "beside":
        return jnp.concatenate([x, y], -1)
    if by == "where":
        return (
            jnp.where(x > x.dtype.type(2), x, y) if x.dtype != bool else jnp.where(x, y, ~y if y.dtype == bool else y)
        )
    if by == "equal":
        return x == y
    if by == "stack":
        return jnp.stack([x, y], -1)
    if by == "dot":
        return jnp.einsum("...c,...c->...", x, y)[..., None]
    return {"add": jnp.add, "mul": jnp.multiply, "max": jnp.maximum, "sub": jnp.subtract}[by](x, y)


@kind(joined, 6, arrays=2)
def _(v: View, other: View) -> Options | None:
    if len(v.shape) != len(other.shape) or v.complex or other.complex:
        return None
    by = v.one_of(("add", "add", "mul", "max", "sub", "beside", "where", "equal", "stack", "dot"))
    return {"by": by, "places": [v.one_of((0.0, 0.5, 1.0)) if k in v.space else 0.0 for k in range(len(v.shape))]}
