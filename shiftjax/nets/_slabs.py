"""Volumes computed a slab of slices at a time, so that nothing on the way to the result is ever held whole.

Only for XLA's CPU backend, which shares its memory with the host, and for volumes, whose layers in between are large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax

from shiftjax._arithmetic import ceil_div
from shiftjax._typing import Array
from shiftjax._xla_cpu import MAX_SLABS, MIN_SLAB


def is_volume(x: Array) -> bool:
    """Whether a CPU computes results the size of `x`, `(batch, *space, channel)`, slab by slab."""
    return x.ndim == 5


def slab_by_slab(
    fn: Callable[..., Array], volumes: Sequence[Array], lost: int, start: int = 0, slices: int | None = None
) -> Array:
    """`fn(*volumes)`, or some slices of it, computed slab by slab.

    Sound for every `fn` that commutes with moving the volumes by whole slices: slab by slab it is given the slices that
    it reads, and what it gives is put where they lie. The result does not depend on how many slabs there are.

    Args:
        fn: of as many arrays as there are volumes; slice i of its result reads slices i to `i + lost` of theirs.
        volumes: `(batch, *space, channel)`, of one size; slices run along their first spatial axis.
        lost: slices by which the result is shorter than the volumes.
        start: the first slice to compute.
        slices: how many slices to compute; by default all, with `start` 0.
    """
    if slices is None:
        slices = volumes[0].shape[1] - lost
    if slices == 1:
        # `fn` folds slices into the batch: with one slice of one image, the certifier could not tell from the program
        # which of the two axes is gone. So two slices are computed.
        longer = [lax.pad(x, x.dtype.type(0), [(0, axis == 1, 0) for axis in range(x.ndim)]) for x in volumes]
        return slab_by_slab(fn, longer, lost, start, 2)[:, :1]
    slab = ceil_div(slices, min(MAX_SLABS, max(1, slices // MIN_SLAB)))

    def compute(at: Array | int) -> Array:
        return fn(
            *(lax.dynamic_slice_in_dim(x, at + start, slab + lost, 1, allow_negative_indices=False) for x in volumes)
        )

    def fill(turn: Array, result: Array) -> Array:
        at = lax.min(turn * slab, slices - slab)  # the last slab ends where the result does, over the one before
        index = [at if axis == 1 else jnp.zeros_like(at) for axis in range(result.ndim)]
        return lax.dynamic_update_slice(result, compute(at), index, allow_negative_indices=False)

    # The loop starts from the first slab, padded. From zeros, which wait for nothing, XLA would allocate the results of
    # all layers of a network at once.
    first = compute(0)
    room = [(0, slices - slab if axis == 1 else 0, 0) for axis in range(first.ndim)]
    return lax.fori_loop(1, ceil_div(slices, slab), fill, lax.pad(first, first.dtype.type(0), room))
