"""The arithmetic of the theory: capacities, lattices, tiles and training windows. Exact, in Python integers.

Source: Rumberger et al., "How Shift Equivariance Impacts Metric Learning for Instance Segmentation", ICCV 2021
(arXiv 2101.05846); the general lattices are an extension.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from math import gcd, prod
from typing import Any

import numpy as np

from shiftjax._checks import fail, integer, per_axis, shown


def capacity(period: Sequence[int]) -> int:
    """Upper bound on the number of embeddings of objects that look the same over their receptive fields.

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
    # L + P Z^d is spanned by both bases together, and [L : L ∩ P Z^d] = [L + P Z^d : P Z^d], a quotient of volumes.
    return prod(p) // _cell_volume([*_basis(lattice, len(p)), *_diagonal(p)], len(p))


def nearest_capacity(factors: Sequence[int], pitch: int) -> int:
    """Upper bound on one axis for max pooling with nearest-neighbour upsampling, where a regular pitch is seen.

    Args:
        factors: pooling factors, finest level first.
        pitch: distance of the copies, in input pixels.

    Returns:
        The number of embeddings. From the first level on at which the copies repeat within one pooling window, all
        deeper levels are constant and tell none apart.

    Raises:
        ValueError: a factor or a pitch that is no positive integer.
    """
    s, below = integer("pitch", pitch, least=1), 1
    if not isinstance(factors, Sequence) or isinstance(factors, str | bytes):
        fail("factors", "one integer per level", shown(factors))
    for k, factor in enumerate(factors):
        f = integer(f"factors[{k}]", factor, least=1)
        if s // gcd(s, below) <= f:
            break
        below *= f
    return below // gcd(below, s)


def legal_tile(stride: Sequence[int], period: Sequence[int]) -> bool:
    """Whether tiles lie at one phase, however many there are: then they stitch to the output of the whole image.

    Args:
        stride: pixels from one tile to the next, per axis.
        period: of the network, in the same pixels per axis.

    Returns:
        Whether the stride is a whole number of periods along every axis.

    Raises:
        ValueError: sizes that are no positive integers, or not one per axis.
    """
    p = _period(period)
    return all(t % q == 0 for t, q in zip(per_axis("stride", stride, len(p)), p, strict=True))


def share_one_phase(stride: Sequence[int], period: Sequence[int], grid: Sequence[int]) -> bool:
    """Whether the tiles of a grid lie at one phase; along an axis with a single tile, any stride will do.

    Args:
        stride: pixels from one tile to the next, per axis.
        period: of the network, in the same pixels per axis.
        grid: number of tiles per axis.

    Returns:
        Whether every axis with several tiles has a stride of whole periods.

    Raises:
        ValueError: sizes that are no positive integers, or not one per axis.
    """
    p = _period(period)
    steps, counts = per_axis("stride", stride, len(p)), per_axis("grid", grid, len(p))
    return all(n == 1 or legal_tile((t,), (q,)) for t, q, n in zip(steps, p, counts, strict=True))


def training_window(period: Sequence[int]) -> tuple[int, ...]:
    """The smallest training window that sees every pair of neighbouring phases side by side.

    Args:
        period: of the network, in output pixels per axis (`phases` of a certificate).

    Returns:
        `period + 1` pixels of output per axis, and 1 where the period is 1.
    """
    return tuple(p + 1 if p > 1 else 1 for p in _period(period))


def sees_every_neighbour(window: Sequence[int], period: Sequence[int]) -> bool:
    """Whether a loss over windows of this size sees every pair of neighbouring phases; if not, objects may be cut.

    Args:
        window: output pixels per axis.
        period: of the network, in output pixels per axis (`phases` of a certificate).

    Returns:
        Whether the window is at least `training_window(period)`.

    Raises:
        ValueError: sizes that are no positive integers, or not one per axis.
    """
    least = training_window(period)
    return all(w >= n for w, n in zip(per_axis("window", window, len(least)), least, strict=True))


def _period(period: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(period, Sequence) or isinstance(period, str | bytes) or not period:
        fail("period", "one integer per axis", shown(period))
    return tuple(integer(f"period[{k}]", p, least=1) for k, p in enumerate(period))


def _basis(lattice: Sequence[Any], ndim: int) -> list[list[int]]:
    """Rows that span the lattice."""
    expected = f"{ndim} pitches, or a basis of rows of {ndim} integers"
    listed = isinstance(lattice, Sequence | np.ndarray) and not isinstance(lattice, str | bytes)
    rows = list(lattice) if listed and getattr(lattice, "shape", (0,)) != () else []
    if len(rows) == ndim and not any(isinstance(row, Iterable) for row in rows):
        return _diagonal([integer(f"lattice[{k}]", s, least=1) for k, s in enumerate(rows)])
    try:
        basis = [[operator.index(v) for v in row] for row in rows]
    except TypeError:
        fail("lattice", expected, shown(lattice))
    if not basis or any(len(row) != ndim for row in basis):
        fail("lattice", expected, shown(lattice))
    return basis


def _diagonal(values: Sequence[int]) -> list[list[int]]:
    return [[value * (j == k) for j in range(len(values))] for k, value in enumerate(values)]


def _cell_volume(rows: list[list[int]], ndim: int) -> int:
    """Volume of a cell of the full lattice that the rows span, by Hermite's elimination.

    Axis by axis, Euclid's algorithm on two rows at a time leaves one row (the pivot) with an entry there, the greatest
    common divisor of all; the other rows go on without that axis. The volume is the product of the pivots' entries.
    """
    volume = 1
    for k in range(ndim):
        pivot = [0] * ndim
        others = []
        for row in rows:
            while row[k]:
                quotient = pivot[k] // row[k]
                pivot, row = row, [a - quotient * b for a, b in zip(pivot, row, strict=True)]
            others.append(row)
        rows, volume = others, volume * abs(pivot[k])
    return volume
