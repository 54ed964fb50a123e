"""Steps of a walk that slide windows, cut, pad and resize."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from proofs_tests.certifier.walking.kinds import Options, View, box, ints, kind


def crop(x: Any, *, cuts: dict[int, list[int]], how: str) -> Any:
    """Some pixels off both ends of some axes, and every s-th of the others."""
    if how == "index":
        return x[box(x.ndim, {k: slice(a, x.shape[k] - b, s) for k, (a, b, s) in cuts.items()})]
    starts = [cuts.get(k, [0, 0, 1])[0] for k in range(x.ndim)]
    stops = [n - cuts.get(k, [0, 0, 1])[1] for k, n in enumerate(x.shape)]
    if how == "lax":
        return lax.slice(x, starts, stops, [cuts.get(k, [0, 0, 1])[2] for k in range(x.ndim)])
    sizes = [b - a for a, b in zip(starts, stops, strict=True)]
    return lax.dynamic_slice(x, [jnp.int32(a) * 2 - a for a in starts], sizes)


@kind(crop, 3)
def _(v: View) -> Options:
    axes = {v.axis(0.9) for _ in range(v.integer(1, 2))}
    how = v.one_of(("index", "index", "lax", "dynamic"))
    return {"cuts": {k: [v.integer(0, 2), v.integer(0, 2), v.one_of((1, 1, 2, 3))] for k in axes}, "how": how}


def pieces_of_split(x: Any, *, at: int, axis: int, take: int) -> Any:
    return jnp.split(x, [at, x.shape[axis] - at], axis)[take]


@kind(pieces_of_split, 0.5)
def _(v: View) -> Options:
    return {"at": v.integer(1, 2), "axis": v.axis(), "take": v.one_of((0, 1, 1, 2))}


def pad_with(x: Any, *, widths: list[list[int]], fill: int) -> Any:
    return lax.pad(x, jnp.asarray(fill).astype(x.dtype), [(low, high, inner) for low, high, inner in widths])


@kind(pad_with, 2)
def _(v: View) -> Options:
    inner = v.chance(0.4)
    widths = [
        [v.integer(-1, 2), v.integer(-1, 2), v.integer(0, 2) if inner else 0]
        if k in v.space or v.chance(0.1)
        else [0, 0, 0]
        for k in range(len(v.shape))
    ]
    return {"widths": widths, "fill": v.integer(0, 3)}


def pad_mode(x: Any, *, widths: list[list[int]], mode: str) -> Any:
    return jnp.pad(x, widths, mode=mode)


@kind(pad_mode, 1.5)
def _(v: View) -> Options:
    widths = [v.integers(2, 0, 2) if k in v.space else [0, 0] for k in range(len(v.shape))]
    return {"widths": widths, "mode": v.one_of(("constant", "edge", "reflect", "symmetric", "wrap"))}


def weights(seed: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Odd numbers for integers, multiples of an eighth for floats."""
    drawn = np.random.default_rng(seed).integers(-8, 8, shape) * 2 + 1
    if jnp.issubdtype(dtype, jnp.unsignedinteger) or dtype == np.bool_:
        drawn = abs(drawn)
    return (drawn / (8 if jnp.issubdtype(dtype, jnp.inexact) else 1)).astype(dtype)


