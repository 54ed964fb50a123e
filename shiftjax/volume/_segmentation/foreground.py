"""Which pixels belong to objects: all, those of a mask, or those for which a function of the embedding says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from shiftjax._checks import fail
from shiftjax.volume._jobs.pointwise import Pointwise, prove_pointwise
from shiftjax.volume._jobs.tiles import TileAtTime, VolumeTiles
from shiftjax.volume._segmentation.embedding import Embedding
from shiftjax.volume._sources.mask import open_mask
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.casting import cast
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.journal import Receipt
from shiftjax.volume._storage.reading import NOTHING_READ, Reading, ReadLog
from shiftjax.volume._targets.provenance import Provenance, pixels_provenance

Channels = slice | Sequence[int]
EXACT = 2**24  # integers up to here are numbers of float32, in which distances are computed


class Everywhere:
    """All pixels."""

    def __call__(self, tile: TileAtTime, embedding: np.ndarray) -> tuple[np.ndarray, Reading]:
        return np.ones(embedding.shape[1:-1], bool), NOTHING_READ

    def provenance(self) -> str:
        """What tells it from other foregrounds."""
        return "all"

    def reading(self, tile: TileAtTime) -> Reading:
        """What is read of a tile: nothing."""
        return NOTHING_READ


@dataclass(frozen=True)
class InMask:
    """The pixels where a stored mask is not zero; a mask of a single time point counts for all of them."""

    mask: Source
    volume: VolumeTiles

    def __call__(self, tile: TileAtTime, embedding: np.ndarray) -> tuple[np.ndarray, Reading]:
        log = ReadLog()
        read = self.mask.at(tile[0] if self.mask.times > 1 else 0, log)
        pixels = read(self.volume.output_slices(tile))[0, ..., 0]
        if (pixels != pixels).any():
            raise VolumeError(f"{self.volume.describe(tile)}: NaN in the mask {self.mask.name}; say 0 or 1 there")
        return pixels != 0, log.reading()

    def provenance(self) -> Provenance:
        """What tells it from other foregrounds."""
        return pixels_provenance(self.mask)

    def reading(self, tile: TileAtTime) -> Reading:
        """Reads a tile of the mask."""
        return self(tile, np.zeros(0))[1]


@dataclass(frozen=True)
class WhereTrue:
    """The pixels for which a function of the embedding says so."""

    function: Pointwise

    def __call__(self, tile: TileAtTime, embedding: np.ndarray) -> tuple[np.ndarray, Reading]:
        try:  # JAX would wrap 64-bit integers around
            known = cast(embedding, jax.dtypes.canonicalize_dtype(embedding.dtype))
        except OverflowError as error:
            raise VolumeError(f"tile {tile[1:]}: {error}, in which the foreground is computed") from error
        return np.asarray(self.function(known))[0], NOTHING_READ

    def provenance(self) -> str:
        """What tells it from other foregrounds."""
        return self.function.provenance()

    def reading(self, tile: TileAtTime) -> Reading:
        """What is read of a tile: nothing."""
        return NOTHING_READ


# Of a tile and its embedding (1, *space, channel): booleans (*space), and what was read for them.
Foreground = Everywhere | InMask | WhereTrue


@dataclass(frozen=True)
class MaskedEmbedding:
    """The embedding of a volume and which of its pixels count.

    Attributes:
        embedding: all channels.
        foreground: the pixels of objects; it sees all channels.
        channels: those that are clustered.
    """

    embedding: Embedding
    foreground: Foreground
    channels: Channels

    @property
    def width(self) -> int:
        """How many channels are clustered."""
        return np.zeros(self.embedding.channels)[self.channels].size

    def provenance(self) -> Provenance:
        """What decides its values."""
        chosen = {"foreground": self.foreground.provenance(), "channels": str(self.channels)}
        return {**self.embedding.provenance(), **chosen}

    def read(self, tiles: Iterable[TileAtTime]) -> Iterator[tuple[TileAtTime, np.ndarray, np.ndarray, Receipt]]:
        """Tiles with the embedding `(*space, channel)`, which pixels are foreground `(*space)`, and what was read."""
        with closing(self.embedding.read(tiles)) as embedded:  # type: ignore[type-var]
            for tile, embedding, reading in embedded:
                inside, of_mask = self.foreground(tile, embedding)
                both, chosen = _joined(reading, of_mask), embedding[0][..., self.channels]
                if chosen.dtype.kind in "iu" and chosen.size and not -EXACT <= chosen.min() <= chosen.max() <= EXACT:
                    found = f"{self.embedding.volume.describe(tile)}: integers from {chosen.min()} to {chosen.max()}"
                    raise VolumeError(f"{found}, which float32 does not tell apart; subtract an offset, and store that")
                yield tile, chosen, inside, Receipt(both.digest, "", both.missing)

    def reading(self, tile: TileAtTime) -> Reading:
        """Reads the embedding of a tile, or what it is computed from, and its mask; computes nothing."""
        return _joined(self.embedding.reading(tile), self.foreground.reading(tile))


def _joined(one: Reading, other: Reading) -> Reading:
    return Reading(one.digest + other.digest, one.missing + other.missing)


def open_foreground(foreground: Any, embedding: Embedding, missing: Any = "fill") -> Foreground:
    """The test of pixels.

    Args:
        foreground: None; or an array, path or URI of a mask, nonzero in objects; or a JAX function of
            `(1, *space, channel)` that gives booleans `(1, *space)`, each from its pixel alone.
        embedding: of which they are the pixels.
        missing: what a chunk of a mask stands for that is not there.

    Raises:
        ValueError: a mask of another size, or a function that is not such, with the certifier's reason.
    """
    if foreground is None:
        return Everywhere()
    if not callable(foreground) or hasattr(foreground, "shape"):
        return InMask(_open_mask(foreground, embedding.volume.source, missing), embedding.volume)
    shape = (1, *embedding.volume.plan.tile_output)
    image = jax.ShapeDtypeStruct((*shape, embedding.channels), jax.dtypes.canonicalize_dtype(embedding.dtype))
    mend = "say `lambda y: y[..., 0] > 0`, or give a mask"
    return WhereTrue(prove_pointwise("foreground", foreground, image, jax.ShapeDtypeStruct(shape, bool), mend))


def _open_mask(foreground: Any, source: Source, missing: Any) -> Source:
    mask = open_mask("foreground", foreground, source, missing)
    if mask.space != source.space:
        fail("foreground", f"a mask of {source.space} pixels", mask.space, "scale it to the image first")
    return mask
