"""Draws of operations on windows, and of norms."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from proofs_tests.pytorch.drawing import Draw, aten, small, tensor


@st.composite
def convolution(draw: Draw) -> tuple[Any, ...]:
    ndim, groups, batch = draw(small(1, 3)), draw(small(1, 2)), draw(small(1, 2))
    kernel = [draw(small(1, 3)) for _ in range(ndim)]
    dilation = [draw(small(1, 2)) for _ in range(ndim)]
    stride = [draw(small(1, 3)) for _ in range(ndim)]
    same = draw(st.booleans()) and max(stride) == 1
    padding = [0] * ndim if same else [draw(small(0, 2)) for _ in range(ndim)]
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    size = [n + draw(small(0, 4)) for n in least]
    incoming, outgoing = groups * draw(small(1, 2)), groups * draw(small(1, 2))
    x = tensor(draw, batch, incoming, *size)
    weight = tensor(draw, outgoing, incoming // groups, *kernel)
    bias = tensor(draw, outgoing) if draw(st.booleans()) else None
    operation = getattr(aten, f"conv{ndim}d")
    if same:
        return operation.padding, x, weight, bias, stride, draw(st.sampled_from(["same", "valid"])), dilation, groups
    return operation.default, x, weight, bias, stride, padding, dilation, groups


@st.composite
def transposed(draw: Draw) -> tuple[Any, ...]:
    ndim, groups = draw(small(1, 3)), draw(small(1, 2))
    kernel = [draw(small(1, 4)) for _ in range(ndim)]
    stride = [draw(small(1, 3)) for _ in range(ndim)]
    dilation = [draw(small(1, 2)) for _ in range(ndim)]
    padding = [draw(small(0, min(2, d * (k - 1)))) for k, d in zip(kernel, dilation, strict=True)]
    extra = [draw(small(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    size = [draw(small(2, 5)) + p for p in padding]
    incoming, outgoing = groups * draw(small(1, 2)), draw(small(1, 2))
    x, weight = tensor(draw, 1, incoming, *size), tensor(draw, incoming, outgoing, *kernel)
    bias = tensor(draw, outgoing * groups) if draw(st.booleans()) else None
    operation = getattr(aten, f"conv_transpose{ndim}d")
    overload = operation.default if ndim == 1 else operation.input
    return overload, x, weight, bias, stride, padding, extra, groups, dilation


@st.composite
def pooling(draw: Draw) -> tuple[Any, ...]:
    ndim, mean = draw(small(1, 3)), draw(st.booleans())
    kernel = [draw(small(1, 3)) for _ in range(ndim)]
    stride = [draw(small(1, 3)) for _ in range(ndim)] if draw(st.booleans()) else []
    padding = [draw(small(0, k // 2)) for k in kernel]
    ceil = draw(st.booleans())
    if mean:
        x = tensor(draw, 1, 2, *(k + draw(small(0, 5)) for k in kernel))
        options = [] if ndim == 1 or draw(st.booleans()) else [draw(small(1, 5))]
        return (
            getattr(aten, f"avg_pool{ndim}d").default,
            x,
            kernel,
            stride,
            padding,
            ceil,
            draw(st.booleans()),
            *options,
        )
    dilation = [draw(small(1, 2)) for _ in range(ndim)]
    x = tensor(draw, 1, 2, *(d * (k - 1) + 1 + draw(small(0, 5)) for k, d in zip(kernel, dilation, strict=True)))
    return getattr(aten, f"max_pool{ndim}d").default, x, kernel, stride, padding, dilation, ceil


@st.composite
def adaptive(draw: Draw) -> tuple[Any, ...]:
    ndim = draw(small(1, 3))
    sizes = [draw(small(1, 7)) for _ in range(ndim)]
    kind = draw(st.sampled_from(["avg", "max"]))
    return (
        getattr(aten, f"adaptive_{kind}_pool{ndim}d").default,
        tensor(draw, 1, 2, *sizes),
        [draw(small(1, n)) for n in sizes],
    )


@st.composite
def resizing(draw: Draw) -> tuple[Any, ...]:
    ndim = draw(small(1, 3))
    linear = ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")[ndim - 1]
    names = [linear, f"upsample_nearest{ndim}d", f"_upsample_nearest_exact{ndim}d"] + ["upsample_bicubic2d"] * (
        ndim == 2
    )
    name = draw(st.sampled_from(names))
    x = tensor(draw, 1, 1, *(draw(small(1, 6)) for _ in range(ndim)))
    corners = [] if "nearest" in name else [draw(st.booleans())]
    if draw(st.booleans()):
        factors = [draw(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 2.4])) for _ in range(ndim)]
        factors = [f if int(n * f) >= 1 else 1.0 for n, f in zip(x.shape[2:], factors, strict=True)]
        if name == "upsample_nearest3d":  # what PyTorch rounds in two ways is refused
            sizes = [(n, int(n * f), f) for n, f in zip(x.shape[2:], factors, strict=True)]
            factors = [float(new // n) if new in (n, 2 * n) else f for n, new, f in sizes]
        return getattr(aten, name).vec, x, None, *corners, factors
    whole = draw(st.sampled_from([0, 1, 2, 3]))
    size = [n * whole if whole else draw(small(1, 9)) for n in x.shape[2:]]
    return getattr(aten, name).vec, x, size, *corners, None


@st.composite
def norm(draw: Draw) -> tuple[Any, ...]:
    channels, ndim = 2 * draw(small(1, 2)), draw(small(1, 3))
    x = tensor(draw, 2, channels, *(draw(small(2, 4)) for _ in range(ndim)))
    vector = lambda low=-2.0: tensor(draw, channels, low=low)  # noqa: E731
    weight, bias = (vector(), vector()) if draw(st.booleans()) else (None, None)
    eps = draw(st.sampled_from([1e-5, 1e-2]))
    kind = draw(st.sampled_from(["batch", "whole batch", "core", "instance", "tracked", "group", "layer"]))
    mean, variance = vector(), vector(low=0.5)
    if kind == "batch":
        return aten.batch_norm.default, x, weight, bias, mean, variance, False, 0.1, eps, False
    if kind == "whole batch":
        return aten.batch_norm.default, x, weight, bias, None, None, True, 0.1, eps, False
    if kind == "core":
        return aten._native_batch_norm_legit_no_training.default, x, weight, bias, mean, variance, 0.1, eps
    if kind in ("instance", "tracked"):
        tracked = (mean, variance, False) if kind == "tracked" else (None, None, True)
        return aten.instance_norm.default, x, weight, bias, *tracked, 0.1, eps, False
    if kind == "group":
        return aten.group_norm.default, x, draw(st.sampled_from([1, 2])), weight, bias, eps
    last = list(x.shape[-draw(small(1, ndim)) :])
    affine = (tensor(draw, *last), tensor(draw, *last)) if draw(st.booleans()) else (None, None)
    return aten.layer_norm.default, x, last, *affine, eps
