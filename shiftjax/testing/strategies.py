"""Hypothesis strategies: architectures, and shifts, lattices and tilings of their images.

Every case is legal by construction: one that would be too large is made smaller, not rejected. Shrinking ends in
shallow networks with few channels and small kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from hypothesis import strategies as st

from shiftjax.nets import UNet

Draw = Callable[..., Any]
PIXELS = {1: 420, 2: 56, 3: 22}  # by number of axes: input pixels per axis that the wished periods of output may need
LEVELS, FACTORS, KERNELS, CONVOLUTIONS, CHANNELS = 4, 4, 5, 3, 4


class Tiling(NamedTuple):
    """A cut of an image into tiles, per axis.

    Attributes:
        periods: of output, per tile.
        tiles: how many there are.
        start: output pixel from which on every tile is cropped.
    """

    periods: tuple[int, ...]
    tiles: tuple[int, ...]
    start: tuple[int, ...]


def seeds() -> st.SearchStrategy[int]:
    """Seeds of random weights and images.

    Returns:
        A strategy of integers of 32 bits.
    """
    return st.integers(0, 2**32 - 1)


@st.composite
def architectures(
    draw: Draw,
    *,
    ndims: Sequence[int] = (1, 2, 3),
    levels: tuple[int, int] = (0, LEVELS),
    kernels: tuple[int, int] = (1, KERNELS),
    upsamples: Sequence[str] = ("learned", "nearest"),
    paddings: Sequence[str] = ("VALID",),
    crops: Sequence[str | None] = ("top", "every", None),
    activation: Callable[[Any], Any] = nn.relu,
    pooled: bool = False,
    least_features: int = 1,
    periods: int = 2,
    largest_period: int = 64,
    pixels: dict[int, int] | None = None,
    param_dtype: Any = jnp.int32,
) -> UNet:
    """U-Nets that compute in int32.

    Args:
        ndims: spatial axes.
        levels: fewest and most pooling levels; factors from 1 to 4 per axis and level.
        kernels: smallest and largest kernel, per axis.
        upsamples: values of `UNet.upsample`.
        paddings: values of `UNet.padding`.
        crops: values of `UNet.crop`.
        activation: ReLU, or `shiftjax.testing.injective` for claims about generic weights.
        pooled: with a period above 1 along some axis; then `levels` must start at 1 or above.
        least_features: fewest channels at the top level.
        periods: of output, along every axis, that an input of `pixels` must be enough for.
        largest_period: in pixels, along any axis.
        pixels: input pixels along every axis, by number of axes; by default `PIXELS`. Levels, then convolutions and
            kernels, are removed until `periods` and `largest_period` fit.
        param_dtype: int32 for proofs.

    Returns:
        A strategy of `UNet`s.
    """
    ndim = draw(st.sampled_from(ndims))
    factor = st.integers(1, FACTORS) | st.tuples(*[st.integers(1, FACTORS)] * ndim)
    kernel = st.integers(*kernels)
    factors = draw(st.lists(factor, min_size=levels[0], max_size=levels[1]))
    if pooled and not _larger(factors[0], 1):
        factors[0] = 2
    options = {
        "factors": tuple(factors),
        "kernel_size": draw(kernel | st.tuples(*[kernel] * ndim)),
        "head_kernel_size": draw(st.integers(1, 3)),
        "convs": draw(st.integers(1, CONVOLUTIONS)),
        "decoder_convs": draw(st.none() | st.integers(1, CONVOLUTIONS)),
        "upsample": draw(st.sampled_from(upsamples)),
        "padding": draw(st.sampled_from(paddings)),
        "crop": draw(st.sampled_from(crops)),
        "features": draw(st.integers(least_features, CHANNELS)),
        "growth": draw(st.integers(1, 2)),
    }
    out_channels = draw(st.integers(1, CHANNELS))

    def build(options: dict[str, Any]) -> UNet:
        return UNet(out_channels, ndim=ndim, activation=activation, param_dtype=param_dtype, **options)

    limit = (PIXELS if pixels is None else pixels)[ndim]
    while not _fits(build(options), periods, limit, largest_period):
        options = _smaller(options, levels[0], kernels[0])
    return build(options)


def _fits(net: UNet, periods: int, limit: int, largest: int) -> bool:
    sizes = input_for(net, [periods * p for p in net.period])
    channels = net.features * net.growth ** len(net.factors)  # of the deepest level
    return max(net.period) <= largest and max(sizes) <= limit and channels <= 2 * CHANNELS


def _smaller(options: dict[str, Any], levels: int, kernel: int) -> dict[str, Any]:
    """One step towards the smallest network: levels go first, since each multiplies the period and the loss."""
    factors = options["factors"]
    if len(factors) > max(levels, 1):
        return {**options, "factors": factors[:-1]}
    for name, least in (("growth", 1), ("convs", 1), ("decoder_convs", 1), ("head_kernel_size", 1)):
        if options[name] is not None and options[name] > least:
            return {**options, name: options[name] - 1}
    if _larger(options["kernel_size"], kernel):
        return {**options, "kernel_size": _less(options["kernel_size"], kernel)}
    if any(_larger(f, 2) for f in factors):
        return {**options, "factors": tuple(_less(f, 2) for f in factors)}
    assert len(factors) > levels, "the smallest network fits"
    return {**options, "factors": factors[:-1]}


def _larger(value: int | tuple[int, ...], least: int) -> bool:
    return max(value if isinstance(value, tuple) else (value,)) > least


def _less(value: int | tuple[int, ...], least: int) -> int | tuple[int, ...]:
    if isinstance(value, tuple):
        return tuple(min(v, max(least, v - 1)) for v in value)
    return min(value, max(least, value - 1))


def input_for(net: UNet, output: Sequence[int]) -> tuple[int, ...]:
    """The smallest legal input whose output has at least `output` pixels.

    Args:
        net: a U-Net.
        output: pixels per axis.

    Returns:
        Input pixels per axis.
    """
    sizes = []
    for axis, least in zip(net.geometry, output, strict=True):
        # A period too small at first, because the wish is rounded; larger by a period until it is enough.
        wish = axis.loss + least - axis.period
        enough: list[int] = []
        while not enough:
            enough = [size for size, pixels, _ in axis.legal(max(1, wish)) if pixels >= least]
            wish += axis.period
        sizes.append(enough[0])
    return tuple(sizes)


def legal_inputs(net: UNet, *, extra: int = 2) -> st.SearchStrategy[tuple[int, ...]]:
    """Legal input sizes, from the smallest with a period of output on.

    Args:
        net: a U-Net.
        extra: periods of output, per axis, that the largest has beyond that.

    Returns:
        A strategy of input sizes, pixels per axis.
    """
    least = input_for(net, net.period)
    steps = st.tuples(*[st.integers(0, extra)] * net.ndim)
    return steps.map(lambda n: tuple(a + k * p for a, k, p in zip(least, n, net.period, strict=True)))


def shifts(period: Sequence[int], extent: Sequence[int]) -> st.SearchStrategy[tuple[int, ...]]:
    """Shifts by whole periods, either way.

    Args:
        period: in pixels, per axis.
        extent: every shift is smaller, in pixels per axis, so that the moved image overlaps with the other.

    Returns:
        A strategy of shifts, pixels per axis; some may be zero.
    """
    steps = [st.integers(-((n - 1) // p), (n - 1) // p) for p, n in zip(period, extent, strict=True)]
    return st.tuples(*steps).map(lambda m: tuple(k * p for k, p in zip(m, period, strict=True)))


@st.composite
def off_period_shifts(draw: Draw, period: Sequence[int], extent: Sequence[int]) -> tuple[int, ...]:
    """Shifts that are no whole period along at least one axis.

    Args:
        period: in pixels, per axis; above 1 along some axis.
        extent: every shift is smaller, in pixels per axis.

    Returns:
        A strategy of shifts, pixels per axis.
    """
    broken = draw(st.sampled_from([k for k, p in enumerate(period) if p > 1]))
    shift = []
    for k, (p, n) in enumerate(zip(period, extent, strict=True)):
        if k == broken:
            # Whole periods and a rest, which shrinks to one pixel.
            turns = draw(st.integers(0, max(0, (n - p) // p)))
            shift.append((turns * p + draw(st.integers(1, min(p, n) - 1))) * draw(st.sampled_from((1, -1))))
        else:
            shift.append(draw(st.integers(0, min(n - 1, p))))
    return tuple(shift)


def pitches(ndim: int, largest: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Lattices along the axes.

    Args:
        ndim: number of axes.
        largest: pitch, in pixels.

    Returns:
        A strategy of pitches, pixels per axis.
    """
    return st.tuples(*[st.integers(1, largest)] * ndim)


