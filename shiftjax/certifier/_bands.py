"""Large known matrices that are zero outside a band, as those of resizing, in memory that grows with their length only.

A matrix of (elements, outputs) that is computed pointwise from vectors is never written out. Interval arithmetic on
blocks of it shows which of them are zero however XLA computes them; the others are evaluated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax.certifier._domain.constants import Known
from shiftjax.certifier._domain.rounding import FLOATS, SAFETY, Rounding

LARGE = 1 << 20  # elements; a larger matrix is not written out

Interval = tuple[np.ndarray, np.ndarray]  # least and greatest, in float64
Evaluate = Callable[[Known, list[np.ndarray], list[Rounding]], tuple[np.ndarray, Rounding]]


class Band(NamedTuple):
    """All elements of a matrix that may differ from zero, column by column.

    Attributes:
        start: for each column, the first row that is kept.
        values: (column, row), as many rows for each column.
        error: a bound on their errors.
        blocks: the values and their rounding as they were computed: (block of columns, row, column of the block).
    """

    start: np.ndarray
    values: np.ndarray
    error: np.ndarray
    blocks: tuple[np.ndarray, Rounding]


def _block(shape: Sequence[int]) -> int:
    """Rows and columns of a block: as many as make all blocks, and all elements near the band, take about as long."""
    return max(16, round(shape[0] ** (1 / 3)))


def is_large(shape: Sequence[int]) -> bool:
    return len(shape) == 2 and shape[0] * shape[1] > LARGE


def band(matrix: Known, evaluate: Evaluate) -> Band | None:
    """The band of a matrix (elements, outputs); None where it has none, or is not computed pointwise from vectors.

    Args:
        matrix: a large matrix.
        evaluate: computes one operation on arrays that are broadcast to each other, with its rounding.
    """
    n, m = matrix.shape
    block = _block(matrix.shape)
    hull = _interval(matrix, block, {})
    if hull is None:
        return None
    least, greatest = (np.broadcast_to(bound, (ceil_div(n, block), ceil_div(m, block))) for bound in hull)
    possible = ~((least == 0) & (greatest == 0))
    first = possible.argmax(axis=0)
    last = len(possible) - 1 - possible[::-1].argmax(axis=0)
    height = block * int(np.where(possible.any(axis=0), last - first + 1, 1).max())
    if height > n // 2:
        return None
    start = np.minimum(first * block, n - height)
    rows = start[:, None] + np.arange(height)
    columns = np.minimum(np.arange(ceil_div(m, block) * block), m - 1).reshape(-1, block)
    shape = (*rows.shape, block)
    values, rounding = _at(matrix, rows[:, :, None], columns[:, None, :], evaluate, {})
    values, error = (np.broadcast_to(array, shape) for array in (values, rounding.error))
    by_column = [array.transpose(0, 2, 1).reshape(-1, height)[:m] for array in (values, error)]
    return Band(np.repeat(start, block)[:m], by_column[0], by_column[1], (values, rounding._replace(error=error)))


def _vector(known: Known) -> tuple[np.ndarray, Rounding] | None:
    """A small operand as an array of two axes, at least one of size 1, and its rounding; None where it is larger."""
    operand, axes = known, tuple(range(2 - len(known.shape), 2))
    if known.is_large and known.made is not None and known.made[0].name == "broadcast_in_dim":
        eqn, (operand,), _ = known.made
        axes = eqn.params["broadcast_dimensions"]
    if len(operand.shape) > 2 or (len(operand.shape) == 2 and 1 not in operand.shape):
        return None
    wide = [1, 1]
    for k, n in zip(axes, operand.shape, strict=True):
        wide[k] = n
    error = np.broadcast_to(operand.rounding.error, operand.shape).reshape(wide)
    return operand.value.reshape(wide), operand.rounding._replace(error=error)


def _at(
    known: Known, rows: np.ndarray, columns: np.ndarray, evaluate: Evaluate, done: dict[int, Any]
) -> tuple[np.ndarray, Rounding]:
    """The values at these places, with their rounding."""
    if id(known) not in done:
        vector = _vector(known)
        if vector is not None:
            value, rounding = vector
            error = _taken(rounding.error, rows, columns)
            done[id(known)] = _taken(value, rows, columns), rounding._replace(error=error)
        else:
            assert known.made is not None
            operands = [_at(operand, rows, columns, evaluate, done) for operand in known.made[1]]
            done[id(known)] = evaluate(known, [value for value, _ in operands], [own for _, own in operands])
    return done[id(known)]


def _taken(array: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Elements of an array one of whose two axes has size 1, at rows (block, n, 1) and columns (block, 1, m)."""
    if array.shape[0] > 1:
        return array[:, 0][rows]
    return array[0][columns] if array.shape[1] > 1 else array[None]


