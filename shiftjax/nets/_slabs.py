"""Large results filled a few slices at a time, so that nothing on the way to them is ever whole.

Only for XLA's CPU backend and for volumes: see `in_pieces`, which is asked everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from shiftjax._typing import Array

TURNS, SOME = 32, 8  # most pieces of a result, and fewest slices of a piece if there are several


def in_pieces(x: Array) -> bool:
    """Whether results the size of `x`, `(batch, *space, channel)`, are filled piece by piece."""
    return jax.default_backend() == "cpu" and x.ndim == 5


def filled(
    fn: Callable[..., Array], volumes: Sequence[Array], lost: int, start: int = 0, slices: int | None = None
) -> Array:
    """What a function makes of volumes, a few slices at a time.

    Args:
        fn: of as many arrays as there are volumes; its result has `lost` slices less than they.
        volumes: `(batch, *space, channel)`, of one size; slices run along their first spatial axis.
        lost: slices.
        start: the first slice of the result that is wanted.
        slices: how many are wanted; by default all from the first on, with `start` 0.
    """
    if slices is None:
        slices = volumes[0].shape[1] - lost
    if slices == 1:  # nobody could tell a single slice from a batch of one image
        more = [lax.pad(x, x.dtype.type(0), [(0, k == 1, 0) for k in range(x.ndim)]) for x in volumes]
        return filled(fn, more, lost, start, 2)[:, :1]
    some = -(-slices // min(TURNS, max(1, slices // SOME)))

    def piece(at: Array | int) -> Array:
        size = some + lost
        return fn(
            *(lax.dynamic_slice_in_dim(x, at + start, size, axis=1, allow_negative_indices=False) for x in volumes)
        )

    def fill(turn: Array, y: Array) -> Array:
        at = lax.min(turn * some, slices - some)
        place = [at if k == 1 else jnp.zeros_like(at) for k in range(y.ndim)]
        return lax.dynamic_update_slice(y, piece(at), place, allow_negative_indices=False)

    # Starting from zeros, XLA would lay out the results of all layers at once.
    first = piece(0)
    rest = [(0, slices - some if k == 1 else 0, 0) for k in range(first.ndim)]
    return lax.fori_loop(1, -(-slices // some), fill, lax.pad(first, first.dtype.type(0), rest))
