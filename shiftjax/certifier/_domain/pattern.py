"""Regular patterns among known values: gathers and matrices that move along with the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shiftjax.certifier._domain.axis import Run
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.rounding import SAFETY, is_float

CLOSED_OVER = 1e-6  # of the largest weight: how far floats that were computed elsewhere may be off
LARGEST_ERROR = 0.25  # of the largest weight: beyond it, weights are too uncertain to be taken for the same
# outputs, others, elements -> for each output, whether the other one is the same, so many elements further down
Same = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
TURNS = 6  # that rounded weights must repeat for
PROBE = 8  # outputs on either side of the middle that a period must explain before it is tried on all


@dataclass(frozen=True)
class Pattern:
    """Outputs in `start .. stop - 1`: `m * len(first) + r` reads from `first[r] + m * step` to `last[r] + m * step`.

    Attributes:
        name: digest of the pattern and of the weights.
        before: first and last element that each output before `start` reads, both included.
        after: likewise for those from `stop` on.
        ends: digests of the weights there, to the digits that are known.
        ends_error: how far they may be off, by rounding.
        error: how far apart weights that should be equal may be, by rounding.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]
    step: int
    start: int
    stop: int
    name: str
    before: tuple[Run, ...]
    after: tuple[Run, ...]
    ends: tuple[str, str]
    error: float = 0.0
    ends_error: float = 0.0

    def elements(self, output: int) -> Run:
        """First and last element that an output reads by the pattern; an empty run if it reads none."""
        turn, phase = divmod(output, len(self.first))
        return self.first[phase] + turn * self.step, self.last[phase] + turn * self.step

    @property
    def reads(self) -> np.ndarray:
        """`(output, 2)` the first and last element that each output reads, those beside the pattern included."""
        turn, phase = np.divmod(np.arange(self.start, self.stop), len(self.first))
        run = [np.array(ends)[phase] + turn * self.step for ends in (self.first, self.last)]
        ends = [np.array(part, int).reshape(-1, 2) for part in (self.before, self.after)]
        return np.concatenate([ends[0], np.stack(run, axis=1), ends[1]])

    def assumption(self, what: str, source: str) -> str:
        """What a proof that rests on this pattern assumes."""
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
    repetition = _best_repetition(at, lambda own, others, down: at[others] - at[own] == down)
    if repetition is None:
        return None
    period, step, (start, stop) = repetition.period, repetition.step, repetition.run
    first = [0] * period
    for j in range(start, start + period):
        first[j % period] = int(at[j]) - j // period * step
    before, after = (tuple((int(i), int(i)) for i in part) for part in (at[:start], at[stop:]))
    name = digest("indices", first, step)
    return Pattern(tuple(first), tuple(first), step, start, stop, name, before, after, ("", ""))


def banded(columns: np.ndarray, start: np.ndarray, error: np.ndarray, key: Callable[[], str]) -> Pattern | None:
    """The pattern of a matrix (elements, outputs) whose columns repeat, moved down; None if it has none.

    Weights that are exact must be equal. Weights that are known up to rounding may differ by as much as that; then the
    pattern says so, and its name is that of this one matrix.

    Args:
        columns: known weights, (outputs, elements from `start` on); all others are zero.
        start: for each output.
        error: a bound on their errors, of the same shape.
        key: gives the name of the matrix.
    """
    bands = _bands(columns, start)
    exact = np.asarray(~error.any(axis=1))
    repetition = _best_repetition(
        bands.first, lambda own, others, down: bands.equal(own, others, down) & exact[own] & exact[others]
    )
    if repetition is not None:
        ends_exact = exact[: repetition.run[0]].all() and exact[repetition.run[1] :].all()
        return _band(bands, repetition, 0.0 if ends_exact else float(SAFETY * np.max(error)))
    if not is_float(columns.dtype):
        return None
    largest = float(np.abs(bands.weights).max(initial=0))
    most = max(float(np.max(error)), CLOSED_OVER * largest)
    if SAFETY * most > LARGEST_ERROR * largest:
        return None
    within = SAFETY * most
    repetition = _best_repetition(bands.first, lambda own, others, down: bands.near(own, others, down, within))
    repetition = repetition and _without_drift(bands, repetition, within)
    if repetition is None:
        return None
    pattern = _band(bands, repetition, within)
    return replace(pattern, error=2 * within, name=digest(pattern.name, key()))


