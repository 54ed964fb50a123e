"""The arithmetic of lattices and windows, against counting."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftjax import theory


@st.composite
def lattices(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    d = draw(st.integers(1, 3))
    period = draw(st.lists(st.integers(1, 6), min_size=d, max_size=d))
    row = st.lists(st.integers(-20, 20), min_size=d, max_size=d)
    return period, draw(st.lists(row, min_size=1, max_size=d + 1))


def counted(period: list[int], basis: list[list[int]]) -> int:
    """The residues of the lattice modulo the period, one by one."""
    seen, todo = {(0,) * len(period)}, [(0,) * len(period)]
    while todo:
        here = todo.pop()
        for row in basis:
            there = tuple((a + b) % p for a, b, p in zip(here, row, period, strict=True))
            if there not in seen:
                seen.add(there)
                todo.append(there)
    return len(seen)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(lattices())
def test_lattice_capacity_counts_residues(drawn: tuple[list[int], list[list[int]]]) -> None:
    """[L : L ∩ P Z^d] for any integer basis of any rank."""
    period, basis = drawn
    assert theory.lattice_capacity(period, basis) == counted(period, basis)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(1, 16), st.integers(1, 40)), min_size=1, max_size=3))
def test_a_pitch_per_axis_is_a_diagonal_lattice(drawn: list[tuple[int, int]]) -> None:
    """Control included: a lattice of whole periods has capacity 1, one with all shifts the full capacity."""
    period, pitch = ([d[k] for d in drawn] for k in (0, 1))
    diagonal = [[s * (j == k) for k in range(len(pitch))] for j, s in enumerate(pitch)]
    assert theory.lattice_capacity(period, pitch) == counted(period, diagonal)
    assert theory.lattice_capacity(period, period) == 1
    assert theory.lattice_capacity(period, [p + 1 for p in period]) == theory.capacity(period) == prod(period)


def test_the_papers_pitches() -> None:
    """f^l = 8 in two dimensions: pitch 8 collapses, pitch 7 separates."""
    assert [theory.lattice_capacity((8, 8), (s, s)) for s in (16, 15, 14, 13, 12)] == [1, 64, 16, 64, 4]


@pytest.mark.parametrize("factors", [(2, 2), (2, 2, 2), (3, 2), (2, 3, 2)])
def test_nearest_capacity_counts_outputs(factors: tuple[int, ...]) -> None:
    """Filters, max pooling and nearest upsampling of a texture that recurs, level by level, in integers."""
    period, rng = prod(factors), np.random.default_rng(0)
    for pitch in range(1, 3 * period):
        value = np.tile(rng.integers(0, 2**20, (32, pitch)), 2 * period)
        seen, below = [], 1
        for factor in factors:
            one, two = rng.integers(-9, 9, (2, 32, 32))
            value = one @ value + two @ np.roll(value, 1, axis=1)
            seen.append(np.repeat(value, below, axis=1))
            value, below = value.reshape(32, -1, factor).max(2), below * factor
        seen.append(np.repeat(value, below, axis=1))
        codes = {tuple(s[:, i].tobytes() for s in seen) for i in range(0, 2 * period * pitch, pitch)}
        assert len(codes) == theory.nearest_capacity(factors, pitch), (factors, pitch)


def test_the_training_window_holds_every_pair_of_phases() -> None:
    """By enumeration: the smallest window in which phase p - 1 meets phase 0 at any place."""
    for p in range(1, 9):
        pairs = {(r, (r + 1) % p) for r in range(p)} if p > 1 else set()

        def seen(window: int, p: int = p) -> set[tuple[int, int]]:
            return {(i % p, (i + 1) % p) for i in range(window - 1)}

        least = next(w for w in range(1, 20) if pairs <= seen(w))
        assert theory.training_window((p,)) == (least,)
        assert theory.sees_every_neighbour((least,), (p,))
        assert least == 1 or not theory.sees_every_neighbour((least - 1,), (p,))


def test_bad_input_is_refused() -> None:
    """One sentence each."""
    for period, lattice in product([(8, 8)], [(8,), [[1, 2, 3]], (0, 1), [[1.5, 2]], []]):
        with pytest.raises(ValueError, match="lattice"):
            theory.lattice_capacity(period, lattice)
    with pytest.raises(ValueError, match="period"):
        theory.capacity((0, 2))
    with pytest.raises(ValueError, match="window"):
        theory.sees_every_neighbour((3,), (2, 2))
