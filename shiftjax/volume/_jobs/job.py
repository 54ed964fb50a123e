"""The work on a volume as a whole and its items: one tile at one time point, the same in any process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from shiftjax.tiling._padding import read_window
from shiftjax.tiling._pipeline import check_function, stream
from shiftjax.tiling._plan import Place, TilePlan
from shiftjax.volume._jobs.tile_selection import Test, foreground
from shiftjax.volume._storage.axes import pixels
from shiftjax.volume._storage.casting import cast
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.source import Source

Item = Place  # (time, *place): a tile at a time point
Images = Mapping[str, np.ndarray]  # by the name of the output: (1, *space, channel)


@dataclass(frozen=True)
class Work:
    """All that a process needs to compute items; can be sent to another process where the source can.

    Attributes:
        fn: the network.
        plan: of its tiles.
        source: of its images.
        preprocess: a function of every pixel alone that comes before the network, or None.
        test: whether a tile's input, as stored, is worth computing; None for all.
        batch_size: tiles per call; None for the plan's.
    """

    fn: Callable[[Any], Any]
    plan: TilePlan
    source: Source
    preprocess: Callable[[Any], Any] | None = None
    test: Test | None = None
    batch_size: int | None = None

    def __reduce__(self) -> Any:
        return Work, tuple(getattr(self, name) for name in self.__dataclass_fields__)  # without what it caches

    @property
    def names(self) -> tuple[str, ...]:
        """Of the outputs, as the target's groups are named; `("",)` for a single one."""
        if len(self.plan.outputs) == 1:
            return ("",)
        plain = [re.sub(r"\W+", "_", output.name).strip("_") for output in self.plan.outputs]
        return tuple(f"{name}_{k}" if plain.count(name) > 1 else name for k, name in enumerate(plain))

    def number(self, item: Item) -> int:
        """The number of an item: time points one after the other, tiles of each in raster order."""
        return int(np.ravel_multi_index(item, (self.source.times, *self.plan.grid)))

    def item(self, number: int) -> Item:
        """The item of a number."""
        return tuple(int(i) for i in np.unravel_index(number, (self.source.times, *self.plan.grid)))

    def describe(self, item: Item) -> str:
        """An item for people."""
        return f"tile {item[1:]}" + (f" of time point {item[0]}" if self.source.times > 1 else "")

    def read(self, item: Item) -> np.ndarray:
        """The input of a tile as stored, `(1, *tile_input, channel)`, the image's border padded.

        Raises:
            VolumeError: with the tile and the pixels that cannot be read.
        """
        time, *place = item
        start, space = self.plan.input_start(tuple(place)), self.plan.image_shape[1:-1]
        try:
            return read_window(self.source.at(time), space, start, self.plan.tile_input, self.plan.pad)
        except VolumeError as error:
            raise VolumeError(f"{self.describe(item)}: {error}") from error.__cause__

    def outputs(
        self,
        items: Iterable[Item],
        *,
        skipped: Callable[[Item], object] = lambda item: None,
        devices: Sequence[jax.Device] | None = None,
        mesh: Mesh | None = None,
    ) -> Iterator[tuple[Item, Images]]:
        """Computes items in order, reading ahead; items that fail the test go to `skipped`."""
        tested: dict[Item, np.ndarray] = {}
        todo = iter(items)
        if self.test is not None:
            todo = foreground(todo, self.read, self.test, tested, skipped)

        def read(item: Item) -> np.ndarray:
            tile = tested.pop(item) if item in tested else self.read(item)
            return self._host(tile, item)

        options: dict[str, Any] = {"batch_size": self.batch_size, "devices": devices, "mesh": mesh}
        options["checked"] = self._checked
        with closing(stream(self.fn, self.plan, read, todo, **options)) as results:  # type: ignore[type-var]
            for item, output in results:
                yield item, dict(zip(self.names, jax.tree.leaves(output), strict=True))

    @cached_property
    def _checked(self) -> bool:
        """Once for all calls of `outputs` in a process."""
        check_function(self.fn, self.plan)
        return True

    def _host(self, tile: np.ndarray, item: Item) -> np.ndarray:
        """What is done to a tile before it is sent to the device: preprocessing, the border, and a look for NaN."""
        starts, space = self.plan.input_start(item[1:]), self.plan.image_shape[1:-1]
        try:
            done = cast(tile, np.dtype(self.plan.dtype)) if self.preprocess is None else self._preprocessed(tile)
        except OverflowError as error:
            raise VolumeError(f"{self._where(item)}: {error}; give a `preprocess` that converts") from error
        if self.preprocess is not None and self.plan.pad == "constant":
            for axis, (start, whole) in enumerate(zip(starts, space, strict=True), start=1):
                place = np.arange(start, start + done.shape[axis])
                done[(slice(None),) * axis + ((place < 0) | (place >= whole),)] = 0
        if jnp.issubdtype(done.dtype, jnp.inexact) and not np.isfinite(done).all():
            bad = f"NaN or infinity in {done.size - np.isfinite(done).sum()} of {done.size} values of the input"
            raise VolumeError(f"{self._where(item)}: {bad}; replace them, for example in `preprocess`")
        return done

    def _where(self, item: Item) -> str:
        """An item with the pixels of the image that it reads."""
        bounds = zip(self.plan.input_start(item[1:]), self.plan.tile_input, self.plan.image_shape[1:-1], strict=True)
        slices = [slice(max(0, start), min(start + size, whole)) for start, size, whole in bounds]
        return f"{self.describe(item)}, pixels {pixels(self.source.axes, slices)}"

    def _preprocessed(self, tile: np.ndarray) -> np.ndarray:
        """On the processor, so that neither the device's time nor its memory go into it."""
        known = cast(tile, jax.dtypes.canonicalize_dtype(tile.dtype))  # JAX would wrap 64-bit integers around
        return np.array(self._jitted(jax.device_put(known, _processor())))

    @cached_property
    def _jitted(self) -> Callable[[Any], Any]:
        return jax.jit(self.preprocess)  # type: ignore[arg-type]


def _processor() -> jax.Device | None:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX was told to load another backend only
        return None
