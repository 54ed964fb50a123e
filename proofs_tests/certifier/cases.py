"""At least one small function for each rule of the certifier, in one spatial dimension unless more are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from shiftjax.certifier._rules import pointwise

N, C = 24, 2
NUMBERS = ("NHC", "HIO", "NHC")


@dataclass(frozen=True)
class Case:
    """A function of an image, the primitives that it is there for, and the image."""

    name: str
    fn: Callable[[Any], Any]
    primitives: tuple[str, ...]
    dtype: Any = np.int32
    shape: tuple[int, ...] = (1, N, C)
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name


def _weights(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).integers(-9, 9, shape).astype(np.int32) * 2 + 1


def _conv(x: Any, size: int = 3, out: int = 2, stride: int = 1, padding: Any = "VALID", **kwargs: Any) -> Any:
    kernel = _weights(size, C // kwargs.get("feature_group_count", 1), out)
    return lax.conv_general_dilated(x, kernel, (stride,), padding, dimension_numbers=NUMBERS, **kwargs)


def _window(fn: Any, start: Any, size: int, stride: int, padding: Any = "VALID", **kwargs: Any) -> Callable[[Any], Any]:
    return lambda x: lax.reduce_window(x, start, fn, (1, size, 1), (1, stride, 1), padding, **kwargs)


def _pair(a: Any, b: Any) -> Any:
    return a[0] + b[0], a[1] + b[1] * 2


def _odd_product(a: Any, b: Any) -> Any:
    return a * 3 + b * 5


@jax.custom_vjp
def _identity(x: Any) -> Any:
    return x[:, 1:] * 3


_identity.defvjp(lambda x: (_identity(x), None), lambda _, g: (g,))


@jax.custom_jvp
def _doubled(x: Any) -> Any:
    return x[:, 1:] * 2


_doubled.defjvp(lambda primals, tangents: (_doubled(*primals), _doubled(*tangents)))


def _over_channels(fn: Any, x: Any) -> Any:
    return fn(x[:, 1:], axis=-1)


def _scattered(name: str, x: Any) -> Any:
    return getattr(x[:, 1:].at[..., 0], name)(x[:, :-1, 1] * 5)


def _one(op: Callable[[Any], Any], x: Any) -> Any:
    return op(x[:, 1:])


def _unpooled(x: Any) -> Any:
    pool = _window(lax.max, -np.float32(np.inf), 3, 2)
    pooled, unpool = jax.vjp(pool, x)
    return unpool(pooled * 3)[0]


def _augmented(x: Any) -> Any:
    """Test-time augmentation, by a network with a period of 2."""
    net = lambda v: jnp.repeat(_conv(v, 2, stride=2), 2, axis=1) + v  # noqa: E731
    return net(x) + 3 * net(x[:, ::-1])[:, ::-1]


def _in_a_loop(x: Any) -> Any:
    y = jnp.zeros((1, N - 1, C), x.dtype)
    return lax.fori_loop(0, N - 1, lambda i, y: y.at[:, i].set(x[:, i] * 3 + x[:, i + 1]), y)


LOWEST, HIGHEST = np.iinfo(np.int32).min, np.iinfo(np.int32).max
WINDOWS = [
    Case("conv", _conv, ("conv_general_dilated",)),
    Case("conv same stride 2", lambda x: _conv(x, 3, 2, 2, "SAME"), ("conv_general_dilated",)),
    Case("conv stride 3", lambda x: _conv(x, 2, 2, 3), ("conv_general_dilated",)),
    Case("conv dilated", lambda x: _conv(x, 3, rhs_dilation=(2,)), ("conv_general_dilated",)),
    Case("conv of holes", lambda x: _conv(x, 3, padding=[(1, 2)], lhs_dilation=(2,)), ("conv_general_dilated",)),
    Case(
        "conv of holes, dilated, strided",
        lambda x: _conv(x, 3, stride=2, padding=[(2, 1)], lhs_dilation=(3,), rhs_dilation=(2,)),
        ("conv_general_dilated",),
    ),
    Case("conv negative padding", lambda x: _conv(x, 2, padding=[(-2, -1)]), ("conv_general_dilated",)),
    Case("conv in groups", lambda x: _conv(x, 3, 4, feature_group_count=2), ("conv_general_dilated",)),
    Case(
        "transposed conv",
        lambda x: lax.conv_transpose(x, _weights(3, 2, 2), (2,), "SAME", dimension_numbers=NUMBERS),
        ("conv_general_dilated",),
    ),
    Case("max pool", _window(lax.max, np.int32(LOWEST), 2, 2), ("reduce_window_max",)),
    Case("max pool 3 by 2", _window(lax.max, np.int32(LOWEST), 3, 2, "SAME"), ("reduce_window_max",)),
    Case("min pool", _window(lax.min, np.int32(HIGHEST), 2, 2), ("reduce_window_min",)),
    Case("sum pool", _window(lax.add, np.int32(0), 3, 2, window_dilation=(1, 2, 1)), ("reduce_window_sum",)),
    Case("sum pool of holes", _window(lax.add, np.int32(0), 2, 1, base_dilation=(1, 2, 1)), ("reduce_window_sum",)),
    Case("any pool", _window(_odd_product, np.int32(0), 3, 3), ("reduce_window",)),
    Case(
        "pair pool",
        lambda x: lax.reduce_window((x, 3 * x), (np.int32(0),) * 2, _pair, (1, 2, 1), (1, 2, 1), "VALID"),
        ("reduce_window",),
    ),
    Case("unpool", _unpooled, ("select_and_scatter_add",), dtype=np.float32),
    Case("pad", lambda x: lax.pad(x, np.int32(7), ((0, 0, 0), (2, 1, 0), (0, 0, 0))), ("pad",)),
    Case("pad between", lambda x: lax.pad(x, np.int32(7), ((0, 0, 0), (-1, 2, 2), (0, 0, 0))), ("pad",)),
    Case("crop by padding", lambda x: lax.pad(x, np.int32(7), ((0, 0, 0), (-3, -2, 0), (0, 0, 0))), ("pad",)),
    Case("slice", lambda x: x[:, 3:20:2], ("slice",)),
    Case("last channel", lambda x: x[:, 1:, 1:], ("slice",)),
]
CUTS = ((0, 9), (7, 13), (11, N))


def _filled(x: Any, places: list[int]) -> Any:
    y = jnp.zeros((1, N - 2, C), x.dtype)
    for k in places:
        y = lax.dynamic_update_slice(y, _conv(x[:, k : k + 8]), (0, k, 0))
    return y


LAYOUT = [
    Case("repeat", lambda x: jnp.repeat(x[:, 1:], 3, axis=1), ("broadcast_in_dim", "reshape")),
    Case("transpose", lambda x: x[:, 1:].transpose(0, 2, 1), ("transpose",)),
    Case("squeeze", lambda x: x[:, 2:][0], ("squeeze",)),
    Case("split by reshape", lambda x: x.reshape(1, N // 3, 3 * C), ("reshape",)),
    Case("merge by reshape", lambda x: (x[:, 1:] * np.array([1, 3])).reshape(1, 2 * N - 2, 1), ("reshape",)),
    Case("flat and back", lambda x: (x.reshape(-1, C) @ _weights(2, 2)).reshape(1, N, 2), ("reshape", "dot_general")),
    Case("concatenate channels", lambda x: jnp.concatenate([x[:, :-2], x[:, 2:]], -1), ("concatenate",)),
    Case("roll", lambda x: jnp.roll(x, 3, axis=1), ("concatenate",)),
    Case("roll back", lambda x: jnp.roll(x, -5, axis=1), ("concatenate",)),
    Case("wrap", lambda x: jnp.pad(x, ((0, 0), (2, 3), (0, 0)), mode="wrap"), ("concatenate",)),
    Case("reflect", lambda x: _conv(jnp.pad(x, ((0, 0), (2, 2), (0, 0)), mode="reflect"), 3), ("rev", "concatenate")),
    Case("edge", lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 0)), mode="edge"), ("broadcast_in_dim", "concatenate")),
    Case("end to end", lambda x: jnp.concatenate([_conv(x[:, a:b]) for a, b in CUTS], 1), ("concatenate",)),
    Case("mirrored twice", lambda x: _conv(x[:, ::-1])[:, ::-1], ("rev",)),
    Case("augmented", _augmented, ("rev",)),
    Case("slices", lambda x: jnp.stack([x[:, i] + 3 * x[:, i + 2] for i in range(N - 2)], 1), ("squeeze", "stack")),
    Case("reversed channels", lambda x: x[:, 1:, ::-1], ("rev",)),
    Case("split channels", lambda x: jnp.split(x[:, 1:], 2, axis=-1), ("split",)),
    Case("split space", lambda x: jnp.split(x, [5, 18], axis=1)[1], ("split",)),
    Case("stack", lambda x: jnp.stack([x[:, 1:], 3 * x[:, :-1]], 0), ("stack",)),
    Case("stack and interleave", lambda x: jnp.stack([x, 3 * x], 2).reshape(1, 2 * N, C), ("stack",)),
    Case("unstack", lambda x: jnp.unstack(x[:, 2:], axis=2)[1], ("unstack",)),
    Case("tile", lambda x: jnp.tile(x[:, 1:], (1, 1, 2)), ("tile",)),
]
MIXING = [
    Case("dense", lambda x: x[:, 1:] @ _weights(2, 3), ("dot_general",)),
    Case("products of channels", lambda x: jnp.einsum("bnc,bnd->bncd", x[:, 1:], x[:, :-1]), ("dot_general",)),
    Case(
        "linear resize",
        lambda x: jax.image.resize(x, (1, 2 * N, C), "linear"),
        ("dot_general",),
        dtype=np.float32,
    ),
    *[
        Case(f"{name} over channels", partial(_over_channels, f), (f"reduce_{name}",))
        for name, f in {"sum": jnp.sum, "max": jnp.max, "min": jnp.min, "prod": jnp.prod}.items()
    ],
    Case("and", lambda x: jnp.bitwise_and.reduce(x[:, 1:], axis=-1), ("reduce_and",)),
    Case("or", lambda x: jnp.bitwise_or.reduce(x[:, 1:], axis=-1), ("reduce_or",)),
    Case("xor", lambda x: jnp.bitwise_xor.reduce(x[:, 1:], axis=-1), ("reduce_xor",)),
    Case("max over windows", lambda x: x.reshape(1, N // 2, 2, C).max(2), ("reduce_max",)),
    Case("argmax", lambda x: jnp.argmax(x[:, 1:], axis=-1), ("argmax",)),
    Case("argmin", lambda x: jnp.argmin(x[:, 1:], axis=-1), ("argmin",)),
    Case("cumsum", lambda x: jnp.cumsum(x[:, 1:], axis=-1), ("cumsum",)),
    Case("cumprod", lambda x: jnp.cumprod(x[:, 1:], axis=-1), ("cumprod",)),
    Case("cummax", lambda x: lax.cummax(x[:, 1:], 2), ("cummax",)),
    Case("cummin", lambda x: lax.cummin(x[:, 1:], 2), ("cummin",)),
    Case("cumlogsumexp", lambda x: lax.cumlogsumexp(x[:, 1:], 2), ("cumlogsumexp",), dtype=np.float32),
    Case("sort", lambda x: jnp.sort(x[:, 1:], axis=-1), ("sort",)),
    Case("top_k", lambda x: lax.top_k(x[:, 1:], 1), ("top_k",)),
    Case("approx_max_k", lambda x: lax.approx_max_k(x[:, 1:], 1), ("approx_top_k",), dtype=np.float32),
    Case("reduce", lambda x: lax.reduce(x[:, 1:], np.int32(2), _odd_product, (2,)), ("reduce",)),
    Case("fft", lambda x: jnp.fft.rfft(x[:, 1:], axis=-1).real, ("fft",), dtype=np.float32),
]
PLACES = np.array([3 * (i // 2) + i % 2 for i in range(14)])
INDEXING = [
    Case("dynamic_slice", lambda x: lax.dynamic_slice(x, (0, 3, 0), (1, 10, 2)), ("dynamic_slice",)),
    Case(
        "dynamic_update_slice",
        lambda x: lax.dynamic_update_slice(x[:, 1:], 3 * x[:, :-1, :1], (0, 0, 1)),
        ("dynamic_update_slice",),
    ),
    Case("filled", lambda x: _filled(x, [0, 5, 11]), ("dynamic_update_slice",)),
    Case("filled with a gap", lambda x: _filled(x, [0, 5, 12]), ("dynamic_update_slice",)),
    *[
        Case(f"scatter {name}", partial(_scattered, name), (prim,))
        for name, prim in {
            "set": "scatter",
            "add": "scatter_add",
            "subtract": "scatter_sub",
            "multiply": "scatter_mul",
            "min": "scatter_min",
            "max": "scatter_max",
        }.items()
    ],
    Case("gather", lambda x: x[:, PLACES], ("gather",)),
    Case("gather at the border", lambda x: x[:, np.clip(np.arange(-2, N + 3), 0, N - 1)], ("gather",)),
    Case("look up among channels", lambda x: jnp.take_along_axis(x[:, 1:], x[:, :-1] % C, -1), ("gather",)),
    Case("set block", lambda x: x.at[:, 3:6].set(0), ("scatter",)),
    Case("look up", lambda x: jnp.arange(50)[x[:, 1:] % 50] * 3, ("gather",)),
    Case("nearest resize", lambda x: jax.image.resize(x, (1, N // 3 * 4, C), "nearest"), ("gather",)),
]
MESH = jax.make_mesh((1,), ("i",), axis_types=(AxisType.Auto,))
SHARED = NamedSharding(MESH, PartitionSpec())
ALONE: Any = {"mesh": MESH, "in_specs": PartitionSpec(None, "i"), "out_specs": PartitionSpec(None, "i")}
CONTROL = [
    Case("jit", jax.jit(lambda x: x[:, 1:] * 3), ("jit",)),
    Case("remat", jax.checkpoint(lambda x: x[:, 1:] * 3), ("remat",)),
    Case("custom_jvp", _doubled, ("custom_jvp_call",)),
    Case("custom_vjp", _identity, ("custom_vjp_call",)),
    Case("cond", lambda x: lax.cond(np.bool_(True), lambda v: v[:, 1:], lambda v: v[:, :-1] * 2, x), ("cond",)),
    Case("scan", lambda x: lax.scan(lambda c, k: (_conv(c, 3, padding="SAME") + k, c), x, jnp.arange(2))[0], ("scan",)),
    Case("scan out", lambda x: lax.scan(lambda c, k: (c, c[:, 1:] * k), x, jnp.arange(3))[1], ("scan",)),
    Case("long scan", lambda x: lax.fori_loop(0, 999, lambda i, v: v * 3 + i, x[:, 1:]), ("scan",)),
    Case(
        "while",
        lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 3), (0, x[:, 1:]))[1],
        ("while",),
    ),
    Case("map over rows", lambda x: lax.map(lambda r: r * 3, x[:, 1:].swapaxes(0, 1)).swapaxes(0, 1), ("scan",)),
    Case("filled in a loop", _in_a_loop, ("scan", "scatter")),
    Case("shard_map", lambda x: jax.shard_map(lambda v: v[:, 1:] * 2, **ALONE)(x), ("shard_map",)),
    Case("sharded", lambda x: lax.with_sharding_constraint(x[:, 1:], SHARED), ("sharding_constraint",)),
    Case("barrier", lambda x: lax.optimization_barrier(x[:, 1:]), ("optimization_barrier",)),
    Case("device_put", lambda x: jax.device_put(x[:, 1:]), ("device_put",)),
    Case("bitcast", lambda x: lax.bitcast_convert_type(x[:, 1:], np.uint32), ("bitcast_convert_type",)),
]


def _two(fn: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda x: fn(x[:, 1:], x[:, :-1])


def _turned(x: Any) -> Any:
    return lax.complex(x[:, 1:], x[:, :-1]) * (1 + 2j)


BOOLEAN = ("and", "or", "xor", "not")
BITS = ("shift_left", "shift_right_arithmetic", "shift_right_logical", "clz", "population_count", "mulhi")
NAMES = {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "not": "bitwise_not", "copy": "copy_p"}


def _pointwise_cases() -> list[Case]:
    """One case per pointwise primitive of `jax.lax`; those with no function there are listed by hand."""
    special = {
        "acosh": lambda x: lax.acosh(1 + x[:, 1:]),
        "bessel_i0e": lambda x: lax.bessel_i0e(x[:, 1:]),
        "real": lambda x: lax.real(_turned(x)),
        "imag": lambda x: lax.imag(_turned(x)),
        "conj": lambda x: lax.imag(lax.conj(_turned(x))),
        "complex": lambda x: lax.abs(lax.complex(x[:, 1:], x[:, :-1])),
        "copy": lambda x: jnp.array(x[:, 1:], copy=True),
        "stop_gradient": lambda x: lax.stop_gradient(x[:, 1:]),
        "name": lambda x: checkpoint_name(x[:, 1:], "x"),
        "integer_pow": lambda x: lax.integer_pow(x[:, 1:], 3),
        "round": lambda x: lax.round(20 * x[:, 1:]),
        "floor": lambda x: lax.floor(20 * x[:, 1:]),
        "ceil": lambda x: lax.ceil(20 * x[:, 1:]),
        "sign": lambda x: lax.sign(x[:, 1:] - 0.5),
        "is_finite": lambda x: lax.is_finite(x[:, 1:] / lax.floor(2 * x[:, 1:])),
        "reduce_precision": lambda x: lax.reduce_precision(x[:, 1:], 8, 7),
        "convert_element_type": lambda x: (20 * x[:, 1:]).astype(np.int32),
        "select_n": lambda x: jnp.where(x[:, 1:] > 0.4, x[:, 1:], x[:, :-1]),
        "clamp": lambda x: lax.clamp(np.float32(0.2), x[:, 1:], x[:, :-1]),
        "regularized_incomplete_beta": lambda x: lax.betainc(x[:, 1:], x[:, :-1], x[:, 1:]),
        "polygamma": lambda x: lax.polygamma(jnp.ones_like(x[:, 1:]), x[:, 1:]),
        "zeta": lambda x: lax.zeta(2 + x[:, 1:], x[:, :-1]),
        "erf_inv": lambda x: lax.erf_inv(x[:, 1:]),
        "shift_left": lambda x: lax.shift_left(x[:, 1:], x[:, :-1] % 8),
        "shift_right_arithmetic": lambda x: lax.shift_right_arithmetic(x[:, 1:], x[:, :-1] % 8),
        "shift_right_logical": lambda x: lax.shift_right_logical(x[:, 1:], x[:, :-1] % 8),
        "eq": lambda x: lax.eq(lax.floor(3 * x[:, 1:]), lax.floor(3 * x[:, :-1])),
        "ne": lambda x: lax.ne(lax.floor(3 * x[:, 1:]), lax.floor(3 * x[:, :-1])),
    }
    unary, binary = pointwise.UNARY.split(), pointwise.BINARY.split()
    found = []
    for name in [*unary, *binary, *pointwise.OTHER.split()]:
        dtype = np.int32 if name in BITS or name in BOOLEAN else np.float32
        fn = special.get(name)
        if fn is None and (op := getattr(lax, NAMES.get(name, name), None)) is not None:
            fn = partial(_one, op) if name in unary else _two(op)
        if fn is not None:
            found.append(Case(name, fn, (name,), dtype=dtype))
    return found


CASES = [*WINDOWS, *LAYOUT, *MIXING, *INDEXING, *CONTROL, *_pointwise_cases()]