def conv(
    x: Any,
    *,
    batch: int,
    feature: int,
    out: int,
    size: list[int],
    seed: int,
    groups: list[int],
    wide: bool,
    how: Options,
) -> Any:
    """A convolution over all axes but two, in the layout that the array has."""
    feature_groups, batch_groups = groups
    x = ints(x)
    space = [k for k in range(x.ndim) if k not in (batch, feature)]
    kernel = weights(seed, (out * feature_groups * batch_groups, x.shape[feature] // feature_groups, *size), x.dtype)
    layout = (batch, feature, *space)
    numbers = lax.ConvDimensionNumbers(layout, tuple(range(x.ndim)), layout)
    return lax.conv_general_dilated(
        x,
        jnp.asarray(kernel),
        dimension_numbers=numbers,
        feature_group_count=feature_groups,
        batch_group_count=batch_groups,
        preferred_element_type=np.int32 if wide and x.dtype in (np.int8, np.uint8) else None,
        **how,
    )


@kind(conv, 3, keeps=True)
def _(v: View) -> Options | None:
    others = [k for k in v.channels if k != v.last_channel]
    if not others or v.complex:
        return None
    d = len(v.shape) - 2
    feature, batch = v.last_channel, v.one_of(others)
    if v.chance(0.1):
        feature, batch = batch, feature
    plain = v.chance(0.5)
    base = [1] * d if plain else v.integers(d, 1, 2)
    padding: Any = v.one_of(("VALID", "SAME"))
    if base != [1] * d or v.chance(0.3):
        padding = [tuple(v.integers(2, -1, 2)) for _ in range(d)]
    groups = [1, 1]
    if v.chance(0.2):
        groups = [v.shape[feature], 1] if v.chance(0.7) else [1, v.shape[batch]]
    return {
        "batch": batch,
        "feature": feature,
        "out": v.integer(1, 2),
        "size": v.integers(d, 1, 3) if not plain else [v.integer(1, 3)] * d,
        "seed": v.integer(0, 99),
        "groups": groups,
        "wide": v.chance(0.5),
        "how": {
            "window_strides": [1] * d if plain else v.integers(d, 1, 3),
            "padding": padding,
            "lhs_dilation": base,
            "rhs_dilation": [1] * d if plain else v.integers(d, 1, 2),
        },
    }


def conv_transpose(x: Any, *, size: int, factor: int, padding: str, seed: int, flip: bool) -> Any:
    """A learned upsampling of an array with channels last."""
    x = ints(x)
    d = x.ndim - 2
    kernel = weights(seed, (*[size] * d, x.shape[-1], 2), x.dtype)
    space = "DHW"[-d:]
    numbers = (f"N{space}C", f"{space}OI" if flip else f"{space}IO", f"N{space}C")
    kernel = np.swapaxes(kernel, -1, -2) if flip else kernel
    return lax.conv_transpose(
        x, jnp.asarray(kernel), [factor] * d, padding, dimension_numbers=numbers, transpose_kernel=flip
    )


@kind(conv_transpose, 1.5)
def _(v: View) -> Options | None:
    if v.space != tuple(range(1, len(v.shape) - 1)) or v.complex or max(v.shape) > 20 or len(v.shape) > 5:
        return None
    return {
        "size": v.integer(1, 3),
        "factor": v.integer(1, 3),
        "padding": v.one_of(("VALID", "SAME")),
        "seed": v.integer(0, 99),
        "flip": v.chance(0.2),
    }


def _folded(scale: int, jitted: bool) -> Any:
    """A reduction that closes over an array, at a depth."""
    constant = np.int32(scale)

    def body(a: Any, b: Any) -> Any:
        return lax.max(a, lax.add(b, lax.convert_element_type(constant, b.dtype)))

    return jax.jit(body) if jitted else body


def pool(
    x: Any, *, by: str, size: list[int], strides: list[int], padding: Any, dilation: list[int], base: list[int]
) -> Any:
    x = ints(x) if by not in ("and", "or") else x > 3
    fn: Any
    start: Any
    if by == "max plus":
        fn, start = _folded(2, True), 0
    else:
        fn, start = {
            "max": (lax.max, -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else None),
            "min": (lax.min, 7),
            "add": (lax.add, 0),
            "mul": (lax.mul, 1),
            "and": (lax.bitwise_and, True),
            "or": (lax.bitwise_or, False),
        }[by]
    if start is None:
        start = np.iinfo(x.dtype).min
    first = np.asarray(start).astype(x.dtype)
    return lax.reduce_window(x, first, fn, size, strides, padding, window_dilation=dilation, base_dilation=base)


@kind(pool, 3)
def _(v: View) -> Options | None:
    if v.complex:
        return None
    plain = v.chance(0.6)
    rank = len(v.shape)
    padding: Any = v.one_of(("VALID", "SAME"))
    base = [1] * rank if plain else v.per_axis(1, 2)
    if base != [1] * rank or v.chance(0.2):
        padding = [tuple(v.integers(2, 0, 1)) if k in v.space else (0, 0) for k in range(rank)]
    size = v.per_axis(1, 3)
    return {
        "by": v.one_of(("max", "max", "min", "add", "add", "mul", "and", "or", "max plus")),
        "size": size,
        "strides": size if v.chance(0.4) else v.per_axis(1, 2),
        "padding": padding,
        "dilation": [1] * rank if plain else v.per_axis(1, 2),
        "base": base,
    }


def backwards(x: Any, *, of: str, size: int, axis: int) -> Any:
    """The gradient of a pooling or of a sum of windows: scattered maxima, and transposed windows."""
    window = [size if k == axis else 1 for k in range(x.ndim)]

    def loss(a: Any) -> Any:
        if of == "max":
            return lax.reduce_window(a, -jnp.inf, lax.max, window, window, "VALID")
        if of == "add":
            return lax.reduce_window(a, 0.0, lax.add, window, [1] * x.ndim, "SAME")
        return jnp.where(a > 1, a * a, jax.nn.relu(a))

    x = ints(x).astype(np.float32)
    y, back = jax.vjp(loss, x)
    return back(jnp.ones_like(y) if of != "sum" else y)[0]


@kind(backwards, 0.4)
def _(v: View) -> Options | None:
    return {"of": v.one_of(("max", "add", "sum")), "size": v.integer(1, 3), "axis": v.axis()}


def resize(x: Any, *, ratios: dict[int, list[int]], method: str, antialias: bool) -> Any:
    """By a ratio where it divides, else by the nearest whole size."""
    size = [max(1, round(n * ratios[k][0] / ratios[k][1])) if k in ratios else n for k, n in enumerate(x.shape)]
    return jax.image.resize(x, size, method, antialias=antialias)


@kind(resize, 2)
def _(v: View) -> Options | None:
    if v.complex or v.boolean:
        return None
    p, q = v.one_of(((2, 1), (3, 1), (1, 2), (3, 2), (4, 3), (2, 3), (5, 2), (1, 3), (5, 3), (7, 3)))
    axes = v.space if v.chance(0.5) else (v.axis(0.95),)
    methods = ("nearest", "nearest", "linear", "cubic", "lanczos3") if v.floating else ("nearest",)
    return {"ratios": {k: [p, q] for k in axes}, "method": v.one_of(methods), "antialias": v.chance(0.5)}


def repeated(x: Any, *, axis: int, times: int, how: str) -> Any:
    if how == "repeat":
        return jnp.repeat(x, times, axis)
    if how == "tile":
        return jnp.tile(x, [times if k == axis else 1 for k in range(x.ndim)])
    wide = jnp.broadcast_to(jnp.expand_dims(x, axis + 1), (*x.shape[: axis + 1], times, *x.shape[axis + 1 :]))
    return wide.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])


@kind(repeated, 1)
def _(v: View) -> Options:
    how = v.one_of(("repeat", "repeat", "broadcast", "tile"))
    return {"axis": v.axis(0.3 if how == "tile" else 0.9), "times": v.integer(2, 3), "how": how}
