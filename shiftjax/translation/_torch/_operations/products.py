"""Products of matrices, and attention."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from shiftjax.translation._torch._operations.table import Unsupported, operation

operation("mm", "bmm", "matmul", "mv", "dot")(lambda x, other: jnp.matmul(x, other))


@operation("linear")
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x times the transposed weight, along the last axis."""
    y = jnp.matmul(x, weight.T)
    return y if bias is None else y + bias


@operation("addmm", "baddbmm", "addmv")
def add_product(x: Any, first: Any, second: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta x + alpha (first second)."""
    product = jnp.matmul(first, second)
    product = product if alpha == 1 else alpha * product
    return product if beta == 0 else (x if beta == 1 else beta * x) + product  # 0 leaves NaN out, too


@operation("einsum")
def einsum(equation: str, tensors: Any) -> Any:
    """As the equation says."""
    return jnp.einsum(equation, *tensors)


@operation("scaled_dot_product_attention")
def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query key^T scale + mask) value."""
    if dropout_p or is_causal or enable_gqa:
        raise Unsupported("attention with dropout, causal masks or grouped queries")
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    weights = jnp.matmul(query, jnp.swapaxes(key, -1, -2)) * factor
    if attn_mask is not None:
        weights = weights + (attn_mask if attn_mask.dtype != bool else jnp.where(attn_mask, 0.0, -jnp.inf))
    shares = jax.nn.softmax(weights, -1)
    if attn_mask is not None:  # what may look nowhere gets 0
        shares = jnp.where(jnp.all(weights == -jnp.inf, -1, keepdims=True), 0, shares)
    return jnp.matmul(shares, value)
