"""Steps of a walk with values that do not depend on the image: computed constants, matrices, parameters."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from proofs_tests.certifier.walking.constants import as_type, number, recipe, vector
from proofs_tests.certifier.walking.kinds import Options, View, ints, kind

ALIKE: tuple[str, ...] = ("there and back", "twice", "absorbed", "subnormal", "tiny squared", "uniform")
ALIKE += ("flushed", "cut alike", "residue", "half residue", "table", "closed over")


def with_constant(x: Any, *, axes: list[int], made: Options, by: str) -> Any:
    """Joined with a constant that is computed inside the program and laid along one axis, or along two."""
    shape = [1] * x.ndim
    x = ints(x)
    for k in axes:
        shape[k] = x.shape[k]
    dtype = np.bool_ if by in ("where", "mask") else x.dtype
    constant = jnp.ones((), x.dtype)
    parts = [
        vector(x.shape[k], made, dtype).reshape([x.shape[k] if j == k else 1 for j in range(x.ndim)]) for k in axes
    ]
    constant = parts[0] if len(parts) == 1 else parts[0] ^ parts[1] if dtype == np.bool_ else parts[0] + parts[1]
    if by == "where":
        return jnp.where(constant, x, x * 3 + 1)
    if by == "mask":
        return jnp.where(constant, x, 0)
    if by == "rotate":
        return x + jnp.broadcast_to(constant, x.shape) * 0
    return {"add": lax.add, "mul": lax.mul, "max": lax.max, "sub": lax.sub}[by](*jnp.broadcast_arrays(x, constant))


@kind(with_constant, 5, keeps=True)
def _(v: View) -> Options | None:
    if v.complex:
        return None
    axes = sorted({v.axis(0.85) for _ in range(1 if v.chance(0.85) else 2)})
    made = recipe(v.rng)
    if v.chance(0.6):  # values that come out alike at every index, or nearly so, or return
        made["base"] = v.one_of(ALIKE)
    return {
        "axes": axes,
        "made": made,
        "by": v.one_of(("add", "mul", "max", "sub", "where", "where", "mask", "rotate")),
    }


def with_number(x: Any, *, made: Options, by: str) -> Any:
    x = ints(x)
    c = number(made, x.dtype)
    return {"add": x + c, "mul": x * c, "max": jnp.maximum(x, c), "less": x < c}[by]


@kind(with_number, 1, keeps=True)
def _(v: View) -> Options | None:
    return None if v.complex else {"made": recipe(v.rng), "by": v.one_of(("add", "mul", "max", "less"))}


def matrix(n: int, m: int, made: Options) -> Any:
    """A banded matrix (n, m): the sum of diagonals `row - step * column = offset`, perhaps with one entry changed."""
    row, column = jnp.arange(n)[:, None], jnp.arange(m)[None]
    dtype = jnp.dtype(made["dtype"])
    total = jnp.zeros((n, m), dtype)
    for offset, weight in made["bands"]:
        weight = weight + made["large"] + (column * column % 5 if made["varying"] else 0)
        where = row * made["rows"] - made["step"] * column == offset
        value = jnp.asarray(weight).astype(dtype) / made["over"] if jnp.issubdtype(dtype, jnp.inexact) else weight
        total = jnp.where(where, jnp.asarray(value).astype(dtype), total)
    if made["changed"] is not None:
        i, j, value = made["changed"]
        total = total.at[i % n, j % m].set(jnp.asarray(value).astype(dtype))
    return total * np.complex64(1 + 2j * made["turn"]) if dtype == np.complex64 else total


def product(x: Any, *, axis: int, made: Options, how: str) -> Any:
    """Multiplied along one axis by a matrix that the program computes."""
    x = ints(x)
    n = x.shape[axis]
    m = max(1, (n * made["rows"] - made["lost"]) // made["step"])
    weight = matrix(n, m, made)
    if how == "left":
        return jnp.moveaxis(jnp.tensordot(weight.T, x, ([1], [axis])), 0, axis)
    if how == "own":
        y = jnp.tensordot(x, weight, ([axis], [0]))
    else:
        y = lax.dot_general(x, weight, (((axis,), (0,)), ((), ())), preferred_element_type=np.float32)
    return jnp.moveaxis(y, -1, axis)


@kind(product, 2.5)
def _(v: View) -> Options | None:
    if v.complex:
        return None
    rows, step = v.one_of(((1, 1), (1, 1), (1, 2), (2, 1), (3, 2), (2, 3)))
    dtype = v.one_of(("int32", "int32", "float32", "float32", "bfloat16", "bool", "complex64"))
    made: Options = {
        "rows": rows,
        "step": step,
        "lost": v.integer(0, 3),
        "dtype": dtype,
        "bands": [[v.integer(-2, 3), v.integer(1, 5)] for _ in range(v.integer(1, 4))],
        "over": v.one_of((1, 1, 3, 8)),
        "changed": [v.integer(0, 9), v.integer(0, 9), v.integer(0, 3)] if v.chance(0.1) else None,
        "turn": v.one_of((0, 1)),
        "large": 10**6 if dtype == "int32" and v.chance(0.2) else 0,
        "varying": v.chance(0.1),
    }
    return {"axis": v.axis(0.9), "made": made, "how": v.one_of(("own", "own", "left", "float"))}


def with_parameter(x: Any, p: Any, *, by: str, axis: int, shape: list[int]) -> Any:
    """Joined with a parameter, whose value a proof does not know."""
    x = ints(x)
    p = as_type(p, x.dtype)
    if by == "dense":
        return jnp.moveaxis(jnp.tensordot(x, p, ([axis], [0])), -1, axis)
    if by == "branch":
        return lax.cond(p[0] > 2, lambda v: v * 3, lambda v: v + p[0], x)
    if by == "start":
        return lax.dynamic_slice_in_dim(x, p[0].astype(np.int32), max(1, x.shape[axis] - 1), axis)
    if by == "turns":
        return lax.while_loop(
            lambda s: s[0] < p[0].astype(np.int32), lambda s: (s[0] + 1, s[1] * 3), (jnp.int32(0), x)
        )[1]
    if by == "tiled":
        p = jnp.tile(p, -(-x.shape[axis] // len(p)))[: x.shape[axis]]
    p = p.reshape([-1 if k == axis else 1 for k in range(x.ndim)])
    return {"bias": x + p, "tiled": x + p, "scale": x * p, "choose": jnp.where(p > 1, x, x * 5)}[by]


@kind(with_parameter, 1.5, parameters=1)
def _(v: View) -> Options | None:
    if v.complex:
        return None
    by = v.one_of(("bias", "scale", "choose", "dense", "branch", "start", "turns", "tiled"))
    axis = v.axis(0.9 if by == "tiled" else 0.1)
    n = v.shape[axis]
    shape = (
        [n, v.integer(1, 2)]
        if by == "dense"
        else [1]
        if by in ("branch", "start", "turns")
        else [v.integer(1, 3)]
        if by == "tiled"
        else [v.one_of((1, n))]
    )
    return {"by": by, "axis": axis, "shape": shape}