def _interval(known: Known, block: int, done: dict[int, Interval | None]) -> Interval | None:
    """Bounds of the values in each block, whatever the rounding; None where there are none."""
    if id(known) not in done:
        done[id(known)] = _bounds(known, block, done)
    return done[id(known)]


def _bounds(known: Known, block: int, done: dict[int, Interval | None]) -> Interval | None:
    vector = _vector(known)
    if vector is not None:
        value, error = vector[0].astype(np.float64), SAFETY * vector[1].error
        return _by_block(value - error, block, np.minimum), _by_block(value + error, block, np.maximum)
    if not known.is_large or known.made is None:
        return None
    eqn, operands, _ = known.made
    bounds = [_interval(operand, block, done) for operand in operands]
    rule = INTERVALS.get(eqn.name)
    if rule is None or eqn.dtype not in FLOATS or any(b is None for b in bounds):
        return None
    with np.errstate(all="ignore"):
        least, greatest = rule(*(b for b in bounds if b is not None))
    epsilon, smallest = FLOATS[eqn.dtype]
    slack = SAFETY * (epsilon * np.maximum(np.abs(least), np.abs(greatest)) + smallest)
    slack = np.where((least == 0) & (greatest == 0), 0.0, slack) if eqn.name in EXACT else slack
    return np.where(np.isnan(least), -np.inf, least - slack), np.where(np.isnan(greatest), np.inf, greatest + slack)


def _by_block(array: np.ndarray, block: int, of: Any) -> np.ndarray:
    """The least or the greatest of each block."""
    for k, n in enumerate(array.shape):
        if n > 1:
            array = of.reduceat(array, np.arange(0, n, block), axis=k)
    return array


def _product(a: Interval, b: Interval) -> Interval:
    ends = np.stack(np.broadcast_arrays(*(x * y for x in a for y in b)))
    return ends.min(axis=0), ends.max(axis=0)


def _quotient(a: Interval, b: Interval) -> Interval:
    ends = np.stack(np.broadcast_arrays(*(x / y for x in a for y in b)))
    apart = (b[0] > 0) | (b[1] < 0)
    return np.where(apart, ends.min(axis=0), -np.inf), np.where(apart, ends.max(axis=0), np.inf)


def _magnitude(a: Interval) -> Interval:
    across = (a[0] <= 0) & (a[1] >= 0)
    ends = np.abs(a[0]), np.abs(a[1])
    return np.where(across, 0.0, np.minimum(*ends)), np.maximum(*ends)


def _chosen(which: Interval, *cases: Interval) -> Interval:
    return (
        functools.reduce(np.minimum, (least for least, _ in cases), np.broadcast_to(np.inf, which[0].shape)),
        functools.reduce(np.maximum, (greatest for _, greatest in cases), np.broadcast_to(-np.inf, which[0].shape)),
    )


INTERVALS: dict[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _product,
    "div": _quotient,
    "neg": lambda a: (-a[1], -a[0]),
    "abs": _magnitude,
    "max": lambda a, b: (np.maximum(a[0], b[0]), np.maximum(a[1], b[1])),
    "min": lambda a, b: (np.minimum(a[0], b[0]), np.minimum(a[1], b[1])),
    "select_n": _chosen,
    "convert_element_type": lambda a: a,
    "broadcast_in_dim": lambda a: a,
}
EXACT = frozenset({"mul", "div", "neg", "abs", "max", "min", "select_n", "convert_element_type", "broadcast_in_dim"})
