"""What narrow floats hold: a value beyond it is lost in the program, whatever it is in exact arithmetic."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

HUGE = 1e276  # far from the largest float64, and one over it from the least


class Range(NamedTuple):
    """What a type of floats holds: its largest number, and the least above zero that is not taken for zero."""

    largest: float
    least: float


def range_of(dtype: Any) -> Range:
    """Of a type of floats."""
    limits = jnp.finfo(dtype)
    # Subnormal numbers: half floats are computed in float32 and keep them; those of float32 are flushed to zero.
    least = limits.smallest_subnormal if float(limits.tiny) > 1e-30 else limits.tiny
    return Range(float(limits.max), max(float(least), 1 / HUGE))


def range_of_exponents(bits: int) -> Range:
    """Of numbers whose binary exponent has so many bits."""
    return Range(2.0 ** min(1023, 2 ** (bits - 1)), max(2.0 ** (2 - 2 ** (bits - 1)), 1 / HUGE))
