"""The three passes over a volume: draw a sample, find the fragments of every tile, write their final numbers.

Each is called with the tiles that are left, and reports each tile once its result is stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shiftjax._ahead import read_ahead
from shiftjax._checks import fail, finite
from shiftjax.clustering import HELD, is_moved, nearest_codes
from shiftjax.volume._jobs.tiles import READ_AHEAD, Pass, Progress, TileAtTime, VolumeTiles
from shiftjax.volume._jobs.writer import Writer
from shiftjax.volume._segmentation.codebook import Sample, draw, join_samples
from shiftjax.volume._segmentation.foreground import MaskedEmbedding
from shiftjax.volume._segmentation.fragments import FragmentTable, find_fragments, from_arrays, to_arrays
from shiftjax.volume._segmentation.objects import VolumeObjects
from shiftjax.volume._storage.intermediates import Intermediates, LostError
from shiftjax.volume._storage.journal import NOTHING, Journal, Receipt
from shiftjax.volume._targets.provenance import Provenance
from shiftjax.volume._targets.target import Target


class SamplePass:
    """First pass: keeps, for every tile, which of its pixels may be in the sample of the volume.

    A process remembers the sample of the tiles that it has seen, because pixels beyond it cannot be in the whole one.
    """

    def __init__(self, masked: MaskedEmbedding, intermediates: Intermediates, seed: int, most: int) -> None:
        self._masked, self._intermediates = masked, intermediates
        self._seed, self._most = seed, most
        self._so_far = self._no_pixels()

    def __call__(self, tiles: Iterable[TileAtTime], progress: Progress) -> None:
        for tile, embedding, inside, receipt in self._masked.read(tiles):
            full = len(self._so_far.rank) == self._most  # then no later pixel of a higher rank can be drawn
            sample = draw(
                embedding[None],
                inside[None],
                seed=self._seed,
                start=self._masked.embedding.volume.output_start(tile),
                most=self._most,
                below=int(self._so_far.rank[-1]) if full else None,
            )
            finite("embedding", sample.embedding)
            self._intermediates.put(_name("sample", tile), sample._asdict())
            self._so_far = join_samples([self._so_far, sample], most=self._most)
            progress.finish(tile, receipt)

    def identity(self) -> Provenance:
        """What decides the sample."""
        return self._masked.provenance()

    def sample(self) -> Sample:
        """Of all tiles together, once every one has been seen by some process."""
        whole = self._no_pixels()
        self._so_far = whole  # a tile that was lost needs all of its own pixels
        for _, arrays in stored("sample", self._masked.embedding.volume, self._intermediates, self):
            whole = join_samples([whole, Sample(**arrays)], most=self._most)
        return whole

    def _no_pixels(self) -> Sample:
        return Sample(np.zeros(0, np.uint64), np.zeros((0, self._masked.width), np.float32))


@dataclass(frozen=True)
class FragmentPass:
    """Second pass: stores the labels and the table of the fragments of every tile."""

    masked: MaskedEmbedding
    codes: np.ndarray
    bandwidth: float
    intermediates: Intermediates

    def __call__(self, tiles: Iterable[TileAtTime], progress: Progress) -> None:
        volume = self.masked.embedding.volume
        room = math.prod(volume.plan.tile_output)
        for tile, embedding, inside, receipt in self.masked.read(tiles):
            codes, pixels = np.full(inside.shape, -1, np.int32), embedding[inside]
            if is_moved(pixels, self.bandwidth):
                fail("embedding", HELD, f"float64 that it does not in {volume.describe(tile)}", "store it centred")
            codes[inside] = nearest_codes(pixels, self.codes, bandwidth=self.bandwidth, room=room)
            if len(self.codes) and (codes[inside] < 0).any():
                fail("embedding", "finite values", f"NaN or infinity in {volume.describe(tile)}")
            label, table = find_fragments(codes, start=volume.output_start(tile), shape=volume.shape)
            self.intermediates.put(_name("fragments", tile), {"label": label})
            self.intermediates.put(_name("table", tile), to_arrays(table))
            progress.finish(tile, receipt)

    def identity(self) -> Provenance:
        """What decides the fragments, beside the codes, which are sent."""
        return self.masked.provenance()

    def tables(self) -> Iterator[tuple[TileAtTime, FragmentTable]]:
        """The tables of all tiles, one after the other."""
        arrays = stored("table", self.masked.embedding.volume, self.intermediates, self)
        return ((tile, from_arrays(table)) for tile, table in arrays)


@dataclass(frozen=True)
class LabelPass:
    """Third pass: writes the fragments of every tile by the numbers of their objects."""

    finding: FragmentPass
    objects: VolumeObjects
    target: Target

    def __call__(self, tiles: Iterable[TileAtTime], progress: Progress) -> None:
        with Writer(self.finding.masked.embedding.volume, self.target, progress.finish) as writer:
            for tile, arrays in stored("fragments", tiles, self.finding.intermediates, self.finding):
                writer.put(tile, {"": self.objects.of_tile(tile)[arrays["label"]][None, ..., None]})

    def identity(self) -> Provenance:
        """What decides the labels, beside the objects."""
        return self.finding.identity()


class Silent:
    """Whoever need not be told how a tile of a pass ends."""

    def finish(self, tile: TileAtTime, receipt: Receipt = NOTHING) -> None:
        """Nothing."""

    def skip(self, tile: TileAtTime) -> None:
        """Nothing."""


def stored(
    kind: str, tiles: Iterable[TileAtTime], intermediates: Intermediates, again: Pass
) -> Iterator[tuple[TileAtTime, dict[str, np.ndarray]]]:
    """The intermediate results of tiles, in order, read ahead; those that are lost are computed again."""

    def read(tile: TileAtTime) -> dict[str, np.ndarray]:
        try:
            return intermediates.get(_name(kind, tile))
        except LostError:
            again([tile], Silent())
            return intermediates.get(_name(kind, tile))

    return read_ahead(read, tiles, ahead=READ_AHEAD)


def lost_tiles(kinds: Sequence[str], tiles: VolumeTiles, intermediates: Intermediates, journal: Journal) -> list[int]:
    """Those of the finished tiles of which some intermediate result is gone."""
    finished, names = sorted(int(number) for number in journal.finished), intermediates.names()
    return [number for number in finished if not {_name(kind, tiles.tile(number)) for kind in kinds} <= names]


def _name(kind: str, tile: TileAtTime) -> str:
    """Of an intermediate result."""
    return "-".join([kind, *map(str, tile)])
