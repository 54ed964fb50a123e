"""Random programs of an image: not only encoder-decoders. Every draw is valid; sizes are tracked as they are drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from hypothesis import strategies as st

from proofs_tests.certifier.operations import (
    Op,
    Weights,
    branched,
    channels,
    channels_first,
    conv,
    crop,
    dense,
    either,
    in_pieces,
    injective,
    interior,
    looped,
    pad,
    pattern,
    pool,
    repeat,
    resize,
    roll,
    run,
    scanned,
    shuffle,
    twice,
    unshuffle,
    upsample,
    wrapped,
)

LARGEST = {1: 60, 2: 34, 3: 16}


@dataclass(frozen=True)
class Program:
    """A function of parameters and an image (batch, *space, channel), in int32."""

    ops: tuple[Op, ...]
    names: tuple[str, ...]
    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Program({self.shape}: {' | '.join(self.names)})"

    def apply(self, params: Sequence[Any], x: Any) -> Any:
        return run(self.ops, Weights(params), x)

    def parameter_shapes(self) -> list[tuple[int, ...]]:
        weights = Weights()
        jax.eval_shape(lambda x: run(self.ops, weights, x), jax.ShapeDtypeStruct(self.shape, jnp.int32))
        return weights.shapes


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


COMPOSED = ("branched", "branched", "unet", "unet", "either", "wrapped", "pieces", "pieces")


@st.composite
def operations(draw: Any, shape: tuple[int, ...], *, depth: int = 0) -> tuple[str, Op]:
    """One operation for an array of this shape."""
    d = len(shape) - 2
    kinds = [*SIMPLE, *(COMPOSED if depth == 0 else ())]
    kind = draw(st.sampled_from(kinds))
    if kind in SIMPLE:
        op, text = SIMPLE[kind](draw, d, shape)
        return f"{kind}{text}", op
    if kind == "wrapped":
        how = draw(st.sampled_from(["jit", "remat", "vmap"]))
        name, op = draw(operations(shape, depth=1))
        return f"{how}({name})", functools.partial(wrapped, op=op, how=how)
    if kind == "pieces":
        return _pieces(draw, shape)
    if kind == "either":
        (n1, a), (n2, b) = draw(operations(shape, depth=1)), draw(operations(shape, depth=1))
        return f"either({n1}, {n2})", functools.partial(either, a=a, b=b)
    join = draw(st.sampled_from(["concatenate", "concatenate", "add", "max", "mul", "sub"]))
    shift = [draw(st.sampled_from([0.0, 0.5, 1.0])) for _ in range(d)]
    one = [draw(operations(shape, depth=1)) for _ in range(draw(st.integers(0, 2)))]
    two = _down_and_up(draw, d) if kind == "unet" else [draw(operations(shape, depth=1)) for _ in range(2)]
    op = functools.partial(branched, a=[o for _, o in one], b=[o for _, o in two], join=join, shift=shift)
    return f"{join}([{', '.join(n for n, _ in one)}], [{', '.join(n for n, _ in two)}])", op


def _pieces(draw: Any, shape: tuple[int, ...]) -> tuple[str, Op]:
    inner = [draw(operations(shape, depth=1)) for _ in range(draw(st.integers(1, 2)))]
    options = {
        "cuts": draw(st.lists(st.sampled_from([0.25, 0.4, 0.5, 0.75]), min_size=1, max_size=2, unique=True)),
        "how": draw(st.sampled_from(["concatenate", "update", "overlap"])),
        "slips": draw(st.sampled_from([(0, 0, 0), (0, 0, 0), (0, 0, 1), (0, -1, 0), (1, 1, 1)])),
    }
    op = functools.partial(in_pieces, ops=[o for _, o in inner], **options)
    return f"pieces({', '.join(n for n, _ in inner)}, {tuple(options.values())})", op


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
    options: dict[str, Any] = {
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
        resize,
        factor=lambda draw, d: [
            draw(st.sampled_from([(1, 1), (2, 1), (4, 3), (1, 3), (3, 2), (5, 2)])) for _ in range(d)
        ],
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
