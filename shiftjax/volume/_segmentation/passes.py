"""The three passes over a volume: draw a sample, find the pieces of every tile, write their final numbers.

Each is called with the tiles that are left and is told where to report the finished ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftjax._checks import fail, finite
from shiftjax.volume._jobs.job import Item, Work
from shiftjax.volume._jobs.workers import ONE_AT_A_TIME, Group, Report
from shiftjax.volume._jobs.writer import Writer
from shiftjax.volume._segmentation.codebook import Sample, draw, join, nearest_codes
from shiftjax.volume._segmentation.embedding import Embedding, ahead
from shiftjax.volume._segmentation.foreground import Inside
from shiftjax.volume._segmentation.fragments import Table, find_pieces, from_arrays, to_arrays
from shiftjax.volume._segmentation.merge import Merged
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.intermediates import Scratch
from shiftjax.volume._storage.target import Target

Channels = slice | Sequence[int]
Finished = Callable[[Item], object]
Pass = Callable[[Iterable[Item], Finished], None]


@dataclass(frozen=True)
class Pixels:
    """The embedding of a volume and which of its pixels count.

    Attributes:
        embedding: its tiles.
        inside: the test for foreground.
        channels: those that are the embedding; the test sees all.
    """

    embedding: Embedding
    inside: Inside
    channels: Channels

    def tiles(self, items: Iterable[Item]) -> Iterator[tuple[Item, np.ndarray, np.ndarray]]:
        """Items with the embedding `(*space, channel)` and the foreground `(*space)`."""
        with closing(self.embedding.tiles(items)) as tiles:  # type: ignore[type-var]
            for item, tile in tiles:
                yield item, tile[0][..., self.channels], self.inside(item, tile)

    def width(self) -> int:
        """Channels of the embedding."""
        return np.zeros(self.embedding.channels)[self.channels].size

    def start(self, item: Item) -> tuple[int, ...]:
        """Time point and first pixel of a tile."""
        return (item[0], *(at.start for at in self.embedding.work.plan.output_slices(item[1:])))

    def shape(self) -> tuple[int, ...]:
        """Of the volume, `(time, *space)`."""
        return (self.embedding.work.source.times, *self.embedding.work.source.space)


class Sampler:
    """First pass: keeps, for every tile, which of its pixels may be in the sample of the volume.

    A process remembers the sample of the tiles that it has seen, because pixels beyond it cannot be in the whole one.
    """

    def __init__(self, pixels: Pixels, scratch: Scratch, seed: int, most: int) -> None:
        self._pixels, self._scratch, self._seed, self._most = pixels, scratch, seed, most
        self._seen = self._nothing()

    def __call__(self, items: Iterable[Item], finished: Finished) -> None:
        for item, tile, inside in self._pixels.tiles(items):
            full = len(self._seen.rank) == self._most
            below = int(self._seen.rank[-1]) if full else None
            start = self._pixels.start(item)
            part = draw(tile[None], inside[None], seed=self._seed, start=start, most=self._most, below=below)
            finite("embedding", part.embedding)
            self._scratch.put(_name("sample", item), part._asdict())
            self._seen = join([self._seen, part], most=self._most)
            finished(item)

    def sample(self, items: Iterable[Item]) -> Sample:
        """Of all tiles together, once every one has been seen by some process."""
        whole = self._nothing()
        for _, part in ahead(lambda item: Sample(**self._scratch.get(_name("sample", item))), items):
            whole = join([whole, part], most=self._most)
        return whole

    def _nothing(self) -> Sample:
        return Sample(np.zeros(0, np.uint64), np.zeros((0, self._pixels.width()), np.float32))


@dataclass(frozen=True)
class PieceFinder:
    """Second pass: stores the map and the table of the pieces of every tile. It can be sent to another process."""

    pixels: Pixels
    codes: np.ndarray
    bandwidth: float
    scratch: Scratch

    def __call__(self, items: Iterable[Item], finished: Finished) -> None:
        work = self.pixels.embedding.work
        room = int(np.prod(work.plan.tile_output))
        for item, tile, inside in self.pixels.tiles(items):
            codes = np.full(inside.shape, -1, np.int32)
            codes[inside] = nearest_codes(tile[inside], self.codes, bandwidth=self.bandwidth, room=room)
            if len(self.codes) and (codes[inside] < 0).any():
                fail("embedding", "finite values", f"NaN or infinity in {work.describe(item)}")
            label, table = find_pieces(codes, start=self.pixels.start(item), shape=self.pixels.shape())
            self.scratch.put(_name("pieces", item), {"label": label})
            self.scratch.put(_name("table", item), to_arrays(table))
            finished(item)


def tables(items: Iterable[Item], scratch: Scratch) -> Iterator[tuple[Item, Table]]:
    """The tables of the tiles, one after the other."""
    return ahead(lambda item: from_arrays(scratch.get(_name("table", item))), items)


@dataclass(frozen=True)
class Labeller:
    """Third pass: writes the pieces of every tile by their final numbers."""

    work: Work
    scratch: Scratch
    merged: Merged
    target: Target

    def __call__(self, items: Iterable[Item], finished: Finished) -> None:
        with Writer(self.work, self.target, finished) as writer:
            for item, label in ahead(lambda item: self.scratch.get(_name("pieces", item))["label"], items):
                writer.put(item, {"": self.merged.of_tile(item)[label][None, ..., None]})


def run_pass(compute: Pass, group: Group, uri: str, storage_options: dict[str, Any] | None) -> Report:
    """What a worker of a cluster does with a group of tiles: the tiles finished, and what failed."""
    stored: list[Item] = []
    with ONE_AT_A_TIME:
        try:
            compute(group, stored.append)
        except VolumeError as error:
            return stored, [], str(error)
    return stored, [], ""


def _name(kind: str, item: Item) -> str:
    return "-".join([kind, *map(str, item)])
