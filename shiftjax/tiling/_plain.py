"""Values of a plan to JSON and back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any


def as_tuple(value: Any) -> Any:
    """A value as a plan has it, of one that JSON gave."""
    return tuple(value) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Outputs and their crops, as JSON takes them."""
    if isinstance(value, slice):
        return [value.start, value.stop]
    return str(value) if isinstance(value, Fraction) else vars(value)
