"""Constants that repeat along an axis but for a few elements at its ends, as a mask of the border does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shiftjax._arithmetic import ceil_div

MOST = 4  # an end may be at most a quarter of the axis, so that at least half of it repeats


@dataclass(frozen=True)
class Form:
    """How a constant runs along an axis of `size` elements.

    Attributes:
        left: elements before those that repeat.
        period: after how many elements they repeat.
        right: elements after them.
        size: of the axis.
    """

    left: int
    period: int
    right: int
    size: int

    @property
    def middle(self) -> tuple[int, int]:
        """(start, stop) of one period that begins at a multiple of it."""
        start = ceil_div(self.left, self.period) * self.period
        return start, start + self.period

    @property
    def kept(self) -> np.ndarray:
        """The elements that say all: both ends and one period."""
        return np.r_[: self.left, slice(*self.middle), self.size - self.right : self.size]

    @property
    def plain(self) -> tuple[int, int, int, int]:
        """What two sizes of one constant have in common: the lengths of the ends, the period, and its phase."""
        return self.left, self.period, self.right, self.size % self.period


def form(value: np.ndarray, axis: int) -> Form | None:
    """The form of a constant along an axis, with the shortest period that shows at least twice; None if it has none."""
    rows = np.moveaxis(value, axis, 0)
    size = len(rows)
    codes: dict[bytes, int] = {}
    at = np.array([codes.setdefault(row.tobytes(), len(codes)) for row in rows])
    for period in range(1, size // 2 + 1):
        middle = (size - period) // 2
        if at[middle] != at[middle + period]:
            continue
        breaks = np.flatnonzero(at[period:] != at[:-period])  # the elements that are not repeated
        left = int(breaks[breaks < middle].max(initial=-1)) + 1
        stop = int(breaks[breaks >= middle].min(initial=size - period)) + period
        found = Form(left, period, size - stop, size)
        if max(found.left, found.right) <= size // MOST and found.middle[1] + period <= stop:
            return found
    return None
