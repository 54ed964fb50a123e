"""One pass over the tiles of an image: what is measured in it, of all positions, each counted once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from shiftjax._ahead import read_ahead
from shiftjax._parameters import put_together, take_apart
from shiftjax.freezing._frozen import Operands
from shiftjax.freezing._summary import Summary, merged, on_host, summarise
from shiftjax.tiling import TileIndex, TilePlan

Bounds = tuple[tuple[slice, ...], ...]  # for each output, pixels per spatial axis


def measure(
    operands: Operands,
    plan: TilePlan,
    places: Sequence[int],
    read: Callable[[TileIndex], np.ndarray],
    finished: Callable[[], None],
) -> list[Summary]:
    """Goes over all tiles.

    Args:
        operands: the function that gives what is measured.
        plan: of a function that gives at least that, for an image that is not padded.
        places: which outputs of that function these are.
        read: gives the input of a tile.
        finished: called after each tile.

    Returns:
        Of each operand, what all of its positions give together.
    """
    kinds = tuple(operands.frozen.cut.measures[k].kind for k in operands.which)
    parts = take_apart(operands)
    program = _Program(parts.leaves, parts.tree, kinds)
    arrays = jax.device_put(parts.arrays)
    together: list[Summary | None] = [None] * len(kinds)
    for bounds, told in _computed(arrays, program, plan, places, read):
        for k, (kind, own, numbers) in enumerate(zip(kinds, bounds, told, strict=True)):
            count = math.prod(part.stop - part.start for part in own)
            together[k] = merged(kind, together[k], on_host(count, numbers))
        finished()
    return [summary for summary in together if summary is not None]


def _computed(
    arrays: Any,
    program: _Program,
    plan: TilePlan,
    places: Sequence[int],
    read: Callable[[TileIndex], np.ndarray],
) -> Iterator[tuple[Bounds, Any]]:
    """What each tile tells; one tile is computed while the next one is read."""
    running = deque[tuple[Bounds, Any]]()
    for tile, pixels in read_ahead(read, plan.tiles(), ahead=1):
        bounds = own_positions(plan, tile)
        bounds = tuple(bounds[k] for k in places)
        starts, stops = (
            np.array([[getattr(p, end) for p in own] for own in bounds], np.int32) for end in ("start", "stop")
        )
        running.append((bounds, _told(arrays, jax.device_put(pixels), starts, stops, program)))
        if len(running) > 1:
            jax.block_until_ready(running[0][1])
            yield running.popleft()
    yield from running


def own_positions(plan: TilePlan, tile: TileIndex) -> Bounds:
    """For each output, the pixels of a tile's output that no other tile counts: together they are all there are."""
    kept, inside = plan.crop_starts(tile), plan.inside(tile)
    return tuple(
        tuple(slice(start + part.start, start + part.stop) for start, part in zip(starts, parts[1:], strict=True))
        for starts, parts in zip(kept, inside, strict=True)
    )


class _Program:
    """What of the operands is no parameter, for JAX to compile once for all passes that have it in common."""

    def __init__(self, leaves: Sequence[Any], tree: Any, kinds: tuple[str, ...]) -> None:
        self.leaves, self.tree, self.kinds = tuple(leaves), tree, kinds

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Program) or (self.kinds, self.tree) != (other.kinds, other.tree):
            return False
        return all(one is another for one, another in zip(self.leaves, other.leaves, strict=True))

    def __hash__(self) -> int:
        return hash(self.kinds)


@partial(jax.jit, static_argnames=("program",))
def _told(arrays: Any, pixels: Any, starts: Any, stops: Any, program: _Program) -> list[tuple[Any, ...]]:
    operands = put_together(arrays, program.leaves, program.tree)(pixels)
    return [
        summarise(operand, start, stop, kind)
        for operand, start, stop, kind in zip(operands, starts, stops, program.kinds, strict=True)
    ]
