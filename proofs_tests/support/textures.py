"""Images that repeat along a lattice, and how many embeddings the copies of a pixel get."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proofs_tests.support.exact import image

Basis = Sequence[Sequence[int]]


def diagonal(pitch: Sequence[int]) -> Basis:
    """The lattice with a pitch per axis."""
    return [[s if j == k else 0 for j in range(len(pitch))] for k, s in enumerate(pitch)]


def classes(space: Sequence[int], basis: Basis) -> np.ndarray:
    """For every pixel a number `(*space)`, equal for two pixels where a vector of the lattice joins them."""
    places = np.stack(np.meshgrid(*map(np.arange, space), indexing="ij"), axis=-1).reshape(-1, len(space))
    for axis, row in _echelon(basis):
        places = places - (places[:, axis] // row[axis])[:, None] * row
    return np.unique(places, axis=0, return_inverse=True)[1].reshape(space)


def _echelon(basis: Basis) -> list[tuple[int, np.ndarray]]:
    """Rows spanning the same lattice, each with the axis of its first nonzero entry, all in different axes."""
    rows, found = [np.array(row) for row in basis], []
    for axis in range(len(basis[0])):
        while len(some := [k for k, row in enumerate(rows) if row[axis]]) > 1:
            least = min(some, key=lambda k: abs(rows[k][axis]))
            rows = [
                row if k == least else row - row[axis] // rows[least][axis] * rows[least] for k, row in enumerate(rows)
            ]
        if some:
            found.append((axis, rows.pop(some[0])))
    return found


def texture(rng: np.random.Generator, space: Sequence[int], basis: Basis, channels: int) -> np.ndarray:
    """A random image `(1, *space, channels)` that every vector of the lattice maps to itself."""
    repeats = classes(space, basis)
    return image(rng, (repeats.max() + 1, channels))[repeats][None]


def phases(space: Sequence[int], period: Sequence[int]) -> np.ndarray:
    """The phase of every output pixel, as one number."""
    places = np.meshgrid(*map(np.arange, space), indexing="ij")
    return np.ravel_multi_index([u % p for u, p in zip(places, period, strict=True)], tuple(period))


def embeddings(output: np.ndarray) -> np.ndarray:
    """`(*space, channel)` as one number per different embedding."""
    return np.unique(output.reshape(-1, output.shape[-1]), axis=0, return_inverse=True)[1].reshape(output.shape[:-1])


def per_class(repeats: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many different values the pixels of each class have."""
    pairs = np.unique(np.stack([repeats.reshape(-1), values.reshape(-1)]), axis=1)
    return np.bincount(pairs[0])


def counts(output: np.ndarray, basis: Basis, period: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Per class of output pixels `(*space, channel)`: how many embeddings its copies get, and phases they show."""
    repeats = classes(output.shape[:-1], basis)
    return per_class(repeats, embeddings(output)), per_class(repeats, phases(output.shape[:-1], period))