@dataclass(frozen=True)
class _Bands:
    """A matrix column by column: `weights[j, k]` stands in row `first[j] + k`; all others are zero."""

    first: np.ndarray
    last: np.ndarray
    weights: np.ndarray

    def equal(self, own: np.ndarray, others: np.ndarray, down: np.ndarray) -> np.ndarray:
        """For each of these columns, whether the other one is the same, so much further down."""
        moved = self.first[others] - self.first[own] == down
        return moved & (self.weights[others] == self.weights[own]).all(axis=1)

    def near(self, own: np.ndarray, others: np.ndarray, down: np.ndarray, error: float) -> np.ndarray:
        """The same, up to an error."""
        moved = self.first[others] - self.first[own] - down
        width = self.weights.shape[1]
        padded = np.pad(self.weights[others], ((0, 0), (1, 1)))  # a weight near zero may or may not be there
        near = np.zeros(len(moved), bool)
        for by in (-1, 0, 1):
            other = padded[:, 1 - by : width + 1 - by]
            lost = np.abs(self.weights[others]).sum(1) - np.abs(other).sum(1)
            close = np.abs(other - self.weights[own]).max(axis=1, initial=0) <= error
            near |= (moved == by) & close & (lost <= error)
        return near


def _without_drift(bands: _Bands, found: _Repetition, error: float) -> _Repetition | None:
    """The part of a run whose outputs are all near those of one turn in its middle; None if that is only a few turns.

    A turn is one repetition. Each may be near the next one, and yet the last be far from the first. Comparison with the
    middle rules that out: weights that drift from turn to turn leave the error behind within a long run.
    """
    start, stop = found.run
    period, columns = found.period, np.arange(start, stop)
    turns = (columns - start) // period
    middle = turns[-1] // 2
    reference = columns - (turns - middle) * period
    run = _run_around(bands.near(reference, columns, (turns - middle) * found.step, error), int(middle * period))
    if run is None or run[1] - run[0] < max(TURNS * period, len(bands.first) / 2):
        return None
    return _Repetition(period, found.step, (start + run[0], start + run[1]))


def _bands(columns: np.ndarray, start: np.ndarray) -> _Bands:
    nonzero = columns != 0
    height = columns.shape[1]
    first = nonzero.argmax(axis=1)
    last = np.where(nonzero.any(axis=1), height - 1 - nonzero[:, ::-1].argmax(axis=1), first - 1)
    width = max(1, int((last - first).max(initial=0)) + 1)
    rows = first[:, None] + np.arange(width)
    inside = rows < height
    weights = np.where(inside, np.take_along_axis(columns, np.where(inside, rows, 0), 1), 0)
    return _Bands(start + first, start + last, weights.astype(np.int8) if columns.dtype == bool else weights)


def _best_repetition(first: np.ndarray, same: Same) -> _Repetition | None:
    """The repetition that explains the most outputs: on a short run, a wrong period may fit by accident.

    A longer period replaces a shorter one only if it explains one more turn. A multiple of the shorter one cannot:
    where the run of the shorter one ends, the multiple compares the same two outputs.
    """
    best: _Repetition | None = None
    count = len(first)
    periods = np.arange(1, count // 2 + 1)
    middles = (count - periods) // 2
    steps = first[middles + periods] - first[middles]
    likely = (steps >= 1) & same(middles, middles + periods, steps)
    for period, middle, step in zip(*(each[likely].tolist() for each in (periods, middles, steps)), strict=True):
        if best and count < best.length + best.period:
            break  # nothing can explain one more turn
        if best and period % best.period == 0:
            continue

        def repeats(own: np.ndarray, period: int = period, step: int = step) -> np.ndarray:
            return same(own, own + period, np.full(len(own), step))

        near = np.arange(max(0, middle - PROBE), min(count - period, middle + PROBE + 1))
        least = min(len(near), max(1, (count - 1) // 2 - period))  # of a run of half the outputs
        if repeats(near).sum() < min(least, PROBE):
            continue
        run = _run_around(repeats(np.arange(count - period)), middle)
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


def _band(bands: _Bands, repetition: _Repetition, ends_error: float) -> Pattern:
    """The pattern of a run. Its bounds hold every weight, also one so small that only some of the columns show it."""
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
    before, after = slice(start), slice(stop, None)
    reads = [
        tuple((int(a), int(b)) for a, b in zip(bands.first[part], bands.last[part], strict=True))
        for part in (before, after)
    ]
    # Weights that are known up to rounding are named by the digits that are sure; so near ones may count as different.
    sure = 0 < ends_error < LARGEST_ERROR * float(np.abs(bands.weights).max(initial=0))
    digits = int(-np.log10(2 * ends_error)) if sure else 0
    known = np.round(bands.weights, digits) + 0 if sure else bands.weights
    left, right = (digest(str(weights.dtype), known[part]) for part in (before, after))
    return Pattern(
        tuple(low), tuple(high), step, start, stop, name, reads[0], reads[1], (left, right), ends_error=ends_error
    )
