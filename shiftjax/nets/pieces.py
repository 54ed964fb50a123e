"""Large results filled a few slices at a time, so that nothing on the way to them is ever whole.

Only for XLA's CPU backend and for volumes, where a layer takes more memory than the network's parameters and inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from shiftjax._typing import Array

TURNS, SOME = 32, 8  # most pieces of a result, and fewest slices of a piece if there are several


def filled(
    fn: Callable[..., Array], volumes: Sequence[Array], lost: int, start: int = 0, slices: int | None = None
) -> Array:
    """What `fn`, which takes `lost` slices away, makes of volumes `(batch, *space, channel)`, a few slices at a time.

    Of the result, `slices` slices from `start` on; by default all.
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
