"""Random programs of an image: not only encoder-decoders. Every draw is valid; sizes are tracked as they are drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jax import lax

Op = Callable[["Weights", Any], Any]
LARGEST = {1: 60, 2: 34, 3: 16}
LOWEST = np.iinfo(np.int32).min


class Weights:
    """Hands out parameters in the order of use; first it only writes down which shapes are asked for."""

    def __init__(self, values: Sequence[Any] | None = None) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._values = None if values is None else iter(values)

    def __call__(self, *shape: int) -> Any:
        self.shapes.append(shape)
        return jnp.ones(shape, jnp.int32) if self._values is None else next(self._values)


@dataclass(frozen=True)
class Program:
    """A function of parameters and an image (batch, *space, channel), in int32."""

    ops: tuple[Op, ...]
    names: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def generic(self) -> bool:
        """Whether it has no activation that can be dead."""
        return "relu" not in " ".join(self.names)

    def __repr__(self) -> str:
        return f"Program({self.shape}: {' | '.join(self.names)})"

    def apply(self, params: Sequence[Any], x: Any) -> Any:
        return run(self.ops, Weights(params), x)

    def parameter_shapes(self) -> list[tuple[int, ...]]:
        weights = Weights()
        jax.eval_shape(lambda x: run(self.ops, weights, x), jax.ShapeDtypeStruct(self.shape, jnp.int32))
        return weights.shapes


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


def wrapped(w: Weights, x: Any, *, op: Op, how: str) -> Any:
    if how == "vmap":
        return jax.vmap(lambda v: op(w, v[None])[0])(x)
    return {"jit": jax.jit, "remat": jax.checkpoint}[how](lambda v: op(w, v))(x)


def twice(w: Weights, x: Any) -> Any:
    """One jitted function called with different constants: JAX shares the program and its variables."""
    fn = jax.jit(lambda v, k, c: jnp.concatenate([v[:, 1:] * k, v[:, :-1] + c], -1))
    return fn(fn(x, w(1), 2), w(1), 5)


@st.composite
def programs(draw: Any, *, d: int | None = None, most: int = 6) -> Program:
    """A program of up to `most` operations on an image of 1 to 3 dimensions."""
    d = draw(st.integers(1, 3)) if d is None else d
    size = [draw(st.integers(LARGEST[d] // 2, LARGEST[d])) for _ in range(d)]
    shape = (1, *size, draw(st.integers(1, 2)))
    ops: list[Op] = []
    names: list[str] = []
    now = shape
    for _ in range(draw(st.integers(1, most))):
        name, op = draw(operations(now))
        after = _shape_after(op, now)
        if after is not None and _fits(after, d):
            ops.append(op)
            names.append(name)
            now = after
    return Program(tuple(ops), tuple(names), shape)


def _fits(shape: tuple[int, ...], d: int) -> bool:
    return min(shape[1:-1]) >= 3 and max(shape[1:-1]) <= 2 * LARGEST[d] and shape[-1] <= 6


def _shape_after(op: Op, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return jax.eval_shape(lambda x: op(Weights(), x), jax.ShapeDtypeStruct(shape, jnp.int32)).shape
    except (ValueError, TypeError, ZeroDivisionError):
        return None  # too small an image for this operation


def _per_axis(draw: Any, d: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(low, high)) for _ in range(d))


def _padding(draw: Any, d: int) -> Any:
    kind = draw(st.sampled_from(["VALID", "VALID", "SAME", "free"]))
    return kind if kind != "free" else [(draw(st.integers(-1, 2)), draw(st.integers(-1, 2))) for _ in range(d)]


@st.composite
def operations(draw: Any, shape: tuple[int, ...], *, depth: int = 0) -> tuple[str, Op]:
    """One operation for an array of this shape."""
    d = len(shape) - 2
    kinds = list(SIMPLE) + (["branched", "branched", "unet", "unet", "either", "wrapped"] if depth == 0 else [])
    kind = draw(st.sampled_from(kinds))
    if kind in SIMPLE:
        op, text = SIMPLE[kind](draw, d, shape)
        return f"{kind}{text}", op
    if kind == "wrapped":
        how = draw(st.sampled_from(["jit", "remat", "vmap"]))
        name, op = draw(operations(shape, depth=1))
        return f"{how}({name})", functools.partial(wrapped, op=op, how=how)
    if kind == "either":
        (n1, a), (n2, b) = draw(operations(shape, depth=1)), draw(operations(shape, depth=1))
        return f"either({n1}, {n2})", functools.partial(either, a=a, b=b)
    join = draw(st.sampled_from(["concatenate", "concatenate", "add", "max", "mul", "sub"]))
    shift = [draw(st.sampled_from([0.0, 0.5, 1.0])) for _ in range(d)]
    one = [draw(operations(shape, depth=1)) for _ in range(draw(st.integers(0, 2)))]
    two = _down_and_up(draw, d) if kind == "unet" else [draw(operations(shape, depth=1)) for _ in range(2)]
    op = functools.partial(branched, a=[o for _, o in one], b=[o for _, o in two], join=join, shift=shift)
    return f"{join}([{', '.join(n for n, _ in one)}], [{', '.join(n for n, _ in two)}])", op


def _down_and_up(draw: Any, d: int) -> list[tuple[str, Op]]:
    """A level of an encoder-decoder, so that both ways have the same stride."""
    factor = _per_axis(draw, d, 1, 3)
    kind = draw(st.sampled_from(["max", "add"]))
    size = _per_axis(draw, d, 1, 3)
    down = functools.partial(
        pool, kind=kind, window_dimensions=(1, *factor, 1), window_strides=(1, *factor, 1), padding="VALID"
    )
    middle = functools.partial(conv, out=2, size=size, window_strides=(1,) * d, padding="VALID")
    up = draw(
        st.sampled_from(
            [
                functools.partial(upsample, out=2, factor=factor, size=factor, padding="VALID"),
                functools.partial(upsample, out=2, factor=factor, size=tuple(f + 1 for f in factor), padding="SAME"),
                functools.partial(repeat, factor=factor),
                functools.partial(shuffle, factor=factor, out=2),
            ]
        )
    )
    return [(f"pool{factor}", down), ("injective", injective), (f"conv{size}", middle), ("up", up)]


def _conv(draw: Any, d: int, shape: Any) -> tuple[Op, str]:
    options = {
        "size": _per_axis(draw, d, 1, 3),
        "window_strides": _per_axis(draw, d, 1, 3) if draw(st.booleans()) else (1,) * d,
        "rhs_dilation": _per_axis(draw, d, 1, 2),
        "lhs_dilation": _per_axis(draw, d, 1, 3) if draw(st.booleans()) else (1,) * d,
    }
    options["padding"] = _padding(draw, d)
    groups = draw(st.sampled_from([1, shape[-1]]))
    out = groups * draw(st.integers(1, 2))
    if isinstance(options["padding"], str) and options["lhs_dilation"] != (1,) * d:
        options["padding"] = [(0, 1)] * d
    return functools.partial(conv, out=out, groups=groups, **options), f"{tuple(options.values())}"


def _pool(draw: Any, d: int, shape: Any) -> tuple[Op, str]:
    size, stride, dilation = _per_axis(draw, d, 1, 3), _per_axis(draw, d, 1, 3), _per_axis(draw, d, 1, 2)
    kind, padding = draw(st.sampled_from(["max", "add"])), draw(st.sampled_from(["VALID", "SAME"]))
    op = functools.partial(
        pool,
        kind=kind,
        window_dimensions=(1, *size, 1),
        window_strides=(1, *stride, 1),
        window_dilation=(1, *dilation, 1),
        padding=padding,
    )
    return op, f"({kind}, {size}, {stride}, {dilation}, {padding})"


def _upsample(draw: Any, d: int, shape: Any) -> tuple[Op, str]:
    factor, size = _per_axis(draw, d, 1, 3), _per_axis(draw, d, 1, 4)
    padding = draw(st.sampled_from(["VALID", "SAME"]))
    return functools.partial(upsample, out=2, factor=factor, size=size, padding=padding), f"{factor, size, padding}"


def _plain(fn: Callable[..., Any], **choices: Any) -> Callable[..., tuple[Op, str]]:
    """An operation whose options are drawn from lists of functions of (draw, d)."""

    def build(draw: Any, d: int, shape: Any) -> tuple[Op, str]:
        options = {name: choose(draw, d) for name, choose in choices.items()}
        return functools.partial(fn, **options), f"{tuple(options.values())}"

    return build


def _factor(draw: Any, d: int) -> tuple[int, ...]:
    return _per_axis(draw, d, 1, 3)


def _one_of(*values: Any) -> Callable[[Any, int], Any]:
    return lambda draw, d: draw(st.sampled_from(values))


def _axis(draw: Any, d: int) -> int:
    return draw(st.integers(1, d))


SIMPLE: dict[str, Callable[..., tuple[Op, str]]] = {
    "conv": _conv,
    "pool": _pool,
    "upsample": _upsample,
    "injective": _plain(injective),
    "relu": _plain(lambda w, x: jax.nn.relu(x)),
    "repeat": _plain(repeat, factor=_factor),
    "shuffle": _plain(shuffle, factor=_factor, out=_one_of(1, 2)),
    "unshuffle": _plain(unshuffle, factor=_factor),
    "resize": _plain(
        resize, factor=lambda draw, d: [draw(st.sampled_from([(1, 1), (2, 1), (3, 2), (1, 2)])) for _ in range(d)]
    ),
    "crop": _plain(crop, cuts=lambda draw, d: [(*_per_axis(draw, 2, 0, 3), draw(st.integers(1, 3))) for _ in range(d)]),
    "pad": _plain(
        pad,
        widths=lambda draw, d: [_per_axis(draw, 2, 0, 2) for _ in range(d)],
        mode=_one_of("constant", "reflect", "wrap", "edge", "symmetric"),
    ),
    "interior": _plain(
        interior,
        widths=lambda draw, d: [(*_per_axis(draw, 2, -2, 2), draw(st.integers(0, 2))) for _ in range(d)],
    ),
    "roll": _plain(roll, shift=_one_of(-2, 1, 4), axis=_axis),
    "dense": _plain(dense, out=_one_of(1, 2)),
    "channels_first": _plain(channels_first, size=_factor, stride=_factor),
    "channels": _plain(channels, kind=_one_of("sort", "cumsum", "max", "split", "stack", "set", "less")),
    "pattern": _plain(pattern, axis=_axis, values=_one_of((1, 2), (0, 5, 7))),
    "scanned": _plain(scanned, turns=_one_of(1, 2), size=_factor),
    "looped": _plain(looped, turns=_one_of(2, 300)),
    "twice": _plain(twice),
}
