"""Copies of one pixel on a lattice: images that hold them, how many embeddings they get, how many phases they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import Any

import numpy as np
from hypothesis import strategies as st

from proofs_tests.support.networks import Run, Subject, image, subjects
from shiftjax.testing import strategies
from shiftjax.testing.strategies import input_for

Basis = Sequence[Sequence[int]]  # rows span the lattice
CASES = 4  # lattices per network: one image each, in one batch
EXTENT = {1: 150, 2: 26, 3: 9}  # output pixels per axis


def diagonal(pitch: Sequence[int]) -> Basis:
    """The lattice with a pitch per axis."""
    return [[s if j == k else 0 for j in range(len(pitch))] for k, s in enumerate(pitch)]


def bases(ndim: int, *, largest: int = 6) -> st.SearchStrategy[Basis]:
    """Lattices along the axes, and others."""
    return strategies.pitches(ndim, largest).map(diagonal) | strategies.lattices(ndim, largest=largest)


def classes(space: Sequence[int], basis: Basis) -> np.ndarray:
    """For every pixel a number `(*space)`, equal for two pixels where a vector of the lattice joins them."""
    pixels = np.stack(np.meshgrid(*map(np.arange, space), indexing="ij"), axis=-1).reshape(-1, len(space))
    for axis, row in _echelon(basis):
        pixels = pixels - (pixels[:, axis] // row[axis])[:, None] * row
    return np.unique(pixels, axis=0, return_inverse=True)[1].reshape(space)


def _echelon(basis: Basis) -> list[tuple[int, np.ndarray]]:
    """Rows spanning the same lattice, each with the axis of its first nonzero entry, all in different axes.

    Euclid's algorithm on each column: the row with the least entry is subtracted from the others until it is alone.
    """
    rows, pivots = [np.array(row) for row in basis], []
    for axis in range(len(basis[0])):
        while len(nonzero := [k for k, row in enumerate(rows) if row[axis]]) > 1:
            least = min(nonzero, key=lambda k: abs(rows[k][axis]))
            rows = [
                row if k == least else row - row[axis] // rows[least][axis] * rows[least] for k, row in enumerate(rows)
            ]
        if nonzero:
            pivots.append((axis, rows.pop(nonzero[0])))
    return pivots


def texture(rng: np.random.Generator, space: Sequence[int], basis: Basis, channels: int) -> np.ndarray:
    """A random image `(1, *space, channels)` that every vector of the lattice maps to itself."""
    repeats = classes(space, basis)
    return image(rng, (repeats.max() + 1, channels))[repeats][None]


def phases(space: Sequence[int], period: Sequence[int]) -> np.ndarray:
    """The phase of every output pixel, as one number."""
    pixels = np.meshgrid(*map(np.arange, space), indexing="ij")
    return np.ravel_multi_index([u % p for u, p in zip(pixels, period, strict=True)], tuple(period))


def embeddings(output: np.ndarray) -> np.ndarray:
    """`(*space, channel)` as one number per different embedding."""
    return np.unique(output.reshape(-1, output.shape[-1]), axis=0, return_inverse=True)[1].reshape(output.shape[:-1])


def counts(output: np.ndarray, basis: Basis, period: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Per class of output pixels `(*space, channel)`: how many embeddings its copies get, and phases they show."""
    space = output.shape[:-1]
    repeats = classes(space, basis)
    return _per_class(repeats, embeddings(output)), _per_class(repeats, phases(space, period))


def _per_class(repeats: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many different values the pixels of each class have."""
    pairs = np.unique(np.stack([repeats.reshape(-1), values.reshape(-1)]), axis=1)
    return np.bincount(pairs[0])


@dataclass(frozen=True)
class Repeated:
    """A network and lattices; each gives one image that repeats along it."""

    subject: Subject
    lattices: tuple[Basis, ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """Output pixels per axis, at least."""
        return tuple(max(EXTENT[self.subject.net.ndim], p) for p in self.subject.net.period)

    def count(self, run: Run) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per lattice and class of pixels: the number of embeddings and the number of phases shown."""
        subject, rng = self.subject, self.subject.rng
        size = input_for(subject.net, self.extent)
        images = [texture(rng, size, basis, subject.channels) for basis in self.lattices]
        images += images[-1:] * (CASES - len(images))
        outputs = run(np.concatenate(images))
        return [counts(y, basis, subject.net.period) for y, basis in zip(outputs, self.lattices, strict=False)]

    def shows_all(self, basis: Basis) -> bool:
        """Whether the output holds every class of the lattice modulo the period."""
        period = self.subject.net.period
        steps = [lcm(*(p // gcd(p, s) for p, s in zip(period, row, strict=True))) - 1 for row in basis]
        return bool((steps @ np.abs(np.array(basis)) < self.extent).all())


@st.composite
def repeated(draw: st.DrawFn, *, largest: int = 6, **options: Any) -> Repeated:
    """A small network, and lattices that come round within its output."""
    options = {"pixels": {1: 260, 2: 44, 3: 16}, "largest_period": 8, **options}
    subject = draw(subjects(**options))
    lattices = st.lists(bases(subject.net.ndim, largest=largest), min_size=CASES, max_size=CASES)
    return Repeated(subject, tuple(draw(lattices)))
