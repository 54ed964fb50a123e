"""Functions of each number alone, of two and three numbers at one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shiftjax.translation._torch._operations.table import Unsupported, operation


def _real(x: Any) -> Any:
    """Integers in floating point, as PyTorch has them in functions of real numbers."""
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)


def _sign(x: Any) -> Any:
    """1, 0 or -1; 0 for NaN too, as PyTorch has it."""
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype) if x.dtype != bool else x


ONE: dict[str, Callable[[Any], Any]] = {
    "abs": jnp.abs,
    "acos": jnp.arccos,
    "asin": jnp.arcsin,
    "asinh": jnp.arcsinh,
    "atan": jnp.arctan,
    "atanh": jnp.arctanh,
    "bitwise_not": jnp.bitwise_not,
    "ceil": jnp.ceil,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "erf": lambda x: lax.erf(_real(x)),
    "erfc": lambda x: lax.erfc(_real(x)),
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "floor": jnp.floor,
    "frac": lambda x: x - jnp.trunc(x),
    "hardsigmoid": lambda x: jnp.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * jnp.clip(x + 3, 0, 6) / 6,
    "isfinite": jnp.isfinite,
    "isinf": jnp.isinf,
    "isnan": jnp.isnan,
    "log": jnp.log,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "log2": jnp.log2,
    "log_sigmoid": jax.nn.log_sigmoid,
    "logical_not": jnp.logical_not,
    "mish": lambda x: x * jnp.tanh(jax.nn.softplus(x)),
    "neg": jnp.negative,
    "reciprocal": jnp.reciprocal,
    "relu": lambda x: jnp.maximum(x, 0),
    "relu6": lambda x: jnp.clip(x, 0, 6),
    "rsqrt": lambda x: lax.rsqrt(_real(x)),
    "selu": lambda x: 1.0507009873554805 * jnp.where(x > 0, x, 1.6732632423543772 * jnp.expm1(x)),
    "sigmoid": lambda x: jax.nn.sigmoid(_real(x)),
    "sign": _sign,
    "silu": lambda x: x * jax.nn.sigmoid(x),
    "sin": jnp.sin,
    "sinh": jnp.sinh,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "tan": jnp.tan,
    "tanh": jnp.tanh,
    "trunc": jnp.trunc,
}
TWO: dict[str, Callable[[Any, Any], Any]] = {
    "atan2": jnp.arctan2,
    "bitwise_and": jnp.bitwise_and,
    "bitwise_or": jnp.bitwise_or,
    "bitwise_xor": jnp.bitwise_xor,
    "eq": jnp.equal,
    "floor_divide": jnp.floor_divide,
    "fmod": jnp.fmod,
    "ge": jnp.greater_equal,
    "gt": jnp.greater,
    "le": jnp.less_equal,
    "logical_and": jnp.logical_and,
    "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor,
    "lt": jnp.less,
    "maximum": jnp.maximum,
    "max.other": jnp.maximum,
    "minimum": jnp.minimum,
    "min.other": jnp.minimum,
    "mul": jnp.multiply,
    "ne": jnp.not_equal,
    "pow": jnp.power,
    "remainder": jnp.remainder,
}


def _unary(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x: function(x)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda x, other: function(x, other)


for _name, _one in ONE.items():
    operation(_name)(_unary(_one))
for _name, _two in TWO.items():
    operation(_name)(_binary(_two))


@operation("round.default")
def round_even(x: Any) -> Any:
    """To the nearest whole number, halves to the even one."""
    return jnp.round(x)


@operation("add")
def add(x: Any, other: Any, *, alpha: float = 1) -> Any:
    """x + alpha * other."""
    return x + (other if alpha == 1 else alpha * other)


@operation("sub", "subtract")
def sub(x: Any, other: Any, *, alpha: float = 1) -> Any:
    """x - alpha * other."""
    return x - (other if alpha == 1 else alpha * other)


@operation("rsub")
def rsub(x: Any, other: Any, alpha: float = 1) -> Any:
    """other - alpha * x."""
    return other - (x if alpha == 1 else alpha * x)


@operation("div", "divide", "true_divide")
def div(x: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """x / other, rounded where it is asked for."""
    if rounding_mode == "floor":
        return jnp.floor_divide(x, other)
    if rounding_mode == "trunc":
        if not jnp.issubdtype(jnp.result_type(x, other), jnp.floating):
            raise Unsupported("a division of integers that rounds towards 0")
        return jnp.trunc(x / other)
    return x / other


@operation("clamp", "clip")
def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    """Between two bounds; where they cross, the upper one."""
    x = x if min is None else jnp.maximum(x, min)
    return x if max is None else jnp.minimum(x, max)


operation("clamp_min")(lambda x, min: jnp.maximum(x, min))
operation("clamp_max")(lambda x, max: jnp.minimum(x, max))


@operation("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def where(condition: Any, x: Any, other: Any) -> Any:
    """x where a condition holds."""
    return jnp.where(condition, x, other)


@operation("masked_fill")
def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """A value where a mask is set."""
    return jnp.where(mask, jnp.asarray(value, x.dtype), x)


@operation("lerp")
def lerp(x: Any, end: Any, weight: Any) -> Any:
    """Between two values."""
    return x + weight * (end - x)


@operation("addcmul")
def addcmul(x: Any, first: Any, second: Any, *, value: float = 1) -> Any:
    """x + value * first * second."""
    return x + (first * second if value == 1 else value * first * second)


@operation("addcdiv")
def addcdiv(x: Any, first: Any, second: Any, *, value: float = 1) -> Any:
    """x + value * first / second."""
    return x + (first / second if value == 1 else value * first / second)


@operation("nan_to_num")
def nan_to_num(x: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Numbers for what is none."""
    return jnp.nan_to_num(x, nan=nan or 0.0, posinf=posinf, neginf=neginf)


