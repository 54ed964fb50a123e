"""Functions between the layers of a network, with their options; those without are in `elementwise`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from shiftjax.translation._torch._operations.table import Unsupported, operation


@operation("hardtanh")
def hardtanh(x: Any, min_val: float = -1, max_val: float = 1) -> Any:
    """Between two bounds."""
    return jnp.clip(x, min_val, max_val)


@operation("leaky_relu")
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x, or a fraction of it below 0."""
    return jnp.where(x > 0, x, x * negative_slope)


@operation("prelu", "_prelu_kernel")
def prelu(x: Any, weight: Any) -> Any:
    """x, or below 0 a fraction of it that each channel has of its own."""
    slope = weight.reshape(-1, *(1,) * (x.ndim - 2)) if weight.ndim == 1 and x.ndim > 1 else weight
    return jnp.where(x > 0, x, x * slope)


@operation("rrelu_with_noise_functional")
def random_relu(
    x: Any, noise: Any, lower: float = 0.125, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Any:
    """x, or below 0 the middle one of the fractions of it that are drawn in training."""
    if training:
        raise Unsupported("a fraction that is drawn, as in training")
    return leaky_relu(x, (lower + upper) / 2), noise


@operation("elu")
def elu(x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    """x, or alpha (exp(x) - 1) below 0."""
    return scale * jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0) * input_scale))


@operation("celu")
def celu(x: Any, alpha: float = 1.0) -> Any:
    """x, or alpha (exp(x / alpha) - 1) below 0."""
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.minimum(x, 0) / alpha))


@operation("gelu")
def gelu(x: Any, *, approximate: str = "none") -> Any:
    """x times the normal distribution's share below x."""
    return jax.nn.gelu(x, approximate=approximate == "tanh")


@operation("softplus")
def softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
    """log(1 + exp(beta x)) / beta, and x itself where that is large."""
    return jnp.where(x * beta > threshold, x, jax.nn.softplus(x * beta) / beta)


@operation("hardshrink")
def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    """0 between two bounds."""
    return jnp.where(jnp.abs(x) <= lambd, 0, x).astype(x.dtype)


@operation("softshrink")
def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """0 between two bounds, and from there on."""
    return jnp.where(x > lambd, x - lambd, jnp.where(x < -lambd, x + lambd, x * 0)).astype(x.dtype)  # NaN stays NaN


@operation("threshold")
def threshold(x: Any, threshold: float, value: float) -> Any:
    """x where it is above a threshold, or NaN."""
    return jnp.where(x <= threshold, value, x)


@operation("glu")
def glu(x: Any, dim: int = -1) -> Any:
    """One half of an axis times the sigmoid of the other."""
    first, second = jnp.split(x, 2, dim)
    return first * jax.nn.sigmoid(second)


@operation("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def dropout(x: Any, p: float, train: bool) -> Any:
    """Nothing, outside of training."""
    if train and p > 0:
        raise Unsupported("dropout that is switched on")
    return x


@operation("native_dropout")
def native_dropout(x: Any, p: float, train: bool | None) -> Any:
    """The same in the form of the core operations."""
    return dropout(x, p, train is not False), None
