"""Images in other sizes: nearest, linear and cubic.

By whole factors they are sums over neighbours with one set of weights per phase, which is how they are computed here:
an operation that is the same all over the image. By other factors the weights change from pixel to pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from shiftjax.translation._torch._operations.table import Unsupported, operation

Floats = Sequence[float] | None
Taps = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # positions -> pixels and weights, (position, tap)
CUBIC = -0.75  # the constant of PyTorch's cubic kernel


def _sizes(x: Any, ndim: int, output_size: Sequence[int] | None, scales: Floats) -> list[tuple[int, int, float]]:
    """Per spatial axis: which it is, its new size, and the factor that was given, or 0."""
    sizes = x.shape[-ndim:]
    new = output_size if output_size is not None else [int(n * s) for n, s in zip(sizes, scales or (), strict=True)]
    factors = scales if scales is not None else (0.0,) * ndim
    return list(zip(range(x.ndim - ndim, x.ndim), map(int, new), map(float, factors), strict=True))


def _ratio(old: int, new: int, factor: float) -> np.float32:
    """Pixels of the image for one of the result, in float32 as PyTorch has it."""
    return np.float32(1 / factor) if factor > 0 else np.float32(old) / np.float32(new)


def _nearest(x: Any, axis: int, new: int, factor: float, *, ndim: int, exact: bool) -> Any:
    old = x.shape[axis]
    if old == 1:
        return _spread(x, axis, new)
    middle = np.float32(0.5 if exact else 0)
    places = np.floor((np.arange(new, dtype=np.float32) + middle) * _ratio(old, new, factor))
    index = np.minimum(places.astype(np.int64), old - 1)
    if not exact and new in (old, 2 * old):
        plain = np.arange(new) // (new // old)
        if ndim == 3 and not np.array_equal(index, plain):
            raise Unsupported(f"by a factor of {factor:g}, which PyTorch rounds as the memory of a volume is laid out,")
        index = plain if ndim == 2 else index  # in 2-D whatever the factor was
    return _take(x, axis, index)


def _spread(x: Any, axis: int, new: int) -> Any:
    """The only pixel everywhere, whose weights are 1 together: so statistics of the whole image are spread again."""
    return jnp.broadcast_to(x, [new if k == axis else n for k, n in enumerate(x.shape)])


def _take(x: Any, axis: int, index: np.ndarray) -> Any:
    """Pixels by their numbers: as a slice or as copies of each pixel where they are that."""
    new, old = len(index), x.shape[axis]
    step = int(index[1] - index[0]) if new > 1 else 1
    if step > 0 and np.array_equal(index, index[0] + step * np.arange(new)):
        return lax.slice_in_dim(x, int(index[0]), int(index[-1]) + 1, step, axis)
    if new % old == 0 and np.array_equal(index, np.arange(new) // (new // old)):
        return jnp.repeat(x, new // old, axis)
    return jnp.take(x, index, axis)


def _interpolate(x: Any, axis: int, new: int, factor: float, taps: Taps, *, align_corners: bool, clamp: bool) -> Any:
    """Weighted sums of the pixels around each position."""
    old = x.shape[axis]
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise Unsupported(f"interpolation of {x.dtype}")
    if old == 1:
        return _spread(x, axis, new)
    if new == old and clamp:  # linear, whatever the factor was
        return x
    if align_corners:
        corners = np.arange(new) * np.float64(np.float32(old - 1) / np.float32(max(new - 1, 1)))
        return _gathered(x, axis, corners, taps)
    ratio = _ratio(old, new, factor)
    up, down = round(1 / float(ratio)), round(float(ratio))
    if up >= 1 and new == old * up and ratio == np.float32(1) / np.float32(up):
        return _enlarged(x, axis, up, taps)
    if down > 1 and ratio == np.float32(down) and new * down <= old:
        return _reduced(x, axis, new, down, taps)
    positions = float(ratio) * (np.arange(new) + 0.5) - 0.5
    return _gathered(x, axis, np.maximum(positions, 0) if clamp else positions, taps)


def _enlarged(x: Any, axis: int, factor: int, taps: Taps) -> Any:
    """By a whole factor: pixel factor * i + r lies at i + (r + 1/2) / factor - 1/2 of the image."""
    if factor == 1:
        return x
    pixels, weights = taps((np.arange(factor) + 0.5) / factor - 0.5)
    before, after = -int(pixels.min()), int(pixels.max())
    padded = _edges(x, axis, before, after)
    n = x.shape[axis]
    phases = [
        sum(
            lax.slice_in_dim(padded, int(p) + before, int(p) + before + n, axis=axis) * _weight(w, x)
            for p, w in zip(*row, strict=True)
            if w != 0
        )
        for row in zip(pixels, weights, strict=True)
    ]
    stacked = jnp.stack([jnp.asarray(phase) for phase in phases], axis + 1)
    return stacked.reshape(*x.shape[:axis], n * factor, *x.shape[axis + 1 :])


def _reduced(x: Any, axis: int, new: int, factor: int, taps: Taps) -> Any:
    """To a whole fraction: pixel i lies at factor * i + (factor - 1) / 2 of the image."""
    pixels, weights = taps(np.array([(factor - 1) / 2]))
    used = [(int(p), float(w)) for p, w in zip(pixels[0], weights[0], strict=True) if w != 0]
    low, high = used[0][0], used[-1][0]
    before, after = max(0, -low), max(0, (new - 1) * factor + high + 1 - x.shape[axis])
    padded = _edges(x, axis, before, after)
    parts = [
        lax.slice_in_dim(padded, p + before, p + before + (new - 1) * factor + 1, factor, axis) * _weight(w, x)
        for p, w in used
    ]
    return sum(parts[1:], parts[0])


def _gathered(x: Any, axis: int, places: np.ndarray, taps: Taps) -> Any:
    """With weights of its own for each pixel."""
    pixels, weights = taps(places)
    shape = (-1, *(1,) * (x.ndim - axis - 1))
    kept = np.clip(pixels, 0, x.shape[axis] - 1)
    parts = [
        jnp.take(x, kept[:, k], axis) * np.asarray(weights[:, k], x.dtype).reshape(shape)
        for k in range(pixels.shape[1])
    ]
    return sum(parts[1:], parts[0])


def _edges(x: Any, axis: int, before: int, after: int) -> Any:
    """The image continued by its outermost pixels."""
    return jnp.pad(x, [(before, after) if k == axis else (0, 0) for k in range(x.ndim)], mode="edge")


def _weight(w: float, x: Any) -> np.ndarray:
    return np.asarray(w, x.dtype)


def _linear_taps(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low = np.floor(places).astype(np.int64)
    along = places - low
    return np.stack([low, low + 1], 1), np.stack([1 - along, along], 1)


def _cubic_taps(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys' kernel, "Cubic convolution interpolation for digital image processing", 1981."""
    low = np.floor(places).astype(np.int64)
    pixels = low[:, None] + np.arange(-1, 3)
    distance = np.abs(places[:, None] - pixels)
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return pixels, np.where(distance <= 1, near, far)


