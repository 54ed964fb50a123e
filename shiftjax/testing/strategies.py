"""Hypothesis strategies: architectures, and what may be done to their images.

Every case is legal by construction: what would be too large is made smaller, not thrown away. Shrinking ends in shallow
networks with few channels and small kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from hypothesis import strategies as st

from shiftjax.nets import UNet

Draw = Callable[..., Any]
PIXELS = {1: 420, 2: 56, 3: 22}  # input pixels per axis that an output of the wished number of periods may need
LEVELS, FACTORS, KERNELS, CONVOLUTIONS, CHANNELS = 4, 4, 5, 3, 4


class Tiling(NamedTuple):
    """Tiles of `periods` periods of output, `tiles` of them, per axis; cropped from output pixel `start` on."""

    periods: tuple[int, ...]
    tiles: tuple[int, ...]
    start: tuple[int, ...]


def seeds() -> st.SearchStrategy[int]:
    """Seeds of random weights and images."""
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
        upsamples, paddings, crops: what `UNet` takes by these names.
        activation: ReLU, or `shiftjax.testing.injective` for claims about generic weights.
        pooled: with a period above 1 along some axis; then `levels` must start at 1 or above.
        least_features: channels at the top level, at least.
        periods: the output should hold so many periods along every axis,
        pixels: for input of at most so many pixels along every axis, by number of axes. Levels, then convolutions and
            kernels, are taken away until it does.
        largest_period: along any axis.
        param_dtype: int32 for proofs.
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

    def built(given: dict[str, Any]) -> UNet:
        return UNet(out_channels, ndim=ndim, activation=activation, param_dtype=param_dtype, **given)

    limit = (PIXELS if pixels is None else pixels)[ndim]
    while not _fits(built(options), periods, limit, largest_period):
        options = _smaller(options, levels[0], kernels[0])
    return built(options)


def _fits(net: UNet, periods: int, limit: int, largest: int) -> bool:
    sizes = input_for(net, [periods * p for p in net.period])
    return max(net.period) <= largest and max(sizes) <= limit and _channels(net) <= 2 * CHANNELS


def _channels(net: UNet) -> int:
    return net.features * net.growth ** len(net.factors)


def _smaller(options: dict[str, Any], levels: int, kernel: int) -> dict[str, Any]:
    """One step towards the smallest network."""
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
    """The smallest legal input, in pixels per axis, whose output has at least `output` pixels."""
    sizes = []
    for axis, least in zip(net.geometry, output, strict=True):
        wish = axis.loss + least - axis.period
        enough: list[int] = []
        while not enough:
            enough = [size for size, found, _ in axis.legal(max(1, wish)) if found >= least]
            wish += axis.period
        sizes.append(enough[0])
    return tuple(sizes)


def legal_inputs(net: UNet, *, extra: int = 2) -> st.SearchStrategy[tuple[int, ...]]:
    """Legal input sizes, from the smallest with a period of output to `extra` periods more, per axis."""
    least = input_for(net, net.period)
    steps = st.tuples(*[st.integers(0, extra)] * net.ndim)
    return steps.map(lambda n: tuple(a + k * p for a, k, p in zip(least, n, net.period, strict=True)))


def shifts(period: Sequence[int], extent: Sequence[int]) -> st.SearchStrategy[tuple[int, ...]]:
    """Shifts by whole periods, either way, of less than `extent` pixels; not all zero where there is room."""
    steps = [st.integers(-((n - 1) // p), (n - 1) // p) for p, n in zip(period, extent, strict=True)]
    return st.tuples(*steps).map(lambda m: tuple(k * p for k, p in zip(m, period, strict=True)))


@st.composite
def off_period_shifts(draw: Draw, period: Sequence[int], extent: Sequence[int]) -> tuple[int, ...]:
    """Shifts of less than `extent` pixels that are no whole period along at least one axis (of a period above 1)."""
    guilty = draw(st.sampled_from([k for k, p in enumerate(period) if p > 1]))
    shift = []
    for k, (p, n) in enumerate(zip(period, extent, strict=True)):
        if k == guilty:
            turns = draw(st.integers(0, max(0, (n - p) // p)))
            shift.append((turns * p + draw(st.integers(1, min(p, n) - 1))) * draw(st.sampled_from((1, -1))))
        else:
            shift.append(draw(st.integers(0, min(n - 1, p))))
    return tuple(shift)


def pitches(ndim: int, largest: int) -> st.SearchStrategy[tuple[int, ...]]:
    """A pitch per axis: a lattice along the axes."""
    return st.tuples(*[st.integers(1, largest)] * ndim)


@st.composite
def lattices(draw: Draw, ndim: int, *, largest: int = 6, full: bool = False) -> tuple[tuple[int, ...], ...]:
    """A basis of an integer lattice, in rows, of rank 1 to `ndim` (or `full` rank): a triangular one, then sheared."""
    rank = ndim if full else draw(st.integers(1, ndim))
    rows = []
    for k in range(rank):
        tail = [draw(st.integers(-largest, largest)) for _ in range(ndim - k - 1)]
        rows.append([0] * k + [draw(st.integers(1, largest))] + tail)
    if rank > 1 and draw(st.booleans()):
        rows[0] = [a + b for a, b in zip(rows[0], rows[1], strict=True)]
    order = draw(st.permutations(range(ndim)))
    return tuple(tuple(row[k] for k in order) for row in rows)


@st.composite
def tilings(draw: Draw, net: UNet, *, most: int = 3) -> Tiling:
    """Cuts of an image into tiles of whole periods; two or more along some axis."""
    ndim = net.ndim
    periods = tuple(draw(st.integers(1, 2)) for _ in range(ndim))
    tiles = [draw(st.integers(1, most)) for _ in range(ndim)]
    if max(tiles) == 1:
        tiles[draw(st.integers(0, ndim - 1))] = 2
    start = tuple(draw(st.integers(0, p)) for p in net.period)
    return Tiling(periods, tuple(tiles), start)
