"""Intensities scaled alike in all tiles: measured once over the volume, then fixed.

Scaling each tile by its own intensities would make neighbouring tiles disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, number
from shiftjax._patience import say
from shiftjax._typing import Array, Shaped
from shiftjax.volume._percentiles import percentiles
from shiftjax.volume._sources.opening import open_source
from shiftjax.volume._sources.parts import parts
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.reading import MissingLog

EXACT = 2**24  # integers up to here are numbers of float32
STEPS = 256  # numbers of float32 that there must be between the percentiles, or the scaled image would be in steps


def normalize(
    source: Any, *, low: int | float = 1, high: int | float = 99.8, axes: str | None = None, channel: int | None = None
) -> jax.tree_util.Partial:
    """Measures a volume's intensities and returns the function that scales them: `preprocess` of `predict_volume`.

    The percentiles are those of all pixels, not of a sample, so that small bright objects in an empty volume count. The
    volume is read once if its type has up to 16 bits, twice for 32 and four times for 64 bits, a part at a time.

    Args:
        source: as `predict_volume` takes it; where it needs a level or options, from `shiftjax.volume.open_source`.
        low: percentile that becomes 0, per channel, over all time points. NaN and infinity do not count; the function
            returned leaves them as they are.
        high: percentile that becomes 1.
        axes: as `predict_volume` takes them.
        channel: likewise.

    Returns:
        A function of an image `(batch, *space, channel)`, to float32. Its keywords `low` and `high` are the
        percentiles; of integers beyond 2^24, which float32 cannot tell apart, they count from a keyword `offset`.

    Raises:
        ValueError: percentiles out of order, or a channel whose percentiles coincide or that has no finite pixels.
        VolumeError: the source cannot be read.
    """
    low, high = number("low", low, least=0, most=100), number("high", high, above=0, most=100)
    if high <= low:
        fail("high", f"a percentile above `low`, {low}", high)
    opened = open_source(source, axes=axes, channel=channel)
    dtype = opened.dtype
    if jnp.issubdtype(dtype, jnp.complexfloating) or dtype.itemsize > 8:
        fail("source", "real numbers of up to 64 bits", dtype, "convert them first")
    missing = [0]
    measured = percentiles(lambda: _pixels(opened, missing), dtype, (low, high, 0, 100))
    if missing[0]:
        fill = getattr(opened.array, "fill_value", 0)
        say(f"{missing[0]} chunks that {opened.name} has not were measured as its fill value {fill}")
    if measured is None:
        fail("source", "finite intensities", f"none in some channel of {opened.name}", _advice(opened))
    for channel_number, (at_low, at_high, least, most) in enumerate(measured):
        if at_low == at_high:
            found = f"both percentiles of channel {channel_number} at {_text(at_low)}"
            mend = f"its pixels go from {_text(least)} to {_text(most)}: choose others, such as low=0 and high=100"
            if least == most:
                mend = "; ".join(filter(None, ("all its pixels are alike", _advice(opened))))
            fail("source", "intensities that differ", found, mend)
        _check_resolved(at_low, at_high, least, most, dtype)
    lows, highs = [channel[0] for channel in measured], [channel[1] for channel in measured]
    if not jnp.issubdtype(dtype, jnp.integer) or all(max(-m[2], m[3]) <= EXACT for m in measured):
        return jax.tree_util.Partial(scale, low=_numbers(lows), high=_numbers(highs))
    offsets = [math.floor(value) for value in lows]
    low_rest = _numbers([a - b for a, b in zip(lows, offsets, strict=True)])
    high_rest = _numbers([a - b for a, b in zip(highs, offsets, strict=True)])
    offset = np.asarray(offsets, dtype).astype(jax.dtypes.canonicalize_dtype(dtype))
    return jax.tree_util.Partial(scale_from, offset=jnp.asarray(offset), low=low_rest, high=high_rest)


def _pixels(source: Source, missing: list[int]) -> Iterator[np.ndarray]:
    """The pixels of all images, `(pixel, channel)`, a part at a time; at the end, how many chunks are missing."""
    log = MissingLog()
    for time in range(source.times):
        read = source.at(time, log)
        for slices in parts(source):
            yield read(slices).reshape(-1, source.channels)
    missing[0] = log.reading().missing


def _numbers(values: list[Fraction]) -> jax.Array:
    return jnp.asarray([float(value) for value in values], jnp.float32)


def _text(value: Fraction) -> str:
    return str(int(value)) if value.denominator == 1 else str(float(value))


def _advice(source: Source) -> str:
    return "choose another channel with `channel=`" if source.channels > 1 else ""


def _check_resolved(low: Fraction, high: Fraction, least: Fraction, most: Fraction, dtype: np.dtype) -> None:
    """Refuses numbers that JAX would cut or that float32 cannot tell apart."""
    mend = "subtract an offset and store the difference"
    if jnp.issubdtype(dtype, jnp.integer):
        known = np.iinfo(jax.dtypes.canonicalize_dtype(dtype))
        if least < known.min or most > known.max:
            expected = f"integers that {known.dtype} holds, as JAX computes"
            fail("source", expected, f"{_text(least)} to {_text(most)}", mend)
        return
    largest, most_held = max(abs(low), abs(high)), np.nextafter(np.finfo(np.float32).max, np.float32(0))
    beyond = largest > Fraction(float(most_held))
    step = 0.0 if beyond else float(np.spacing(np.float32(largest)))
    narrow = dtype.itemsize > np.dtype(np.float32).itemsize and high - low < STEPS * Fraction(step)
    if narrow or beyond:
        found = f"percentiles {float(low)!r} and {float(high)!r}"
        fail("source", "intensities that float32 tells apart", found, mend)


def scale(
    image: Shaped[Array, "batch *space channel"],
    *,
    low: Shaped[Array, " channel"],
    high: Shaped[Array, " channel"],
) -> Shaped[Array, "batch *space channel"]:
    """Intensities `low` to `high` as 0 to 1, in float32."""
    return (image.astype(jnp.float32) - low) / (high - low)


def scale_from(
    image: Shaped[Array, "batch *space channel"],
    *,
    offset: Shaped[Array, " channel"],
    low: Shaped[Array, " channel"],
    high: Shaped[Array, " channel"],
) -> Shaped[Array, "batch *space channel"]:
    """Integers `offset + low` to `offset + high` as 0 to 1, in float32; they are subtracted before they are rounded.

    Unsigned numbers wrap around, so that the difference of two integers is exact whichever is larger.
    """
    unsigned = jnp.dtype(f"uint{8 * image.dtype.itemsize}")
    pixels, first = image.astype(unsigned), offset.astype(unsigned)
    above = (pixels - first).astype(jnp.float32)
    below = -(first - pixels).astype(jnp.float32)
    return (jnp.where(image >= offset, above, below) - low) / (high - low)
