"""Norms, in the plain form: the mean, the mean of squared differences from it, and both spread again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from shiftjax.translation._torch._operations.table import Unsupported, operation, wide


class Moments(NamedTuple):
    """What a norm takes of its operand, with axes of size 1 for those that they are taken over."""

    mean: Any
    variance: Any


@dataclass(frozen=True)
class Normed:
    """What a norm by moments of its own gives, and these."""

    result: Any
    moments: Moments


def _standardized(x: Any, axes: tuple[int, ...], eps: float) -> Normed:
    mean = jnp.mean(x, axes, keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), axes, keepdims=True)
    return Normed((x - mean) * lax.rsqrt(variance + eps), Moments(mean, variance))


def _scaled(normed: Normed, weight: Any, bias: Any, shape: Sequence[int], like: Any) -> Normed:
    """Times a weight and plus a bias of each channel, in the shape and type of the operand."""
    x = normed.result.reshape(like.shape)
    x = x if weight is None else x * wide(weight).reshape(shape)
    x = x if bias is None else x + wide(bias).reshape(shape)
    return replace(normed, result=x.astype(like.dtype))


@operation("batch_norm")
def batch_norm(
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """By statistics that training has left behind; where there are none, by those of the whole batch."""
    if training and running_mean is not None:
        raise Unsupported("a batch norm that is training, which changes its statistics")
    if training or running_mean is None:
        shape = (-1, *(1,) * (x.ndim - 2))
        return _scaled(_standardized(wide(x), (0, *range(2, x.ndim)), eps), weight, bias, shape, x)
    return _by_running_statistics(x, weight, bias, running_mean, running_var, eps)


def _by_running_statistics(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, eps: float) -> Any:
    scale = lax.rsqrt(wide(variance) + eps)
    scale = scale if weight is None else scale * wide(weight)
    shift = -wide(mean) * scale if bias is None else wide(bias) - wide(mean) * scale
    shape = (-1, *(1,) * (x.ndim - 2))
    return (wide(x) * scale.reshape(shape) + shift.reshape(shape)).astype(x.dtype)


@operation("_native_batch_norm_legit_no_training")
def batch_norm_in_eval(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
) -> Any:
    """The same in the form of the core operations, with statistics for training that nobody uses."""
    return _by_running_statistics(x, weight, bias, running_mean, running_var, eps), None, None


@operation("_native_batch_norm_legit_functional")
def batch_norm_in_training(*args: Any) -> Any:
    """What is left of one that is training."""
    raise Unsupported("a batch norm that is training, which changes its statistics")


@operation("_native_batch_norm_legit.no_stats")
def batch_norm_of_batch(x: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float) -> Any:
    """By statistics of the batch."""
    return batch_norm(x, weight, bias, None, None, training, momentum, eps), None, None


@operation("instance_norm")
def instance_norm(
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """Each channel of each image by its own mean and variance over space, or by those that training has left behind."""
    if use_input_stats and running_mean is not None:
        raise Unsupported("an instance norm that is training, which changes its statistics")
    if not use_input_stats:
        return _by_running_statistics(x, weight, bias, running_mean, running_var, eps)
    normed = _standardized(wide(x), tuple(range(2, x.ndim)), eps)
    return _scaled(normed, weight, bias, (-1, *(1,) * (x.ndim - 2)), x)


@operation("group_norm")
def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True
) -> Any:
    """Groups of channels by their mean and variance over space."""
    groups = wide(x).reshape(x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:])
    normed = _standardized(groups, tuple(range(2, groups.ndim)), eps)
    return _scaled(normed, weight, bias, (-1, *(1,) * (x.ndim - 2)), x)


@operation("native_group_norm")
def native_group_norm(
    x: Any, weight: Any, bias: Any, batch: int, channels: int, pixels: int, group: int, eps: float
) -> Any:
    """The same in the form of the core operations."""
    if (batch, channels, pixels) != (x.shape[0], x.shape[1], math.prod(x.shape[2:])):
        raise Unsupported("its sizes are not those of its operand")
    return group_norm(x, group, weight, bias, eps), None, None


@operation("layer_norm")
def layer_norm(
    x: Any,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    """By the mean and variance over the last axes."""
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    return _scaled(_standardized(wide(x), axes, eps), weight, bias, normalized_shape, x)


@operation("native_layer_norm")
def native_layer_norm(x: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    """The same in the form of the core operations."""
    return layer_norm(x, normalized_shape, weight, bias, eps), None, None
