"""Steps of a walk that move elements about: reshapes, mirrors, rolls, updates, gathers."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from proofs_tests.certifier.walking.constants import number, recipe, vector
from proofs_tests.certifier.walking.kinds import Options, View, box, ints, kind

TO_INDICES: tuple[list[list[Any]], ...] = (
    [["floor", 0]],
    [["round", 0]],
    [["whole", 0]],
    [["whole", 0], ["divided", 0]],
    [],
)


def blocks(x: Any, *, axis: int, size: int, how: str, at: int) -> Any:
    """An axis in blocks of `size`, of as much as divides; then the block goes elsewhere, or one element of it stays."""
    n = x.shape[axis] - x.shape[axis] % size
    x = lax.slice_in_dim(x, 0, n, axis=axis)
    y = x.reshape(*x.shape[:axis], n // size, size, *x.shape[axis + 1 :])
    if how == "pick":
        return jnp.take(y, at % size, axis + 1)
    if how == "reduce":
        return y.max(axis + 1)
    if how == "unpool":
        first = jnp.expand_dims(jnp.argmax(y, axis + 1), axis + 1)
        return jnp.where(lax.broadcasted_iota(np.int32, y.shape, axis + 1) == first, y, 0).reshape(x.shape)
    if how == "apart":
        return jnp.moveaxis(y, axis + 1, -1)
    if how == "reverse":
        return jnp.flip(y, axis + 1).reshape(x.shape)
    if how == "outer":
        return jnp.swapaxes(y, axis, axis + 1).reshape(x.shape)
    return jnp.moveaxis(y, axis + 1, -1).reshape(*x.shape[:axis], n // size, *x.shape[axis + 1 : -1], -1)


@kind(blocks, 1.5)
def _(v: View) -> Options:
    how = v.one_of(("pick", "reduce", "apart", "to channels", "to channels", "reverse", "outer", "unpool"))
    return {"axis": v.axis(0.95), "size": v.integer(2, 3), "how": how, "at": v.integer(0, 2)}


def shuffle(x: Any, *, axis: int, first: bool) -> Any:
    """The channels woven into an axis: depth to space."""
    last = x.shape[-1]
    target = axis + (0 if first else 1)
    y = jnp.moveaxis(x, -1, target)
    return y.reshape(*y.shape[:axis], y.shape[axis] * y.shape[axis + 1], *y.shape[axis + 2 :], 1) * (last > 0)


@kind(shuffle, 0.7)
def _(v: View) -> Options | None:
    if v.last_channel != len(v.shape) - 1 or v.boolean:
        return None
    return {"axis": v.axis(1.0), "first": v.chance(0.1)}


def flattened(x: Any, *, factor: int, merge: int) -> Any:
    """As matrices of all pixels, and back."""
    y = x.reshape(-1, *x.shape[len(x.shape) - merge :])
    return (ints(y) * factor).reshape(x.shape)


@kind(flattened, 0.5)
def _(v: View) -> Options:
    return {"factor": v.integer(1, 3), "merge": v.integer(0, 1)}


def transposed(x: Any, *, order: list[int], shape: str) -> Any:
    y = x.transpose(order)
    if shape == "one more":
        return y[..., None]
    return y.reshape(1, *y.shape) if shape == "one before" else y


@kind(transposed, 1)
def _(v: View) -> Options | None:
    shape = v.one_of(("same", "same", "one more", "one before")) if len(v.shape) < 6 else "same"
    return {"order": [int(k) for k in v.rng.permutation(len(v.shape))], "shape": shape}


def squeezed(x: Any, *, axis: int) -> Any:
    return lax.squeeze(x, [axis])


@kind(squeezed, 0.4)
def _(v: View) -> Options | None:
    ones = [k for k, n in enumerate(v.shape) if n == 1]
    return {"axis": v.one_of(ones)} if ones and len(v.shape) > 2 + len(v.space) - 1 else None


def flip(x: Any, *, axes: list[int], join: str) -> Any:
    """A mirror, alone or joined with what it mirrors."""
    y = jnp.flip(x, axes)
    if join == "alone":
        return y
    if join == "beside":
        return jnp.concatenate([x, y], axes[0])
    return ints(x) + ints(y)


@kind(flip, 0.7)
def _(v: View) -> Options:
    return {"axes": sorted({v.axis(0.5), v.axis(0.5)}), "join": v.one_of(("alone", "alone", "beside", "sum"))}


def roll(x: Any, *, shift: int, axis: int, computed: bool) -> Any:
    return jnp.roll(x, jnp.int32(shift) + 1 if computed else shift, axis)


@kind(roll, 1, keeps=True)
def _(v: View) -> Options:
    return {"shift": v.integer(-2, 3), "axis": v.axis(0.7), "computed": v.chance(0.2)}


def beside(x: Any, *, axis: int, parts: list[list[int]]) -> Any:
    """Slices of one array put end to end: each from `start` to `stop`, counted from the end where negative."""
    n = x.shape[axis]
    cut = [
        lax.slice_in_dim(x, a % (n + 1) if a >= 0 else n + a, n + 1 + b if b < 0 else b, axis=axis) for a, b in parts
    ]
    return jnp.concatenate(cut, axis)


@kind(beside, 1.5)
def _(v: View) -> Options:
    cut = v.integer(2, 4)
    slip = v.one_of((0, 0, 0, 1, -1))
    parts = [[0, cut], [cut + slip, -1]]
    if v.chance(0.3):
        parts = v.one_of(([[0, 2], [0, -1]], [[1, -1], [0, 1]], [[0, cut], [cut, cut + 1], [cut + 1 + slip, -1]]))
    return {"axis": v.axis(0.95), "parts": parts}


def in_pieces(x: Any, *, axis: int, cut: int, scales: list[int], slip: int, how: str) -> Any:
    """Each piece computed by itself, and put together: one map if both pieces are computed alike."""
    n = x.shape[axis]
    x = ints(x)
    parts = [lax.slice_in_dim(x, 0, cut, axis=axis) * scales[0], lax.slice_in_dim(x, cut, n, axis=axis) * scales[1]]
    if how == "concatenate":
        return jnp.concatenate(parts, axis)
    y = jnp.zeros_like(x)
    if how == "update":
        for at, part in ((0, parts[0]), (cut + slip, parts[1])):
            y = lax.dynamic_update_slice_in_dim(y, part, at, axis)
        return y
    return y.at[box(x.ndim, {axis: slice(0, cut)})].set(parts[0]).at[box(x.ndim, {axis: slice(cut, n)})].add(parts[1])


@kind(in_pieces, 1.2)
def _(v: View) -> Options:
    scale = v.integer(1, 3)
    return {
        "axis": v.axis(0.95),
        "cut": v.integer(2, 4),
        "scales": [scale, scale if v.chance(0.7) else v.integer(1, 3)],
        "slip": v.one_of((0, 0, -1)),
        "how": v.one_of(("concatenate", "update", "set")),
    }


def updated(x: Any, *, axis: int, at: list[int], value: int, by: str, how: str) -> Any:
    """Some indices of an axis set, added to, or written over by what stands at other ones."""
    start, stop, step = at
    place: Any = slice(start, stop, step)
    if how == "list":
        place = np.arange(x.shape[axis])[place]
    where = x.at[tuple(place if k == axis else slice(None) for k in range(x.ndim))]
    if by == "apply":
        constant = np.int32(value)
        return where.apply(lambda a: a if a.dtype == bool else a + jnp.asarray(constant).astype(a.dtype))
    new = jnp.asarray(value).astype(x.dtype)
    if how == "moved":
        new = jnp.roll(x, 1, axis)[tuple(place if k == axis else slice(None) for k in range(x.ndim))]
    return getattr(where, by)(new)


@kind(updated, 1.5, keeps=True)
def _(v: View) -> Options:
    by = v.one_of(("set", "set", "set", "apply", "max", "min") + (() if v.boolean else ("add", "multiply")))
    return {
        "axis": v.axis(0.5),
        "at": [v.integer(0, 2), v.one_of((1, 2, 3, None)), v.integer(1, 2)],
        "value": v.integer(0, 5),
        "by": by,
        "how": v.one_of(("slice", "slice", "list", "moved")),
    }


def gathered(x: Any, *, axis: int, made: Options, length: list[int], how: str) -> Any:
    """An axis read at indices that are computed inside the program."""
    n = max(1, x.shape[axis] * length[0] // length[1])
    at = vector(n, made, np.int32)
    if how == "index":
        return x[tuple(at if k == axis else slice(None) for k in range(x.ndim))]
    if how == "along":
        shape = [n if k == axis else 1 for k in range(x.ndim)]
        return jnp.take_along_axis(x, at.reshape(shape), axis)
    return jnp.take(x, at, axis, mode=how)


@kind(gathered, 3)
def _(v: View) -> Options:
    made = recipe(v.rng, base=v.one_of(("ramp", "factor", "centres", "iota", "there and back", "jitted", "scanned")))
    made["steps"] = v.one_of(TO_INDICES)
    made["a"], made["b"] = v.one_of(((1, 2), (2, 1), (2, 3), (3, 2), (1, 3), (3, 4), (1, 1), (5, 3), (3, 7)))
    if made["base"] == "iota":
        made["a"] = v.integer(0, 1)
    length = [made["b"], made["a"]] if v.chance(0.7) and made["a"] else [1, v.integer(1, 2)]
    return {
        "axis": v.axis(0.9),
        "made": made,
        "length": length,
        "how": v.one_of(("clip", "clip", "index", "fill", "wrap", "along")),
    }


def at_number(x: Any, *, axis: int, made: Options, size: int, how: str) -> Any:
    """A slice whose start, or a roll whose shift, or a fill whose value is computed inside the program."""
    k = number(made, np.int32)
    if how == "roll":
        return jnp.roll(x, k, axis)
    if how == "fill":
        widths = [(1, 1, 0) if j == axis else (0, 0, 0) for j in range(x.ndim)]
        return lax.pad(x, number(made, x.dtype), widths)
    return lax.dynamic_slice_in_dim(x, k % 3, max(1, x.shape[axis] - size), axis)


@kind(at_number, 1.2)
def _(v: View) -> Options:
    how = v.one_of(("slice", "slice", "roll", "fill"))
    return {"axis": v.axis(0.8), "made": recipe(v.rng), "size": v.integer(1, 4), "how": how}
