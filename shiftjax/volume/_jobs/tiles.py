"""The tiles of a volume at all its time points: how they are numbered, and what goes over them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice, product
from typing import Protocol, runtime_checkable

import numpy as np

from shiftjax.tiling import StreamAxis, TilePlan, in_strips
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.journal import NOTHING, Receipt
from shiftjax.volume._targets.provenance import Provenance

TileAtTime = tuple[int, ...]  # the image's number (time point, or plane), then the tile's index per spatial axis
CALLS = 4  # of the network in one task: few enough to lose little with a worker, enough to overlap reading and writing
READ_AHEAD = 2  # tiles read while one is worked on: enough to hide the reading, few enough to bound the memory


@runtime_checkable
class Progress(Protocol):
    """Whoever is told how each tile of a pass ends."""

    def finish(self, tile: TileAtTime, receipt: Receipt = NOTHING) -> None:
        """Counts a tile whose result is stored, not earlier: after a kill it is not computed again."""

    def skip(self, tile: TileAtTime) -> None:
        """Counts a tile that is not worth computing."""


@runtime_checkable
class Pass(Protocol):
    """Computes tiles, stores the results, and reports each one."""

    def __call__(self, tiles: Iterable[TileAtTime], progress: Progress) -> None:
        """Goes over tiles."""

    def identity(self) -> Provenance:
        """What decides the results, found anew from what this process has: the same in every process, or an error."""


@dataclass(frozen=True)
class VolumeTiles:
    """The tiles of a volume, the same in any process.

    Attributes:
        plan: of the tiles at one time point.
        source: the volume.
    """

    plan: TilePlan
    source: Source

    @property
    def grid(self) -> tuple[int, ...]:
        """Time points, then tiles per spatial axis."""
        return (self.source.times, *self.plan.grid)

    @property
    def shape(self) -> tuple[int, ...]:
        """Time points, then pixels per spatial axis."""
        return (self.source.times, *self.source.space)

    def __len__(self) -> int:
        return math.prod(self.grid)

    def __iter__(self) -> Iterator[TileAtTime]:
        """Time points one after the other, the tiles of each in raster order."""
        return product(*map(range, self.grid))

    def number(self, tile: TileAtTime) -> int:
        """The position of a tile in that order, from 0."""
        return int(np.ravel_multi_index(tile, self.grid))

    def tile(self, number: int) -> TileAtTime:
        """The inverse of `number`."""
        return tuple(int(index) for index in np.unravel_index(number, self.grid))

    def in_order(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers of tiles in the order in which they are best computed: those of a stream strip by strip."""
        if self.plan.stream is None:
            return numbers
        ordered = in_strips(self.plan, [self.tile(int(number)) for number in numbers])
        return np.array([self.number(tile) for tile in ordered], dtype=numbers.dtype)

    def reads(self, tile: TileAtTime) -> list[TileAtTime]:
        """What is read for a tile: itself, or the steps of a stream from its own to that after which it is complete."""
        if (axis := self.plan.stream) is None:
            return [tile]
        along = self.plan.axes[axis]
        assert isinstance(along, StreamAxis)
        steps = along.steps(tile[axis + 1], tile[axis + 1])
        return [(*tile[: axis + 1], step, *tile[axis + 2 :]) for step in steps]

    def tasks(self, tiles: Iterable[TileAtTime], batch_size: int | None) -> Iterator[tuple[TileAtTime, ...]]:
        """Tiles in the groups that workers are given: those of a few calls of the network, or a strip of a stream."""
        if (axis := self.plan.stream) is not None:
            yield from (
                tuple(strip) for _, strip in groupby(tiles, lambda tile: (*tile[: axis + 1], *tile[axis + 2 :]))
            )
            return
        remaining = iter(tiles)
        while group := tuple(islice(remaining, CALLS * (batch_size or self.plan.batch_size))):
            yield group

    def output_slices(self, tile: TileAtTime) -> tuple[slice, ...]:
        """The image pixels that a tile delivers, per spatial axis, cut at the image's end."""
        return self.plan.output_slices(tile[1:])

    def output_start(self, tile: TileAtTime) -> tuple[int, ...]:
        """The time point of a tile, then the first image pixel that it delivers."""
        return (tile[0], *(part.start for part in self.output_slices(tile)))

    def input_start(self, tile: TileAtTime) -> tuple[int, ...]:
        """Image pixel where the input of a tile begins; negative beyond the border."""
        return self.plan.input_start(tile[1:])

    def locate(self, tile: TileAtTime) -> str:
        """A tile with the pixels that it delivers, for people."""
        pixels = axis_names.describe(self.source.axes, self.output_slices(tile))
        return f"{self.describe(tile)} (pixels {pixels})"

    def describe(self, tile: TileAtTime) -> str:
        """A tile for people."""
        return f"tile {tile[1:]}{self.source.describe(tile[0])}"