def _nearest_of(ndim: int, *, exact: bool) -> Callable[..., Any]:
    def upsample_nearest(x: Any, output_size: Any = None, scale_factors: Floats = None) -> Any:
        """out[i] = x[floor(i * ratio)], or of the pixel's middle where it is exact."""
        for axis, new, factor in _sizes(x, ndim, output_size, scale_factors):
            x = _nearest(x, axis, new, factor, ndim=ndim, exact=exact)
        return x

    return upsample_nearest


def _interpolation_of(ndim: int, taps: Taps, *, clamp: bool) -> Callable[..., Any]:
    def upsample(x: Any, output_size: Any, align_corners: bool, scale_factors: Floats = None) -> Any:
        """out[i] = a weighted sum around position ratio * (i + 1/2) - 1/2, axis by axis."""
        for axis, new, factor in _sizes(x, ndim, output_size, scale_factors):
            x = _interpolate(x, axis, new, factor, taps, align_corners=align_corners, clamp=clamp)
        return x

    return upsample


def _with_scales(function: Callable[..., Any], fixed: int) -> Callable[..., Any]:
    """The overload that takes the scale of each axis as an argument of its own, after `fixed` arguments."""

    def apply(*args: Any) -> Any:
        scales = [scale or 0.0 for scale in args[fixed:]]
        return function(*args[:fixed], scales if any(scales) else None)

    return apply


for _ndim in (1, 2, 3):
    for _name, _exact in ((f"upsample_nearest{_ndim}d", False), (f"_upsample_nearest_exact{_ndim}d", True)):
        _function = _nearest_of(_ndim, exact=_exact)
        operation(f"{_name}.vec")(_function)
        operation(_name)(_with_scales(_function, 2))
for _name, _ndim, _taps in (
    ("upsample_linear1d", 1, _linear_taps),
    ("upsample_bilinear2d", 2, _linear_taps),
    ("upsample_trilinear3d", 3, _linear_taps),
    ("upsample_bicubic2d", 2, _cubic_taps),
):
    _function = _interpolation_of(_ndim, _taps, clamp=_taps is _linear_taps)
    operation(f"{_name}.vec")(_function)
    operation(_name)(_with_scales(_function, 3))


@operation("pixel_shuffle")
def pixel_shuffle(x: Any, upscale_factor: int) -> Any:
    """out[c, f * i + r] = x[c * f**2 + r, i], for every axis of space: channels become pixels."""
    f, (*lead, channels, h, w) = upscale_factor, x.shape
    parts = x.reshape(*lead, channels // f**2, f, f, h, w)
    k = len(lead)
    moved = jnp.transpose(parts, (*range(k + 1), k + 3, k + 1, k + 4, k + 2))
    return moved.reshape(*lead, channels // f**2, h * f, w * f)


@operation("pixel_unshuffle")
def pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    """The inverse of `pixel_shuffle`."""
    f, (*lead, channels, h, w) = downscale_factor, x.shape
    parts = x.reshape(*lead, channels, h // f, f, w // f, f)
    k = len(lead)
    moved = jnp.transpose(parts, (*range(k + 1), k + 2, k + 4, k + 1, k + 3))
    return moved.reshape(*lead, channels * math.prod((f, f)), h // f, w // f)
