"""Where the tiles of an embedding come from: a stored volume, or a network run again on the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftjax._ahead import read_ahead
from shiftjax._checks import fail, shown
from shiftjax._network import network
from shiftjax.tiling import TilePlan
from shiftjax.volume._jobs.job import Job
from shiftjax.volume._jobs.pointwise import check_preprocess
from shiftjax.volume._jobs.tiles import READ_AHEAD, TileAtTime, VolumeTiles
from shiftjax.volume._sources.opening import open_source, with_missing
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.reading import Reading, ReadLog
from shiftjax.volume._targets.provenance import Provenance, pixels_provenance, plan_provenance

EmbeddedTiles = Iterator[tuple[TileAtTime, np.ndarray, Reading]]  # what a tile delivers, (1, *space, channel)


@dataclass(frozen=True)
class Recompute:
    """An embedding that is computed whenever it is needed, instead of stored.

    Attributes:
        fn: the network that the plan was made for, with one output.
        source: the image, as `predict_volume` takes it.
        axes: of the image, as `predict_volume` takes them.
        preprocess: as `predict_volume` takes it.
        channel: of the image, as `predict_volume` takes it.
    """

    fn: Callable[[Any], Any]
    source: Any
    axes: str | None = None
    preprocess: Callable[[Any], Any] | None = None
    channel: int | None = None


@dataclass(frozen=True)
class Embedding:
    """An embedding, tile by tile.

    Attributes:
        volume: its tiles.
        channels: of the embedding.
        dtype: of the embedding.
    """

    volume: VolumeTiles
    channels: int
    dtype: str

    def provenance(self) -> Provenance:
        """What decides its values."""
        raise NotImplementedError

    def read(self, tiles: Iterable[TileAtTime]) -> EmbeddedTiles:
        """What tiles deliver, cut at the image's end, in the order of `tiles`."""
        raise NotImplementedError

    def reading(self, tile: TileAtTime) -> Reading:
        """Reads what a tile is made from, and computes nothing."""
        raise NotImplementedError


class StoredEmbedding(Embedding):
    """An embedding read from storage."""

    def provenance(self) -> Provenance:
        return {**plan_provenance(self.volume.plan), "embedding": pixels_provenance(self.volume.source)}

    def read(self, tiles: Iterable[TileAtTime]) -> EmbeddedTiles:
        for tile, (image, reading) in read_ahead(self._read, tiles, ahead=READ_AHEAD):
            yield tile, image, reading

    def reading(self, tile: TileAtTime) -> Reading:
        return self._read(tile)[1]

    def _read(self, tile: TileAtTime) -> tuple[np.ndarray, Reading]:
        log = ReadLog()
        return self.volume.source.at(tile[0], log)(self.volume.output_slices(tile)), log.reading()


@dataclass(frozen=True)
class ComputedEmbedding(Embedding):
    """An embedding computed from an image.

    Attributes:
        job: computes its tiles, those of the image.
    """

    job: Job

    def provenance(self) -> Provenance:
        return self.job.provenance()

    def read(self, tiles: Iterable[TileAtTime]) -> EmbeddedTiles:
        with closing(self.job.outputs(tiles)) as outputs:  # type: ignore[type-var]
            for tile, images, reading in outputs:
                yield tile, images[""], reading

    def reading(self, tile: TileAtTime) -> Reading:
        return self.job.reading(tile)


def open_embedding(embedding: Any, plan: TilePlan, axes: str | None, missing: str = "fill") -> Embedding:
    """The tiles of what `segment_volume` was given.

    Raises:
        VolumeError: a prediction that is not finished.
        ValueError: it does not lie on the image that was planned for, or the network has several outputs.
    """
    if not isinstance(embedding, Recompute):
        source = with_missing(open_source(embedding, axes=axes), missing)
        _check_real(source.dtype)
        return StoredEmbedding(_tiles(source, plan), source.channels, str(source.dtype))
    if axes is not None:
        fail("axes", "none beside a `Recompute`", shown(axes), "give them to the `Recompute`")
    if len(plan.outputs) != 1:
        fail("plan", "one of a network with one output", f"{len(plan.outputs)} outputs", "return the embedding only")
    output = plan.outputs[0]
    if output.size != plan.image_shape[1:-1] or any(output.place):
        expected = f"one whose output has the image's pixels, {plan.image_shape[1:-1]}"
        fail("plan", expected, f"one of {output.size} px", "let the network give an embedding of every pixel")
    _check_real(np.dtype(output.dtype))
    source = with_missing(open_source(embedding.source, axes=embedding.axes, channel=embedding.channel), missing)
    fn = network("fn", embedding.fn)
    tiles = _tiles(source, plan)
    if source.channels != plan.image_shape[-1]:
        fail("source", f"{plan.image_shape[-1]} channels, as planned", source.channels)
    job = Job(fn, tiles, check_preprocess(embedding.preprocess, plan, source.dtype))
    return ComputedEmbedding(tiles, plan.outputs[0].channels, plan.outputs[0].dtype, job)


def _check_real(dtype: np.dtype) -> None:
    """Refuses numbers of which a part would be dropped."""
    if dtype.kind == "c":
        fail("embedding", "real numbers", dtype, "give real and imaginary part as channels")


def _tiles(source: Source, plan: TilePlan) -> VolumeTiles:
    source = source.for_network(len(plan.image_shape) - 2)
    if plan.image_shape[0] != 1:
        fail("plan", "one for a single image", f"one for a batch of {plan.image_shape[0]}")
    if source.space != plan.image_shape[1:-1]:
        expected = f"{plan.image_shape[1:-1]} pixels, as planned"
        fail("embedding", expected, f"{source.space} in {source.name}", "plan for this volume")
    return VolumeTiles(plan, source)
