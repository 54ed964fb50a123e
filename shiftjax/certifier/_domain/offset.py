"""How far along a map is read: input pixels per image axis. No JAX here.

Cutting the image, or padding it, changes no map, only where it is read. Kept apart from the map's name, the shift lets
pieces of one map be told for what they are, wherever each was cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import floor

Shift = Mapping[int, Fraction]  # by image axis; axes that are not shifted are left out


def plus(one: Shift, two: Shift) -> Shift:
    total = {k: one.get(k, Fraction(0)) + two.get(k, Fraction(0)) for k in {*one, *two}}
    return {k: n for k, n in total.items() if n}


def minus(one: Shift, two: Shift) -> Shift:
    return plus(one, {k: -n for k, n in two.items()})


def whole(shift: Shift, strides: Mapping[int, Fraction]) -> Shift:
    """The most of a shift that is whole steps of these strides, in input pixels; an axis without one has none."""
    steps = {k: floor(n / strides[k]) * strides[k] for k, n in shift.items() if k in strides}
    return {k: n for k, n in steps.items() if n}


def key(shift: Shift) -> tuple[tuple[int, int, int], ...]:
    """For digests."""
    return tuple((k, n.numerator, n.denominator) for k, n in sorted(shift.items()))
