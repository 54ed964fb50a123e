"""The parameters of an encoder-decoder: modules that hold them raw, and how they start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from shiftjax._typing import Array
from shiftjax.nets import operators

TRUNCATED_DEVIATION = 0.8796256610342398  # of a standard normal variable cut off at two deviations


class Convolution(nn.Module):
    """Kernel and bias of one convolution, held raw: `nn.Conv` would turn int32 into float32."""

    channels: int
    features: int
    kernel_size: tuple[int, ...]
    param_dtype: Any

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        shape = (*self.kernel_size, self.channels, self.features)
        kernel = parameter(self, "kernel", _kernel(math.prod(self.kernel_size)), shape)
        return kernel, parameter(self, "bias", _bias, (self.features,))


class Upsampling(nn.Module):
    """One learned upsampling."""

    features: int
    factors: tuple[int, ...]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = parameter(self, "kernel", _kernel(1), (*self.factors, x.shape[-1], self.features))
        bias = parameter(self, "bias", _bias, (self.features,))
        return operators.upsample_learned(*promoted(self.dtype, x, kernel, bias))


def parameter(module: Any, name: str, init: Callable[..., Array], shape: tuple[int, ...]) -> Array:
    """A parameter of the module's `param_dtype`; Flax's error if the one that is held has another shape.

    Flax would trace `init` at every application to learn the shape: a third of the time that tracing a network takes.
    """
    held = module.get_variable("params", name)
    if getattr(held, "shape", None) == shape:
        return held
    return module.param(name, init, shape, module.param_dtype)


def promoted(dtype: Any, *arrays: Any) -> Any:
    """Arrays, or trees of them, of one type: `dtype`, or by default the one that holds them all."""
    common = jnp.result_type(*jax.tree.leaves(arrays)) if dtype is None else dtype
    return jax.tree.map(lambda a: a.astype(common), arrays)


def _kernel(window: int) -> Callable[..., Array]:
    """He's variance 2 / fan-in, for kernels whose output pixels read `window` input pixels each."""

    def init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        size = math.prod(shape)  # drawn flat: XLA's CPU backend compiles draws of several axes 4 times slower
        if jnp.issubdtype(dtype, jnp.integer):
            return _small_integers(key, size, dtype).reshape(shape)
        deviation = math.sqrt(2 / (window * shape[-2])) / TRUNCATED_DEVIATION
        return deviation * jax.random.truncated_normal(key, -2, 2, (size,), dtype).reshape(shape)

    return init


def _bias(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    if jnp.issubdtype(dtype, jnp.integer):
        return _small_integers(key, shape[0], dtype)
    return jnp.zeros(shape, dtype)


def _small_integers(key: Array, size: int, dtype: Any) -> Array:
    """Integers -8 .. 8."""
    return (jax.random.bits(key, (size,)) % 17).astype(dtype) - 8
