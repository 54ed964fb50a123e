"""Exact percentiles of a volume in bounded memory, whatever its size and type.

Values are read as unsigned integers in the same order (of a negative float the bits are turned around). These are
counted by their 16 leading bits; then those in the bins where the percentiles lie by the next 16, and so on: one pass
over the volume for types of up to 16 bits, two for 32 bits, four for 64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import jax.numpy as jnp
import numpy as np

DIGIT = 16  # bits counted in one pass: 65536 counts of 8 bytes per channel

Blocks = Callable[[], Iterator[np.ndarray]]  # goes over the volume once, as arrays (pixel, channel) of one type


def percentiles(blocks: Blocks, dtype: np.dtype, wanted: Sequence[float]) -> list[list[Fraction]] | None:
    """Percentiles of the finite values of each channel, as exact numbers.

    Args:
        blocks: of the volume.
        dtype: of its values: bool, integers, or floats of up to 64 bits.
        wanted: from 0 to 100. Between two values they lie in proportion, as `numpy.percentile` has it.

    Returns:
        For each channel its percentiles; None where a channel has no finite value.
    """
    bits = 8 * dtype.itemsize
    shift = max(0, bits - DIGIT)
    counts = _histograms(blocks, dtype, shift, None)
    totals = [int(channel[0].sum()) for channel in counts]
    if min(totals) == 0:
        return None
    places = [[Fraction(q) / 100 * (total - 1) for q in wanted] for total in totals]
    # Of each rank: the leading bits of its value, and its rank among the values that have them.
    found = [{r: (0, r) for place in channel for r in (math.floor(place), math.ceil(place))} for channel in places]
    while True:
        for c, ranks in enumerate(found):
            for rank, (prefix, rest) in ranks.items():
                ranks[rank] = _descend(counts[c][prefix], prefix, rest)
        if shift == 0:
            break
        shift -= DIGIT
        counts = _histograms(blocks, dtype, shift, [{prefix for prefix, _ in ranks.values()} for ranks in found])
    values = [{rank: _value(prefix, dtype) for rank, (prefix, _) in ranks.items()} for ranks in found]
    return [[_between(place, values[c]) for place in channel] for c, channel in enumerate(places)]


def _between(place: Fraction, values: dict[int, Fraction]) -> Fraction:
    below, above = values[math.floor(place)], values[math.ceil(place)]
    return below + (place - math.floor(place)) * (above - below)


def _descend(counts: np.ndarray, prefix: int, rest: int) -> tuple[int, int]:
    """One digit further: the longer prefix in which the value of rank `rest` lies, and its rank there."""
    upto = np.cumsum(counts)
    digit = int(np.searchsorted(upto, rest, side="right"))
    return (prefix << DIGIT) | digit, rest - int(upto[digit] - counts[digit])


def _histograms(
    blocks: Blocks, dtype: np.dtype, shift: int, prefixes: Sequence[set[int]] | None
) -> list[dict[int, np.ndarray]]:
    """Per channel and per prefix, how many values have each digit next; without prefixes, all values count."""
    counts: list[dict[int, np.ndarray]] = []
    for block in blocks():
        if not counts:
            known = prefixes or [{0}] * block.shape[1]
            counts = [{prefix: np.zeros(2**DIGIT, np.int64) for prefix in channel} for channel in known]
        for channel, values in zip(counts, block.T, strict=True):
            keys = _keys(values, dtype)
            digits = (keys >> keys.dtype.type(shift)) & keys.dtype.type(2**DIGIT - 1 if dtype.itemsize > 1 else 255)
            for prefix, count in channel.items():
                here = digits if prefixes is None else digits[_leading(keys, shift) == prefix]
                count += np.bincount(here.astype(np.int64), minlength=2**DIGIT)
    return counts


def _leading(keys: np.ndarray, shift: int) -> np.ndarray:
    return keys >> keys.dtype.type(shift + DIGIT)


def _keys(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The finite values as unsigned integers in the same order."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    if not jnp.issubdtype(dtype, jnp.floating):
        keys = np.ascontiguousarray(values).view(unsigned)
        return keys ^ _sign(unsigned) if dtype.kind == "i" else keys
    keys = np.ascontiguousarray(values[np.isfinite(values)]).view(unsigned)
    return np.where(keys & _sign(unsigned), ~keys, keys | _sign(unsigned))


def _value(key: int, dtype: np.dtype) -> Fraction:
    """The value of a key."""
    unsigned, sign = np.dtype(f"u{dtype.itemsize}"), 1 << (8 * dtype.itemsize - 1)
    if jnp.issubdtype(dtype, jnp.floating):
        bits = key ^ sign if key & sign else key ^ (2 * sign - 1)
        return Fraction(float(np.array(bits, unsigned).view(dtype)))
    return Fraction(key - sign if dtype.kind == "i" else key)


def _sign(unsigned: np.dtype) -> np.unsignedinteger:
    return unsigned.type(1 << (8 * unsigned.itemsize - 1))
