"""Numbers as the plan and its errors print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def times(numbers: Sequence[Any]) -> str:
    """Sizes per axis: `3 x 4`."""
    return " x ".join(map(str, numbers))


def in_bytes(count: int) -> str:
    """A number of bytes in the largest unit that it reaches: `1.5 MiB`."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{count} bytes" if units[0] == "bytes" else f"{value:.1f} {units[0]}"
