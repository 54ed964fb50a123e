"""Convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from shiftjax.nets import operators
from shiftjax.translation._torch._operations.table import channels_first, channels_last, each, operation

Ints = int | Sequence[int]


@operation("conv1d", "conv2d", "conv3d")
def convolve(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """out[i] = sum over k of weight[k] x[stride * i + dilation * k - padding], zeros beyond the border."""
    ndim = weight.ndim - 2
    if x.ndim == ndim + 1:  # an image without a batch
        return convolve(x[None], weight, bias, stride, padding, dilation, groups)[0]
    steps = each(dilation, ndim)
    spans = [d * (k - 1) for d, k in zip(steps, weight.shape[2:], strict=True)]
    if padding == "same":
        pads = [(span // 2, span - span // 2) for span in spans]
    elif padding == "valid":
        pads = [(0, 0)] * ndim
    else:
        assert not isinstance(padding, str)
        pads = [(p, p) for p in each(padding, ndim)]
    if groups == 1 and {*each(stride, ndim), *steps} == {1}:
        y = _as_in_networks(x, weight, pads)
    else:
        y = lax.conv_general_dilated(
            x, weight, each(stride, ndim), pads, rhs_dilation=steps, feature_group_count=groups
        )
    return y if bias is None else y + _per_channel(bias, ndim)


def _as_in_networks(x: Any, weight: Any, pads: Sequence[tuple[int, int]]) -> Any:
    """At stride 1, in the forms of this library's own networks, each of which its platform runs fast."""
    window = weight.shape[2:]
    same = list(pads) == [((k - 1) // 2, k // 2) for k in window]
    if not same and any(map(any, pads)):
        x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), (0, 0, 0), *((before, after, 0) for before, after in pads)])
    kernel = jnp.moveaxis(weight, (1, 0), (-2, -1))
    return channels_first(operators.convolve(channels_last(x), kernel, padding="SAME" if same else "VALID"))


def convolve_transposed(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """out[stride * i + dilation * k - padding] gets weight[k] x[i]: a mirrored kernel over an image with gaps."""
    ndim = weight.ndim - 2
    if x.ndim == ndim + 1:
        return convolve_transposed(x[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    steps, pads, extra = each(dilation, ndim), each(padding, ndim), each(output_padding, ndim)
    spans = [d * (k - 1) for d, k in zip(steps, weight.shape[2:], strict=True)]
    if each(stride, ndim) == weight.shape[2:] and groups == 1 and {*steps} == {1} and not any((*pads, *extra)):
        y = operators.upsample_learned(channels_last(x), jnp.moveaxis(weight, (0, 1), (-2, -1)))  # blocks side by side
        y = channels_first(y)
        return y if bias is None else y + _per_channel(bias, ndim)
    incoming, outgoing = weight.shape[:2]
    kernel = jnp.flip(weight, tuple(range(2, weight.ndim))).reshape(
        groups, incoming // groups, outgoing, *weight.shape[2:]
    )
    kernel = jnp.swapaxes(kernel, 1, 2).reshape(groups * outgoing, incoming // groups, *weight.shape[2:])
    y = lax.conv_general_dilated(
        x,
        kernel,
        (1,) * ndim,
        [(span - p, span - p + more) for span, p, more in zip(spans, pads, extra, strict=True)],
        lhs_dilation=each(stride, ndim),
        rhs_dilation=steps,
        feature_group_count=groups,
    )
    return y if bias is None else y + _per_channel(bias, ndim)


operation("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")(convolve_transposed)


@operation("convolution")
def convolution(
    x: Any,
    weight: Any,
    bias: Any,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
) -> Any:
    """Either of the two."""
    if transposed:
        return convolve_transposed(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return convolve(x, weight, bias, stride, padding, dilation, groups)


def _per_channel(bias: Any, ndim: int) -> Any:
    return bias.reshape(-1, *(1,) * ndim)
