"""Regular patterns among known values: gathers and matrices that move along with the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shiftjax.certifier._domain.axis import Run
from shiftjax.certifier._domain.values import digest

TOLERANCE = 1e-5  # of the weights of a computed matrix, relative to the largest; disclosed where it is needed
Same = Callable[[int, int, int], bool]  # output j, output k, step: whether k reads what j reads, `step` further on


@dataclass(frozen=True)
class Pattern:
    """Output `m * len(first) + r` reads from `first[r] + m * step` to `last[r] + m * step`, in `start .. stop - 1`.

    Attributes:
        name: digest of the pattern and of the weights.
        error: how far weights that count as equal differ.
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
    repetition = _best_repetition(indices, lambda j, k, step: indices[k] - indices[j] == step)
    if repetition is None:
        return None
    period, step, (start, stop) = repetition.period, repetition.step, repetition.run
    first = [0] * period
    for j in range(start, start + period):
        first[j % period] = indices[j] - j // period * step
    return Pattern(tuple(first), tuple(first), step, start, stop, digest("indices", first, step))


def banded(matrix: np.ndarray) -> Pattern | None:
    """The pattern of a matrix (elements, outputs) whose columns repeat, moved down; None if it has none."""
    nonzero = [np.flatnonzero(column) for column in matrix.T]
    first = [int(rows[0]) if len(rows) else 0 for rows in nonzero]
    last = [int(rows[-1]) if len(rows) else -1 for rows in nonzero]
    limit = TOLERANCE * float(np.abs(matrix).max(initial=0.0))
    repetition = _best_repetition(first, lambda j, k, step: _difference(matrix, j, k, step) <= limit)
    return None if repetition is None else _band(matrix, first, last, repetition)


def _best_repetition(firsts: Sequence[int], same: Same) -> _Repetition | None:
    """The repetition that explains the most outputs: on a short run, a wrong period may fit by accident.

    A longer period replaces a shorter one only if it explains a turn more.
    """
    best: _Repetition | None = None
    for period in range(1, len(firsts) // 2 + 1):
        middle = (len(firsts) - period) // 2
        step = firsts[middle + period] - firsts[middle]
        if step < 1 or (best and not _may_explain_more(period, best, len(firsts), same)):
            continue
        run = _repeating_run(len(firsts), period, step, same)
        if run and (best is None or run[1] - run[0] >= best.length + best.period):
            best = _Repetition(period, step, run)
    return best


def _repeating_run(count: int, period: int, step: int, same: Same) -> Run | None:
    """The run of outputs around the middle that repeats, if it holds half of them and two periods."""
    middle = (count - period) // 2
    if not same(middle, middle + period, step):
        return None
    start, stop = middle, middle
    while start > 0 and same(start - 1, start - 1 + period, step):
        start -= 1
    while stop + 1 < count - period and same(stop + 1, stop + 1 + period, step):
        stop += 1
    stop += period + 1
    return (start, stop) if stop - start >= max(2 * period, count / 2) else None


def _may_explain_more(period: int, best: _Repetition, count: int, same: Same) -> bool:
    """Whether a longer period may explain a turn more. A multiple must hold where the shorter one breaks off."""
    start, stop = best.run
    if count < best.length + best.period:
        return False
    if period % best.period:
        return True
    step = best.step * (period // best.period)
    return (stop < count and same(stop - period, stop, step)) or (
        start > 0 and same(start - 1, start - 1 + period, step)
    )


def _difference(matrix: np.ndarray, j: int, k: int, step: int) -> float:
    """How far column `k` is from column `j` moved down by `step`; what would be lost at either end counts too."""
    a, b = matrix[:, j], matrix[:, k]
    if step > len(a):
        return np.inf
    lost = max(np.abs(a[len(a) - step :]).max(initial=0.0), np.abs(b[:step]).max(initial=0.0))
    return float(max(lost, np.abs(a[: len(a) - step] - b[step:]).max(initial=0.0)))


def _band(matrix: np.ndarray, first: list[int], last: list[int], repetition: _Repetition) -> Pattern:
    """The bounds hold every weight of the run, also one so small that only some of its columns show it."""
    period, step, (start, stop) = repetition.period, repetition.step, repetition.run
    error = max(_difference(matrix, j, j + period, step) for j in range(start, stop - period))
    low, high = [0] * period, [-1] * period
    for r in range(period):
        columns = [j for j in range(start, stop) if j % period == r]
        low[r] = min(first[j] - j // period * step for j in columns)
        high[r] = max(last[j] - j // period * step for j in columns)
    exact = [matrix[first[j] : last[j] + 1, j].astype(np.float64) for j in range(start, start + period)]
    scale = float(f"{max(np.abs(column).max(initial=0.0) for column in exact):.3e}")
    weights = [(np.round(column / scale, 4) if error else column).tolist() for column in exact]
    if error:
        weights.append([scale])
    name = digest("band", low, high, step, start % period, weights)
    return Pattern(tuple(low), tuple(high), step, start, stop, name, error)
