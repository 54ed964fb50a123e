"""How much further along a map's output an array begins: image pixels, for each image axis.

Cutting or padding an array does not change its map, only at which index of the map's output it begins. Since this
offset is no part of the map's name, arrays cut out at different indices are seen to be parts of one map.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor
from types import MappingProxyType

Offset = Mapping[int, Fraction]  # by image axis; axes without an offset are left out
NONE: Offset = MappingProxyType({})


def plus(one: Offset, two: Offset) -> Offset:
    total = {k: one.get(k, Fraction(0)) + two.get(k, Fraction(0)) for k in {*one, *two}}
    return {k: n for k, n in total.items() if n}


def minus(one: Offset, two: Offset) -> Offset:
    return plus(one, {k: -n for k, n in two.items()})


def whole_steps(offset: Offset, strides: Mapping[int, Fraction]) -> Offset:
    """The largest part of an offset that is whole steps of these strides; an axis without a stride has none."""
    steps = {k: floor(n / strides[k]) * strides[k] for k, n in offset.items() if k in strides}
    return {k: n for k, n in steps.items() if n}


def key(offset: Offset) -> tuple[tuple[int, int, int], ...]:
    """The offset as plain numbers, for names."""
    return tuple((k, n.numerator, n.denominator) for k, n in sorted(offset.items()))
