"""Regular maps among known values: gathers and matrices that move along with the image. No JAX here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shiftjax.certify._values import digest

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


def regular(at: Sequence[int]) -> Pattern | None:
    """The pattern of a list of places, with the shortest period; None if it has none, stands still or turns back."""
    count = len(at)
    for period in range(1, count // 2 + 1):
        middle = (count - period) // 2
        step = at[middle + period] - at[middle]
        if step < 1:
            continue
        run = _run(count, period, lambda j, q=period, s=step: at[j + q] - at[j] == s)  # type: ignore[misc]
        if run:
            first = _from_zero(at, run[0], period, step)
            return Pattern(first, first, step, *run, digest("places", first, step))
    return None


def _from_zero(at: Sequence[int], start: int, period: int, step: int) -> tuple[int, ...]:
    """The places of outputs 0 .. period - 1 as the run would have them."""
    found = [0] * period
    for j in range(start, start + period):
        found[j % period] = at[j] - j // period * step
    return tuple(found)


def banded(matrix: np.ndarray) -> Pattern | None:
    """The pattern of a matrix (elements, outputs) whose columns repeat, moved down; None if it has none."""
    count = matrix.shape[1]
    filled = [np.flatnonzero(column) for column in matrix.T]
    first = [int(f[0]) if len(f) else 0 for f in filled]
    last = [int(f[-1]) if len(f) else -1 for f in filled]
    limit = TOLERANCE * float(np.abs(matrix).max(initial=0.0))
    for period in range(1, count // 2 + 1):
        middle = (count - period) // 2
        step = first[middle + period] - first[middle]
        if step < 1:
            continue
        run = _run(count, period, lambda j, q=period, s=step: _error(matrix, j, j + q, s) <= limit)  # type: ignore[misc]
        if run:
            error = max(_error(matrix, j, j + period, step) for j in range(run[0], run[1] - period))
            return _band(matrix, first, last, period, step, run, error)
    return None


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
