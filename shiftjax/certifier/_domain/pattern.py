"""Regular maps among known values: gathers and matrices that move along with the image. No JAX here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftjax.certifier._domain.values import digest

TOLERANCE = 1e-5  # of the weights of a computed matrix, relative to the largest; disclosed where it is needed


@dataclass(frozen=True)
class Pattern:
    """Output `m * len(first) + r` takes from `first[r] + m * step` to `last[r] + m * step`, in `start .. stop - 1`."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    step: int
    start: int
    stop: int
    name: str
    error: float = 0.0


def _run(count: int, period: int, same: Callable[[int], bool]) -> tuple[int, int] | None:
    """The run of outputs around the middle that repeats with a period, if it holds half of them and two periods."""
    middle = (count - period) // 2
    if middle < 0 or not same(middle):
        return None
    start, stop = middle, middle
    while start > 0 and same(start - 1):
        start -= 1
    while stop + 1 < count - period and same(stop + 1):
        stop += 1
    stop += period + 1
    return (start, stop) if stop - start >= max(2 * period, count / 2) else None


def _longest(places: Sequence[int], same: Callable[[int, int, int], bool]) -> tuple[int, int, tuple[int, int]] | None:
    """Period, step and run of the pattern that explains the most outputs: a short run may fit a period by accident."""
    best: tuple[int, int, tuple[int, int]] | None = None
    for period in range(1, len(places) // 2 + 1):
        middle = (len(places) - period) // 2
        step = places[middle + period] - places[middle]
        if step < 1 or (best and not _outgrows(period, best, len(places), same)):
            continue
        run = _run(len(places), period, lambda j, q=period, s=step: same(j, j + q, s))  # type: ignore[misc]
        if run and (best is None or run[1] - run[0] >= best[2][1] - best[2][0] + best[0]):
            best = (period, step, run)
    return best


def _outgrows(period: int, best: Any, count: int, same: Callable[[int, int, int], bool]) -> bool:
    """Whether a longer period may explain a turn more; a multiple must go on where the shorter one breaks off."""
    known, step, (start, stop) = best
    if count < stop - start + known:
        return False
    if period % known:
        return True
    step *= period // known
    return (stop < count and same(stop - period, stop, step)) or (
        start > 0 and same(start - 1, start - 1 + period, step)
    )


def regular(at: Sequence[int]) -> Pattern | None:
    """The pattern of a list of places; None if it has none, stands still or turns back."""
    found = _longest(at, lambda j, k, step: at[k] - at[j] == step)
    if found is None:
        return None
    period, step, run = found
    first = _from_zero(at, run[0], period, step)
    return Pattern(first, first, step, *run, digest("places", first, step))


def _from_zero(at: Sequence[int], start: int, period: int, step: int) -> tuple[int, ...]:
    """The places of outputs 0 .. period - 1 as the run would have them."""
    found = [0] * period
    for j in range(start, start + period):
        found[j % period] = at[j] - j // period * step
    return tuple(found)


def banded(matrix: np.ndarray) -> Pattern | None:
    """The pattern of a matrix (elements, outputs) whose columns repeat, moved down; None if it has none."""
    filled = [np.flatnonzero(column) for column in matrix.T]
    first = [int(f[0]) if len(f) else 0 for f in filled]
    last = [int(f[-1]) if len(f) else -1 for f in filled]
    limit = TOLERANCE * float(np.abs(matrix).max(initial=0.0))
    found = _longest(first, lambda j, k, step: _error(matrix, j, k, step) <= limit)
    if found is None:
        return None
    period, step, run = found
    error = max(_error(matrix, j, j + period, step) for j in range(run[0], run[1] - period))
    return _band(matrix, first, last, period, step, run, error)


def _error(matrix: np.ndarray, j: int, k: int, step: int) -> float:
    """How far column `k` is from column `j` moved down by `step`; nothing may be lost at either end."""
    a, b = matrix[:, j], matrix[:, k]
    if step > len(a):
        return np.inf
    lost = max(np.abs(a[len(a) - step :]).max(initial=0.0), np.abs(b[:step]).max(initial=0.0))
    return float(max(lost, np.abs(a[: len(a) - step] - b[step:]).max(initial=0.0)))


def _band(
    matrix: np.ndarray,
    first: list[int],
    last: list[int],
    period: int,
    step: int,
    run: tuple[int, int],
    error: float,
) -> Pattern:
    """The bounds hold every weight of the run, also one so small that only some of its columns show it."""
    turns = {j: j // period * step for j in range(*run)}
    low, high = [0] * period, [-1] * period
    for r in range(period):
        mine = [j for j in range(*run) if j % period == r]
        low[r] = min(first[j] - turns[j] for j in mine)
        high[r] = max(last[j] - turns[j] for j in mine)
    at = run[0]
    exact = [matrix[first[j] : last[j] + 1, j].astype(np.float64) for j in range(at, at + period)]
    scale = float(f"{max(np.abs(column).max(initial=0.0) for column in exact):.3e}")
    weights = [(np.round(column / scale, 4) if error else column).tolist() for column in exact]
    if error:
        weights.append([scale])
    return Pattern(tuple(low), tuple(high), step, *run, digest("band", low, high, step, at % period, weights), error)