@operation("to.dtype")
def to_dtype(x: Any, dtype: Any, non_blocking: bool = False, copy: bool = False, memory_format: Any = None) -> Any:
    """Another type of numbers."""
    return _converted(x, dtype)


@operation("_to_copy")
def to_copy(
    x: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> Any:
    """Another type of numbers, or none."""
    return x if dtype is None else _converted(x, dtype)


def _converted(x: Any, dtype: Any) -> Any:
    if jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(dtype, jnp.integer):
        x = jnp.trunc(x)
        # PyTorch keeps the last bits of a number that does not fit into 8 or 16; JAX would take the nearest that does.
        return (x.astype(jnp.int32) if jnp.dtype(dtype).itemsize < 4 else x).astype(dtype)
    return x.astype(dtype)


operation("type_as")(lambda x, other: _converted(x, other.dtype))


@operation("copy")
def copy(x: Any, src: Any, non_blocking: bool = False) -> Any:
    """The values of another array in the shape and type of this one."""
    return jnp.broadcast_to(_converted(src, x.dtype), x.shape)


@operation("fill.Scalar", "fill.Tensor", "full_like")
def fill(x: Any, value: Any, *, dtype: Any = None, **where_it_lies: Any) -> Any:
    """A value all over."""
    return jnp.full(x.shape, value, x.dtype if dtype is None else dtype)


@operation("zeros_like", "empty_like")
def zeros_like(x: Any, *, dtype: Any = None, **where_it_lies: Any) -> Any:
    """0 all over."""
    return fill(x, 0, dtype=dtype)


@operation("ones_like")
def ones_like(x: Any, *, dtype: Any = None, **where_it_lies: Any) -> Any:
    """1 all over."""
    return fill(x, 1, dtype=dtype)


def _new(value: float) -> Callable[..., Any]:
    def new(x: Any, size: Any, *, dtype: Any = None, **where_it_lies: Any) -> Any:
        """A value all over another shape."""
        return jnp.full(tuple(size), value, x.dtype if dtype is None else dtype)

    return new


operation("new_zeros", "new_empty")(_new(0))
operation("new_ones")(_new(1))


@operation("new_full")
def new_full(x: Any, size: Any, fill_value: Any, *, dtype: Any = None, **where_it_lies: Any) -> Any:
    """A value all over another shape."""
    return jnp.full(tuple(size), fill_value, x.dtype if dtype is None else dtype)


@operation("_assert_tensor_metadata")
def nothing(*args: Any, **options: Any) -> None:
    """A check of shapes and types, which the export has made."""
