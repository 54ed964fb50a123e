"""Receptive fields and exact windows of a U-Net along one axis, derived by hand.

Independent of the certifier, which derives the same from the jaxpr: the claims hold both against the network.
"""

from __future__ import annotations

from collections.abc import Sequence

from shiftjax import UNet
from shiftjax._arithmetic import ceil_div
from shiftjax._checks import per_axis
from shiftjax.nets._geometry import AxisGeometry

Span = tuple[int, int]


def field(axis: AxisGeometry, first: int, last: int, level: int = 0) -> Span:
    """First and last input pixel (of `level`) that the output pixels `first .. last` of a valid net read."""
    if level == len(axis.factors):
        return first, last + axis.encoder + (axis.head if level == 0 else 0)
    factor, start = axis.factors[level], axis.skip_start(level)
    last += axis.decoder + (axis.head if level == 0 else 0)
    below = field(axis, first // factor, last // factor, level + 1)
    pooled = below[0] * factor, below[1] * factor + factor - 1
    return min(pooled[0], first + start), max(pooled[1], last + start) + axis.encoder


def fields(net: UNet, pixel: Sequence[int]) -> tuple[Span, ...]:
    """The receptive field of one output pixel, per axis."""
    return tuple(field(axis, i, i) for axis, i in zip(net.geometry, pixel, strict=True))


def exact_window(net: UNet, size: Sequence[int]) -> tuple[Span, ...]:
    """The output pixels (start, stop) of a same-padded net that no zero reaches, per axis."""
    kernel, head = per_axis("", net.kernel_size, net.ndim), per_axis("", net.head_kernel_size, net.ndim)
    factors = [per_axis("", f, net.ndim) for f in net.factors]
    up = net.convs if net.decoder_convs is None else net.decoder_convs
    return tuple(
        _narrowed(_decoded((0, n), [f[k] for f in factors], net.convs, up, kernel[k]), 1, head[k])
        for k, n in enumerate(size)
    )


def _narrowed(span: Span, convs: int, kernel: int) -> Span:
    """The exact window after so many convolutions of this kernel, of an input exact in `span`."""
    return span[0] + convs * ((kernel - 1) // 2), span[1] - convs * (kernel // 2)


def _decoded(span: Span, factors: Sequence[int], down: int, up: int, kernel: int) -> Span:
    """The exact window after encoder and decoder of the levels with these factors, of an input exact in `span`."""
    skip = _narrowed(span, down, kernel)
    if not factors:
        return skip
    f = factors[0]
    start, stop = _decoded((ceil_div(skip[0], f), skip[1] // f), factors[1:], down, up, kernel)
    return _narrowed((max(skip[0], start * f), min(skip[1], stop * f)), up, kernel)
