"""Sums, means, extremes and norms over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from shiftjax.translation._torch._operations.pooling import Places
from shiftjax.translation._torch._operations.table import operation, wide

Dim = int | Sequence[int] | None


def _axes(dim: Dim) -> int | tuple[int, ...] | None:
    """PyTorch's empty list stands for all axes."""
    if dim is None or isinstance(dim, int):
        return dim
    return tuple(dim) or None


def _total(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def apply(x: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
        return reduce(x if dtype is None else x.astype(dtype), _axes(dim), keepdims=keepdim)

    return apply


def _whole(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def apply(x: Any, *, dtype: Any = None) -> Any:
        return reduce(x if dtype is None else x.astype(dtype))

    return apply


for _name, _reduce in (("sum", jnp.sum), ("mean", jnp.mean)):
    operation(f"{_name}.dim_IntList" if _name == "sum" else "mean.dim")(_total(_reduce))
    operation(f"{_name}.default")(_whole(_reduce))


@operation("amax")
def amax(x: Any, dim: Dim = (), keepdim: bool = False) -> Any:
    """The largest along axes."""
    return jnp.max(x, _axes(dim), keepdims=keepdim)


@operation("amin")
def amin(x: Any, dim: Dim = (), keepdim: bool = False) -> Any:
    """The smallest along axes."""
    return jnp.min(x, _axes(dim), keepdims=keepdim)


@operation("max.dim")
def largest(x: Any, dim: int, keepdim: bool = False) -> Any:
    """The largest along an axis, without their places."""
    return jnp.max(x, dim, keepdims=keepdim), Places()


@operation("min.dim")
def smallest(x: Any, dim: int, keepdim: bool = False) -> Any:
    """The smallest along an axis, without their places."""
    return jnp.min(x, dim, keepdims=keepdim), Places()


operation("max.default")(lambda x: jnp.max(x))
operation("min.default")(lambda x: jnp.min(x))


@operation("argmax")
def argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The place of the largest along an axis."""
    return jnp.argmax(x, dim, keepdims=keepdim)


@operation("argmin")
def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The place of the smallest along an axis."""
    return jnp.argmin(x, dim, keepdims=keepdim)


@operation("var.correction")
def variance(x: Any, dim: Dim = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """The mean of squared differences from the mean, over so many fewer."""
    axes, x = _axes(dim), wide(x)
    deviation = x - jnp.mean(x, axes, keepdims=True)
    count = x.size // max(jnp.mean(x, axes).size, 1)
    degrees = max(count - (1 if correction is None else correction), 0)
    return jnp.sum(jnp.square(deviation), axes, keepdims=keepdim) / degrees


@operation("std.correction")
def deviation(x: Any, dim: Dim = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """The square root of the variance."""
    return jnp.sqrt(variance(x, dim, correction=correction, keepdim=keepdim))


@operation("var_mean.correction")
def variance_and_mean(x: Any, dim: Dim = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """Both."""
    return variance(x, dim, correction=correction, keepdim=keepdim), jnp.mean(x, _axes(dim), keepdims=keepdim)


@operation("linalg_vector_norm")
def vector_norm(x: Any, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The length of vectors along axes."""
    x = jnp.abs(wide(x if dtype is None else x.astype(dtype)))
    axes = _axes(dim)
    if ord == 2:
        return jnp.sqrt(jnp.sum(jnp.square(x), axes, keepdims=keepdim))
    if ord in (float("inf"), -float("inf")):
        return (jnp.max if ord > 0 else jnp.min)(x, axes, keepdims=keepdim)
    if ord == 0:
        return jnp.sum(x != 0, axes, keepdims=keepdim)
    if ord == 1:
        return jnp.sum(x, axes, keepdims=keepdim)
    return jnp.sum(x**ord, axes, keepdims=keepdim) ** (1 / ord)


@operation("softmax.int", "_softmax")
def softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    """exp(x) over its sum along an axis."""
    return jax.nn.softmax(x.astype(dtype) if dtype not in (None, False, True) else x, dim)


@operation("log_softmax.int", "_log_softmax")
def log_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    """Its logarithm."""
    return jax.nn.log_softmax(x.astype(dtype) if dtype not in (None, False, True) else x, dim)


@operation("cumsum")
def cumsum(x: Any, dim: int, *, dtype: Any = None) -> Any:
    """Sums of all up to each."""
    return jnp.cumsum(x if dtype is None else x.astype(dtype), dim)


operation("any.default")(lambda x: jnp.any(x))
operation("all.default")(lambda x: jnp.all(x))
operation("any.dim", "any.dims")(lambda x, dim=None, keepdim=False: jnp.any(x, _axes(dim), keepdims=keepdim))
operation("all.dim", "all.dims")(lambda x, dim=None, keepdim=False: jnp.all(x, _axes(dim), keepdims=keepdim))
operation("prod.dim_int")(lambda x, dim, keepdim=False: jnp.prod(x, dim, keepdims=keepdim))
