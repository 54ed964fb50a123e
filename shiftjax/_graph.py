"""What is asked of graphs that are given by their edges; SciPy, loaded when first used, answers."""

from __future__ import annotations

from typing import Any

import numpy as np


def components(rows: np.ndarray, columns: np.ndarray, count: int) -> tuple[int, np.ndarray]:
    """The number of connected components of a graph of `count` nodes, and per node `(node,)` its component from 0."""
    from scipy.sparse.csgraph import connected_components

    return connected_components(_adjacency(rows, columns, (count, count)), directed=False)


def matching_size(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> int:
    """Edges of a maximum matching of the bipartite graph of `shape` (row nodes, column nodes)."""
    from scipy.sparse.csgraph import maximum_bipartite_matching

    partner = maximum_bipartite_matching(_adjacency(rows, columns, shape), perm_type="column")
    return int((partner >= 0).sum())


def _adjacency(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=shape)