@st.composite
def lattices(draw: Draw, ndim: int, *, largest: int = 6, full: bool = False) -> tuple[tuple[int, ...], ...]:
    """Integer lattices, sheared ones and ones of lower rank included.

    Args:
        ndim: number of axes.
        largest: entry of the triangular basis that is sheared, in pixels.
        full: whether the rank is `ndim`, not less.

    Returns:
        A strategy of bases in rows, `(rank, ndim)`.
    """
    rank = ndim if full else draw(st.integers(1, ndim))
    rows = []
    for k in range(rank):
        tail = [draw(st.integers(-largest, largest)) for _ in range(ndim - k - 1)]
        rows.append([0] * k + [draw(st.integers(1, largest))] + tail)
    if rank > 1 and draw(st.booleans()):  # the same lattice by another basis
        rows[0] = [a + b for a, b in zip(rows[0], rows[1], strict=True)]
    order = draw(st.permutations(range(ndim)))
    return tuple(tuple(row[k] for k in order) for row in rows)


@st.composite
def tilings(draw: Draw, net: UNet, *, most: int = 3) -> Tiling:
    """Cuts of an image into tiles of whole periods, two or more along some axis.

    Args:
        net: a U-Net.
        most: tiles per axis.

    Returns:
        A strategy of `Tiling`s.
    """
    ndim = net.ndim
    periods = tuple(draw(st.integers(1, 2)) for _ in range(ndim))
    tiles = [draw(st.integers(1, most)) for _ in range(ndim)]
    if max(tiles) == 1:
        tiles[draw(st.integers(0, ndim - 1))] = 2
    start = tuple(draw(st.integers(0, p)) for p in net.period)
    return Tiling(periods, tuple(tiles), start)
