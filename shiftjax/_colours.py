"""Embeddings and labels as colours."""

from __future__ import annotations

import numpy as np

from shiftjax._numbering import consecutive

DIM = 0.35  # of the brightness of objects, for the background


def colours(embedding: np.ndarray, objects: np.ndarray, *, least: float = 1e-6) -> np.ndarray:
    """The three main directions of the objects' embeddings as red, green and blue; the background is dimmed.

    Args:
        embedding: `(*space, channel)`.
        objects: a mask `(*space)`.
        least: the smallest range of the embedding that is spread over all colours.

    Returns:
        `(*space, 3)`, from 0 to 1.
    """
    if not objects.any():
        return np.zeros((*objects.shape, 3))
    pixels = embedding[objects].astype(np.float64)
    _, directions = np.linalg.eigh(np.cov(pixels.T).reshape(embedding.shape[-1], -1))
    projected = embedding @ directions[:, ::-1][:, :3]  # the largest eigenvalues come last
    low, high = np.percentile(projected[objects], [2, 98], axis=0)
    span = np.maximum(high - low, max(np.max(high - low), least) / 3)  # a direction of little more than noise stays dim
    scaled = np.clip((projected - (low + high) / 2) / span + 0.5, 0, 1)
    rgb = np.concatenate([scaled, np.zeros((*scaled.shape[:-1], 3 - scaled.shape[-1]))], axis=-1)
    return np.where(objects[..., None], 0.15 + 0.85 * rgb, DIM * rgb)


def label_colours(labels: np.ndarray) -> np.ndarray:
    """A random colour for each instance, black for the background.

    Args:
        labels: integers from 0 on, `(*space)`.

    Returns:
        `(*space, 3)`, from 0 to 1.
    """
    numbers = consecutive(labels)  # huge ones need no huge table
    table = np.random.default_rng(7).uniform(0.25, 1, (int(numbers.max(initial=0)) + 1, 3))
    table[0] = 0
    return table[numbers]
