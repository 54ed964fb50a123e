"""Operations on images in int32, for random programs: (weights, image) -> image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Op = Callable[["Weights", Any], Any]
LOWEST = np.iinfo(np.int32).min


class Weights:
    """Hands out parameters in the order of use; first it only writes down which shapes are asked for."""

    def __init__(self, values: Sequence[Any] | None = None) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._values = None if values is None else iter(values)

    def __call__(self, *shape: int) -> Any:
        self.shapes.append(shape)
        return jnp.ones(shape, jnp.int32) if self._values is None else next(self._values)


class Again:
    """The same parameters for every turn."""

    def __init__(self, weights: Weights) -> None:
        self.weights, self.at = weights, 0
        self.handed: list[Any] = []

    def __call__(self, *shape: int) -> Any:
        if self.at == len(self.handed):
            self.handed.append(self.weights(*shape))
        self.at += 1
        return self.handed[self.at - 1]


def run(ops: Sequence[Op], weights: Weights, x: Any) -> Any:
    for op in ops:
        x = op(weights, x)
    return x


def ndim(x: Any) -> int:
    return x.ndim - 2


def numbers(d: int) -> tuple[str, str, str]:
    space = "DHW"[-d:]
    return f"N{space}C", f"{space}IO", f"N{space}C"


def conv(w: Weights, x: Any, *, out: int, size: Sequence[int], groups: int = 1, **kwargs: Any) -> Any:
    kernel = w(*size, x.shape[-1] // groups, out)
    y = lax.conv_general_dilated(x, kernel, dimension_numbers=numbers(ndim(x)), feature_group_count=groups, **kwargs)
    return y + w(out)


def pool(w: Weights, x: Any, *, kind: str, **kwargs: Any) -> Any:
    start, fn = (LOWEST, lax.max) if kind == "max" else (0, lax.add)
    return lax.reduce_window(x, np.int32(start), fn, **kwargs)


def injective(w: Weights, x: Any) -> Any:
    return jnp.where(x >= 0, x, 1 - 5 * x)


def upsample(w: Weights, x: Any, *, out: int, factor: Sequence[int], size: Sequence[int], padding: str) -> Any:
    return lax.conv_transpose(x, w(*size, x.shape[-1], out), factor, padding, dimension_numbers=numbers(ndim(x)))


def repeat(w: Weights, x: Any, *, factor: Sequence[int]) -> Any:
    for k, f in enumerate(factor):
        x = jnp.repeat(x, f, axis=k + 1)
    return x


def shuffle(w: Weights, x: Any, *, factor: Sequence[int], out: int) -> Any:
    """Depth to space."""
    d = ndim(x)
    x = jnp.dot(x, w(x.shape[-1], out * int(np.prod(factor)))).reshape(*x.shape[:-1], *factor, out)
    order = [0, *(k for j in range(d) for k in (1 + j, 1 + d + j)), 2 * d + 1]
    x = x.transpose(order)
    return x.reshape(x.shape[0], *(x.shape[1 + 2 * j] * factor[j] for j in range(d)), out)


def unshuffle(w: Weights, x: Any, *, factor: Sequence[int]) -> Any:
    """Space to depth, of as much as divides."""
    d = ndim(x)
    x = x[(slice(None), *(slice(0, n - n % f) for n, f in zip(x.shape[1:-1], factor, strict=True)))]
    split = [m for n, f in zip(x.shape[1:-1], factor, strict=True) for m in (n // f, f)]
    x = x.reshape(x.shape[0], *split, x.shape[-1])
    x = x.transpose(0, *range(1, 2 * d, 2), *range(2, 2 * d + 1, 2), 2 * d + 1)
    return x.reshape(*x.shape[: d + 1], -1)


def resize(w: Weights, x: Any, *, factor: Sequence[tuple[int, int]]) -> Any:
    """Nearest, by a ratio."""
    size = [n // q * p if n % q == 0 else n for n, (p, q) in zip(x.shape[1:-1], factor, strict=True)]
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "nearest")


def crop(w: Weights, x: Any, *, cuts: Sequence[tuple[int, int, int]]) -> Any:
    return x[(slice(None), *(slice(a, n - b, s) for n, (a, b, s) in zip(x.shape[1:-1], cuts, strict=True)))]


def pad(w: Weights, x: Any, *, widths: Sequence[tuple[int, int]], mode: str) -> Any:
    return jnp.pad(x, ((0, 0), *widths, (0, 0)), mode=mode)


def interior(w: Weights, x: Any, *, widths: Sequence[tuple[int, int, int]]) -> Any:
    return lax.pad(x, np.int32(3), ((0, 0, 0), *widths, (0, 0, 0)))


def roll(w: Weights, x: Any, *, shift: int, axis: int) -> Any:
    return jnp.roll(x, shift, axis)


def dense(w: Weights, x: Any, *, out: int) -> Any:
    return (x.reshape(-1, x.shape[-1]) @ w(x.shape[-1], out)).reshape(*x.shape[:-1], out)


def channels_first(w: Weights, x: Any, *, size: Sequence[int], stride: Sequence[int]) -> Any:
    """A convolution in the other layout."""
    space = "DHW"[-ndim(x) :]
    y = jnp.moveaxis(x, -1, 1)
    kernel = w(2, x.shape[-1], *size)
    y = lax.conv_general_dilated(
        y, kernel, stride, "VALID", dimension_numbers=(f"NC{space}", f"OI{space}", f"NC{space}")
    )
    return jnp.moveaxis(y, 1, -1)


def channels(w: Weights, x: Any, *, kind: str) -> Any:
    if kind == "sort":
        return jnp.sort(x, axis=-1)
    if kind == "cumsum":
        return jnp.cumsum(x, axis=-1)
    if kind == "max":
        return jnp.concatenate([x, x.max(-1, keepdims=True)], -1)
    if kind == "split":
        parts = jnp.split(x, x.shape[-1], -1)
        return jnp.concatenate(parts[::-1], -1)
    if kind == "stack":
        return jnp.stack([x, 3 * x], -1).reshape(*x.shape[:-1], -1)
    if kind == "set":
        return x.at[..., 0].set(x[..., -1] + 1)
    return x - x.max(-1, keepdims=True)


def pattern(w: Weights, x: Any, *, axis: int, values: Sequence[int]) -> Any:
    """A constant that recurs along one axis."""
    n = x.shape[axis]
    shape = [1] * x.ndim
    shape[axis] = n
    return x + np.resize(np.array(values, np.int32), n).reshape(shape)


def scanned(w: Weights, x: Any, *, turns: int, size: Sequence[int]) -> Any:
    """The same convolution with other weights in each turn."""
    kernels = w(turns, *size, x.shape[-1], x.shape[-1])

    def body(y: Any, kernel: Any) -> tuple[Any, None]:
        y = lax.conv_general_dilated(y, kernel, (1,) * ndim(x), "SAME", dimension_numbers=numbers(ndim(x)))
        return injective(w, y), None

    return lax.scan(body, x, kernels)[0]


def looped(w: Weights, x: Any, *, turns: int) -> Any:
    return lax.fori_loop(0, turns, lambda i, y: y * 3 + i, x)


def either(w: Weights, x: Any, *, a: Op, b: Op) -> Any:
    """A branch chosen by a parameter; both must give the same shape."""
    choice = w(1)[0] > 0
    one, two = a(w, x), b(w, x)
    space = [min(s, t) for s, t in zip(one.shape[1:-1], two.shape[1:-1], strict=True)]
    box = (slice(None), *(slice(0, n) for n in space), slice(0, min(one.shape[-1], two.shape[-1])))
    return lax.cond(choice, lambda: one[box], lambda: two[box] * 1)


def branched(w: Weights, x: Any, *, a: Sequence[Op], b: Sequence[Op], join: str, shift: Sequence[float]) -> Any:
    """Two ways from one array, cropped to a common size and joined."""
    one, two = run(a, w, x), run(b, w, x)
    space = [min(s, t) for s, t in zip(one.shape[1:-1], two.shape[1:-1], strict=True)]
    one, two = (_common(v, space, shift) for v in (one, two))
    if join == "concatenate":
        return jnp.concatenate([one, two], -1)
    width = min(one.shape[-1], two.shape[-1])
    fn = {"add": lax.add, "max": lax.max, "mul": lax.mul, "sub": lax.sub}[join]
    return fn(one[..., :width], two[..., :width])


def _common(x: Any, space: Sequence[int], shift: Sequence[float]) -> Any:
    starts = [int((n - m) * f) for n, m, f in zip(x.shape[1:-1], space, shift, strict=True)]
    return x[(slice(None), *(slice(s, s + m) for s, m in zip(starts, space, strict=True)))]


def in_pieces(w: Weights, x: Any, *, ops: Sequence[Op], cuts: Sequence[float], how: str, slips: Sequence[int]) -> Any:
    """In pieces of the first axis, put together again: the same as in one piece if each is read where it belongs."""
    again: Any = Again(w)

    def piece(start: int, stop: int) -> Any:
        again.at = 0
        return run(ops, again, x[:, start:stop])

    n, m = x.shape[1], jax.eval_shape(lambda: piece(0, x.shape[1])).shape[1]
    again.handed.clear()
    step = max(1, round(n / m))
    lost = n - step * m
    ends = [0, *sorted({int(m * cut) for cut in cuts} - {0, m}), m]
    reads = [(step * a + slip, step * b + slip + lost) for a, b, slip in zip(ends, ends[1:], slips, strict=False)]
    parts = [piece(max(0, a), min(n, b)) for a, b in reads]
    if how == "concatenate":
        return jnp.concatenate(parts, 1)
    y = jnp.zeros((x.shape[0], sum(part.shape[1] for part in parts), *parts[0].shape[2:]), jnp.int32)
    at = 0
    for part in parts:
        y = lax.dynamic_update_slice(y, part, (0, at, *(0 for _ in parts[0].shape[2:])))
        at += part.shape[1] if how == "update" else part.shape[1] - 1
    return y


def wrapped(w: Weights, x: Any, *, op: Op, how: str) -> Any:
    if how == "vmap":
        return jax.vmap(lambda v: op(w, v[None])[0])(x)
    transformed: Any = {"jit": jax.jit, "remat": jax.checkpoint}[how]
    return transformed(lambda v: op(w, v))(x)


def twice(w: Weights, x: Any) -> Any:
    """One jitted function called with different constants: JAX shares the program and its variables."""
    fn = jax.jit(lambda v, k, c: jnp.concatenate([v[:, 1:] * k, v[:, :-1] + c], -1))
    return fn(fn(x, w(1), 2), w(1), 5)
