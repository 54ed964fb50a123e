"""Regular patterns among known values: gathers and matrices that move along with the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shiftjax.certifier._domain.axis import Run
from shiftjax.certifier._domain.rounding import SAFETY
from shiftjax.certifier._domain.values import digest

LARGEST_ERROR = 0.05  # of the largest weight: beyond it, weights are too uncertain to be taken for the same
Same = Callable[[int, int], np.ndarray]  # period, step -> for each output, whether the one a period later is the same


@dataclass(frozen=True)
class Pattern:
    """Output `m * len(first) + r` reads from `first[r] + m * step` to `last[r] + m * step`, in `start .. stop - 1`.

    Attributes:
        name: digest of the pattern and of the weights.
        error: how far the weights may be off by rounding.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]
    step: int
    start: int
    stop: int
    name: str
    error: float = 0.0

    def assumption(self, what: str, source: str) -> str:
        """What a proof that rests on this pattern takes for granted."""
        turns = (self.stop - self.start) / len(self.first)
        return f"the {what} read at {source} continue at other sizes as they do at this one, for {turns:.3g} turns"


@dataclass(frozen=True)
class _Repetition:
    """Outputs `j` and `j + period` of the run differ by `step` elements and in nothing else."""

    period: int
    step: int
    run: Run

    @property
    def length(self) -> int:
        return self.run[1] - self.run[0]


def regular(indices: Sequence[int]) -> Pattern | None:
    """The pattern of a list of indices; None if it has none, stands still or turns back."""
    at = np.asarray(indices)
    repetition = _best_repetition(at, lambda period, step: at[period:] - at[:-period] == step)
    if repetition is None:
        return None
    period, step, (start, stop) = repetition.period, repetition.step, repetition.run
    first = [0] * period
    for j in range(start, start + period):
        first[j % period] = int(at[j]) - j // period * step
    return Pattern(tuple(first), tuple(first), step, start, stop, digest("indices", first, step))


def banded(matrix: np.ndarray, error: np.ndarray, key: str) -> Pattern | None:
    """The pattern of a matrix (elements, outputs) whose columns repeat, moved down; None if it has none.

    Weights that are exact must be equal. Weights that are known up to rounding may differ by as much as that; then the
    pattern says so, and its name is that of this one matrix.

    Args:
        matrix: known weights.
        error: a bound on their errors, broadcast to the matrix.
        key: the name of the matrix.
    """
    bands = _bands(matrix)
    exact = np.asarray(~np.broadcast_to(error, matrix.shape).any(axis=0))
    repetition = _best_repetition(
        bands.first, lambda period, step: bands.repeat(period, step, 0.0) & exact[period:] & exact[:-period]
    )
    if repetition is not None:
        return _band(bands, repetition)
    most, largest = float(np.max(error)), float(np.abs(bands.weights).max(initial=0))
    if exact.all() or SAFETY * most > LARGEST_ERROR * largest:
        return None
    repetition = _best_repetition(bands.first, lambda period, step: bands.repeat(period, step, SAFETY * most))
    if repetition is None:
        return None
    pattern = _band(bands, repetition)
    return replace(pattern, error=most, name=digest(pattern.name, key))


@dataclass(frozen=True)
class _Bands:
    """A matrix column by column: `weights[j, k]` stands in row `first[j] + k`; all others are zero."""

    first: np.ndarray
    last: np.ndarray
    weights: np.ndarray

    def repeat(self, period: int, step: int, error: float) -> np.ndarray:
        """For each column, whether the one a period later is the same, moved down by `step`, up to an error."""
        moved = self.first[period:] - self.first[:-period] - step
        if not error:
            return (moved == 0) & (self.weights[period:] == self.weights[:-period]).all(axis=1)
        width = self.weights.shape[1]
        padded = np.pad(self.weights, ((0, 0), (1, 1)))  # a weight near zero may or may not be there
        near = np.zeros(len(moved), bool)
        for by in (-1, 0, 1):
            later = padded[period:, 1 - by : width + 1 - by] if by else self.weights[period:]
            lost = np.abs(self.weights[period:]).sum(1) - np.abs(later).sum(1)
            close = np.abs(later - self.weights[:-period]).max(axis=1, initial=0) <= error
            near |= (moved == by) & close & (lost <= error)
        return near


def _bands(matrix: np.ndarray) -> _Bands:
    nonzero = matrix != 0
    first = nonzero.argmax(axis=0)
    last = np.where(nonzero.any(axis=0), len(matrix) - 1 - nonzero[::-1].argmax(axis=0), first - 1)
    width = max(1, int((last - first).max(initial=0)) + 1)
    rows = first[:, None] + np.arange(width)
    inside = rows < len(matrix)
    weights = np.where(inside, matrix[np.where(inside, rows, 0), np.arange(matrix.shape[1])[:, None]], 0)
    return _Bands(first, last, weights.astype(np.int8) if matrix.dtype == bool else weights)


def _best_repetition(first: np.ndarray, same: Same) -> _Repetition | None:
    """The repetition that explains the most outputs: on a short run, a wrong period may fit by accident.

    A longer period replaces a shorter one only if it explains a turn more.
    """
    best: _Repetition | None = None
    count = len(first)
    for period in range(1, count // 2 + 1):
        if best and count < best.length + best.period:
            break  # nothing can explain a turn more
        middle = (count - period) // 2
        step = int(first[middle + period] - first[middle])
        if step < 1:
            continue
        run = _run_around(same(period, step), middle)
        if run is None:
            continue
        start, stop = run[0], run[1] + period
        enough = stop - start >= max(2 * period, count / 2)
        if enough and (best is None or stop - start >= best.length + best.period):
            best = _Repetition(period, step, (start, stop))
    return best


def _run_around(holds: np.ndarray, middle: int) -> Run | None:
    """The run of true entries around the middle."""
    if not holds[middle]:
        return None
    breaks = np.flatnonzero(~holds)
    at = int(np.searchsorted(breaks, middle))
    return int(breaks[at - 1]) + 1 if at else 0, int(breaks[at]) if at < len(breaks) else len(holds)


def _band(bands: _Bands, repetition: _Repetition) -> Pattern:
    """The bounds hold every weight of the run, also one so small that only some of its columns show it."""
    period, step, (start, stop) = repetition.period, repetition.step, repetition.run
    columns = np.arange(start, stop)
    moved = columns // period * step
    low, high = [0] * period, [-1] * period
    for r in range(period):
        own = columns % period == r
        low[r] = int((bands.first[start:stop] - moved)[own].min())
        high[r] = int((bands.last[start:stop] - moved)[own].max())
    weights = bands.weights[start : start + period]
    name = digest("band", low, high, step, start % period, str(weights.dtype), weights)
    return Pattern(tuple(low), tuple(high), step, start, stop, name)
