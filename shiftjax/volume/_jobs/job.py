"""Computing tiles: read, preprocess, look for NaN, run the network; the same in any process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from shiftjax.certifier import Certificate
from shiftjax.tiling import check_function, run_tiles, zero_outside
from shiftjax.volume._jobs.pointwise import Pointwise
from shiftjax.volume._jobs.tile_selection import TileTest, worth_computing
from shiftjax.volume._jobs.tiles import TileAtTime, VolumeTiles
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._storage.casting import cast
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.reading import Reading, ReadLog, together
from shiftjax.volume._targets.provenance import Provenance, function_provenance, pixels_provenance, plan_provenance

Images = Mapping[str, np.ndarray]  # by the name of the output: (1, *space, channel)


class Computed(NamedTuple):
    """A tile that was computed.

    Attributes:
        tile: which.
        images: its outputs.
        reading: what was read for it.
    """

    tile: TileAtTime
    images: Images
    reading: Reading


@dataclass(frozen=True)
class Job:
    """All that a process needs to compute tiles; can be sent to another process where the source can.

    Attributes:
        fn: the network.
        tiles: of the volume.
        preprocess: what comes before the network, or None.
        tile_test: whether a tile's input, as stored, is worth computing; None for all.
        batch_size: tiles per call; None for the plan's.
    """

    fn: Callable[[Any], Any]
    tiles: VolumeTiles
    preprocess: Pointwise | None = None
    tile_test: TileTest | None = None
    batch_size: int | None = None

    def __reduce__(self) -> Any:
        return Job, tuple(getattr(self, each.name) for each in fields(self))  # without what it caches

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Of the outputs, as the target's groups are named; `("",)` for a single one."""
        outputs = self.tiles.plan.outputs
        if len(outputs) == 1:
            return ("",)
        plain = [re.sub(r"\W+", "_", output.name).strip("_") for output in outputs]
        names = [f"{name}_{k}" if plain.count(name) > 1 else name for k, name in enumerate(plain)]
        if "" in names or len({name.casefold() for name in names}) < len(names):  # some file systems know no case
            names = [f"{name}_{k}" for k, name in enumerate(plain)]
        return tuple(names)

    def delivered(self, tile: TileAtTime) -> dict[str, tuple[slice, ...]]:
        """The pixels of each output that a tile delivers, by its name; an output need not have the image's pixels."""
        return dict(zip(self.output_names, self.tiles.plan.delivered(tile[1:]), strict=True))

    @cached_property
    def certificate(self) -> Certificate:
        """Of `fn`; the certifier is asked once in a process.

        Raises:
            ValueError: `fn` is not the function that was planned for.
        """
        return check_function(self.fn, self.tiles.plan, batch_size=self.batch_size)

    def provenance(self) -> Provenance:
        """What decides the pixels that the job gives.

        Raises:
            ValueError: as `certificate`.
        """
        return {
            **plan_provenance(self.tiles.plan),
            "net": function_provenance(self.fn, self.certificate),
            "source": pixels_provenance(self.tiles.source),
            "preprocess": "none" if self.preprocess is None else self.preprocess.provenance(),
        }

    def outputs(
        self,
        tiles: Iterable[TileAtTime],
        *,
        skip: Callable[[TileAtTime], object] = lambda tile: None,
        devices: Sequence[jax.Device] | None = None,
        mesh: Mesh | None = None,
    ) -> Iterator[Computed]:
        """Computes tiles in order, reading ahead; tiles that fail the test go to `skip`.

        Raises:
            VolumeError: with the tile and the pixels that cannot be read, or that the network cannot take.
        """
        blocks: dict[TileAtTime, np.ndarray] = {}  # read for the test, and not to be read again
        readings: dict[TileAtTime, Reading] = {}
        chosen = iter(tiles)

        def read(tile: TileAtTime) -> np.ndarray:
            block, readings[tile] = self._read(tile)
            return block

        def left_out(tile: TileAtTime) -> None:
            del readings[tile]
            skip(tile)

        if self.tile_test is not None:
            chosen = worth_computing(chosen, read, self.tile_test, blocks, left_out)

        def network_input(tile: TileAtTime) -> np.ndarray:
            return self._network_input(blocks.pop(tile) if tile in blocks else read(tile), tile)

        options: dict[str, Any] = {"batch_size": self.batch_size, "devices": devices, "mesh": mesh}
        options["checked"] = self.certificate is not None
        results = run_tiles(self.fn, self.tiles.plan, network_input, chosen, lambda tile: tile[1:], **options)
        with closing(results):  # type: ignore[type-var]
            for tile, output in results:
                images = dict(zip(self.output_names, jax.tree.leaves(output), strict=True))
                read_for_it = self.tiles.reads(tile)
                reading = together([readings[step] for step in read_for_it])
                for earlier in list(readings) if self.tiles.plan.stream is not None else [tile]:
                    if earlier in read_for_it and self.tiles.plan.stream is not None:
                        break
                    del readings[earlier]  # of a stream, steps before those of a tile: no other needs them
                yield Computed(tile, images, reading)

    def reading(self, tile: TileAtTime) -> Reading:
        """Reads the input of a tile, and computes nothing."""
        return together([self._read(step)[1] for step in self.tiles.reads(tile)])

    def _read(self, tile: TileAtTime) -> tuple[np.ndarray, Reading]:
        """The input of a tile as stored, `(1, *tile_input, channel)`, the image's border padded."""
        log = ReadLog()
        try:
            return self.tiles.plan.read_input(tile[1:], self.tiles.source.at(tile[0], log)), log.reading()
        except VolumeError as error:
            raise VolumeError(f"{self.tiles.describe(tile)}: {error}") from error.__cause__

    def _network_input(self, block: np.ndarray, tile: TileAtTime) -> np.ndarray:
        """What is done to a tile before it is sent to the device: preprocessing, the border, and a look for NaN."""
        plan = self.tiles.plan
        try:
            image = cast(block, np.dtype(plan.dtype)) if self.preprocess is None else self._preprocess(block)
        except OverflowError as error:
            raise VolumeError(f"{self._location(tile)}: {error}; give a `preprocess` that converts") from error
        if self.preprocess is not None and plan.pad == "constant":  # which may not keep the border's zeros
            zero_outside(image, plan.image_shape[1:-1], self.tiles.input_start(tile))
        if jnp.issubdtype(image.dtype, jnp.inexact) and not np.isfinite(image).all():
            bad = f"NaN or infinity in {image.size - np.isfinite(image).sum()} of {image.size} values of the input"
            raise VolumeError(f"{self._location(tile)}: {bad}; replace them, for example in `preprocess`")
        return image

    def _preprocess(self, block: np.ndarray) -> np.ndarray:
        """On the host's processor, so that neither the device's time nor its memory is spent on it."""
        assert self.preprocess is not None
        known = cast(block, jax.dtypes.canonicalize_dtype(block.dtype))  # JAX would wrap 64-bit integers around
        return np.array(self.preprocess(jax.device_put(known, _processor())))

    def _location(self, tile: TileAtTime) -> str:
        """A tile with the pixels of the image that it reads, for people."""
        plan = self.tiles.plan
        bounds = zip(self.tiles.input_start(tile), plan.tile_input, plan.image_shape[1:-1], strict=True)
        slices = [slice(max(0, start), min(start + size, whole)) for start, size, whole in bounds]
        return f"{self.tiles.describe(tile)}, pixels {axis_names.describe(self.tiles.source.axes, slices)}"


def _processor() -> jax.Device | None:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX was told to load another backend only
        return None
