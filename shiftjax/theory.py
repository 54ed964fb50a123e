"""The arithmetic of the theory: capacities, lattices and training windows. Exact, in Python integers; no JAX here.

Source: Rumberger et al., "How Shift Equivariance Impacts Metric Learning for Instance Segmentation", ICCV 2021
(arXiv 2101.05846); the general lattices are an extension.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from math import gcd, prod
from typing import Any

from shiftjax._checks import fail, integer


def capacity(period: Sequence[int]) -> int:
    """Upper bound on the embeddings that objects can get which look the same over their receptive fields.

    Args:
        period: of the network, in input pixels per axis.

    Returns:
        The product of the periods: f^(dl) for `l` poolings by `f` in `d` dimensions.
    """
    return prod(_period(period))


def lattice_capacity(period: Sequence[int], lattice: Sequence[Any]) -> int:
    """Upper bound on the embeddings of copies of one object placed on a lattice.

    That is the index of the lattice vectors that are whole periods among all of them; networks with learned upsampling
    reach it for generic weights.

    Args:
        period: of the network, in input pixels per axis (d of them).
        lattice: the pitch per axis (d integers), or an integer basis in rows, shape (rank, d).

    Returns:
        The index [L : L ∩ P Z^d].

    Example:
        >>> lattice_capacity((8, 8), (8, 8)), lattice_capacity((8, 8), (7, 7))
        (1, 64)
        >>> lattice_capacity((8, 8), [[8, 4]])
        2
    """
    p = _period(period)
    basis = _basis(lattice, len(p))
    columns = [[int(k == j) * p[k] for k in range(len(p))] for j in range(len(p))]
    return prod(p) // _determinant([*basis, *columns], len(p))


def nearest_capacity(factors: Sequence[int], pitch: int) -> int:
    """Upper bound on one axis for max pooling with nearest-neighbour upsampling, where a regular pitch is seen.

    Args:
        factors: pooling factors, finest level first.
        pitch: distance of the copies, in input pixels.

    Returns:
        The number of embeddings: from the first level on whose map repeats within one pooling window, all is constant.
    """
    s, below = integer("pitch", pitch, least=1), 1
    for k, factor in enumerate(factors):
        f = integer(f"factors[{k}]", factor, least=1)
        if s // gcd(s, below) <= f:
            break
        below *= f
    return below // gcd(below, s)


def training_window(period: Sequence[int]) -> tuple[int, ...]:
    """The smallest training window that sees all neighbouring output pixels side by side.

    Args:
        period: of the network, in output pixels per axis (`phases` of a certificate).

    Returns:
        `period + 1` pixels of output per axis, and 1 where the period is 1.
    """
    return tuple(p + 1 if p > 1 else 1 for p in _period(period))


def sees_every_neighbour(window: Sequence[int], period: Sequence[int]) -> bool:
    """Whether a loss over windows of this size holds every pair of neighbouring phases; if not, objects may be cut.

    Args:
        window: output pixels per axis.
        period: of the network, in output pixels per axis.
    """
    p = _period(period)
    if len(window) != len(p):
        fail("window", f"{len(p)} integers, one per axis", window)
    sizes = [integer(f"window[{k}]", w, least=1) for k, w in enumerate(window)]
    return all(w >= least for w, least in zip(sizes, training_window(p), strict=True))


def _period(period: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(period, Sequence) or isinstance(period, str) or not period:
        fail("period", "one integer per axis", period)
    return tuple(integer(f"period[{k}]", p, least=1) for k, p in enumerate(period))


def _basis(lattice: Sequence[Any], ndim: int) -> list[list[int]]:
    """Rows that span the lattice."""
    wish = f"{ndim} pitches, or a basis of rows of {ndim} integers"
    if not isinstance(lattice, Iterable):
        fail("lattice", wish, lattice)
    rows = list(lattice)
    if not any(isinstance(row, Iterable) for row in rows):
        if len(rows) != ndim:
            fail("lattice", wish, lattice)
        pitch = [integer(f"lattice[{k}]", s, least=1) for k, s in enumerate(rows)]
        return [[int(k == j) * pitch[k] for k in range(ndim)] for j in range(ndim)]
    try:
        found = [[operator.index(v) for v in row] for row in rows]
    except TypeError:
        fail("lattice", wish, lattice)
    if any(len(row) != ndim for row in found):
        fail("lattice", wish, lattice)
    return found


def _determinant(rows: list[list[int]], ndim: int) -> int:
    """Volume of a cell of the full lattice that the rows span, by Hermite's elimination."""
    rows, volume = [list(row) for row in rows], 1
    for k in range(ndim):
        pivot = [0] * ndim
        rest = []
        for row in rows:
            while row[k]:
                turns = pivot[k] // row[k]
                pivot, row = row, [a - turns * b for a, b in zip(pivot, row, strict=True)]
            rest.append(row)
        rows, volume = rest, volume * abs(pivot[k])
    return volume
