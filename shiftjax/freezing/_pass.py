"""One pass over the tiles of an image: what is measured in it, of all positions, each counted once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from shiftjax._ahead import read_ahead
from shiftjax._parameters import put_together, take_apart
from shiftjax.freezing._frozen import Operands
from shiftjax.freezing._picture import Picture
from shiftjax.freezing._summary import Summary, merged, on_host, summarise
from shiftjax.tiling import TileIndex, TilePlan

Told = list[tuple[int, tuple[np.ndarray, ...]]]  # for each output, positions and what a tile tells of them
Bounds = tuple[tuple[slice, ...], ...]  # for each output, pixels per spatial axis


@dataclass(frozen=True, eq=False)
class Work:
    """What is done in a pass, here or on a worker.

    Attributes:
        operands: the function that gives what is measured.
        plan: of a function that gives at least that, for an image that is not padded.
        places: which outputs of that function these are.
        image: that is measured.
    """

    operands: Operands
    plan: TilePlan
    places: tuple[int, ...]
    image: Picture

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of what is measured: "sum", "max" or "min"."""
        measures = self.operands.frozen.cut.measures
        return tuple(measures[k].kind for k in self.operands.which)

    def told(self, tiles: Iterable[TileIndex]) -> Iterator[Told]:
        """What tiles tell, in order; one is computed while the next one is read."""
        parts = take_apart(self.operands)
        program, arrays = _Program(parts.leaves, parts.tree, self.kinds), jax.device_put(parts.arrays)
        running = deque[tuple[Bounds, Any]]()
        for tile, pixels in read_ahead(partial(self.image.tile, self.plan), tiles, ahead=1):
            bounds = own_positions(self.plan, tile)
            bounds = tuple(bounds[k] for k in self.places)
            starts, stops = (
                np.array([[getattr(p, end) for p in own] for own in bounds], np.int32) for end in ("start", "stop")
            )
            running.append((bounds, _told(arrays, jax.device_put(pixels), starts, stops, program)))
            if len(running) > 1:
                jax.block_until_ready(running[0][1])
                yield _counted(*running.popleft())
        for bounds, numbers in running:
            yield _counted(bounds, numbers)


def measure(
    work: Work, tell: Callable[[Iterable[TileIndex]], Iterator[Told]], finished: Callable[[], Any]
) -> list[Any]:
    """Goes over all tiles.

    Args:
        work: of this pass.
        tell: gives what tiles tell, in order: `work.told`, or workers that do it.
        finished: called after each tile.

    Returns:
        Of each operand, what all of its positions give together.
    """
    together: list[Summary | None] = [None] * len(work.kinds)
    for told in tell(work.plan.tiles()):
        for k, (kind, (count, numbers)) in enumerate(zip(work.kinds, told, strict=True)):
            together[k] = merged(kind, together[k], on_host(count, numbers))
        finished()
    return [summary for summary in together if summary is not None]


def _counted(bounds: Bounds, told: Sequence[Sequence[Any]]) -> Told:
    """What a device told, on the host, with how many positions it is of."""
    counts = [math.prod(part.stop - part.start for part in own) for own in bounds]
    return [(n, tuple(map(np.asarray, numbers))) for n, numbers in zip(counts, told, strict=True)]


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
