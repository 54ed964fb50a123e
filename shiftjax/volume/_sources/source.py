"""Where pixels come from: a stored array, whatever its format, seen as images `(1, *space, channel)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np

from shiftjax._checks import fail, shown
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._sources import ome_zarr as ome
from shiftjax.volume._sources.tensors import Tensor
from shiftjax.volume._storage.errors import VolumeError, storage_errors
from shiftjax.volume._storage.finished import LeftOut
from shiftjax.volume._storage.reading import Missing, ReadLog, read_block, stamp
from shiftjax.volume._storage.uri import is_local

Read = Callable[[tuple[slice, ...]], np.ndarray]


@dataclass(frozen=True)
class Source:
    """A stored volume, seen as images `(1, *space, channel)` with space in the order z, y, x.

    Attributes:
        name: for messages.
        array: the stored array.
        axes: a letter for each of its axes, `.` for one of a single pixel that means nothing.
        geometry: pixel sizes, from the metadata of OME-Zarr or TIFF.
        zarr_format: 2 or 3 where it is a Zarr array, else None.
        channel: the only one that is seen; None for all.
        planes: whether each plane along z is an image of its own, as for a 2-D network.
        assumed: whether the axes were assumed, since neither the metadata nor the caller named them.
        remark: what else a reader should know, in words.
        reopen: opens it again, in another process too; where it was opened by path or URI, which is its name then.
        missing: what a chunk that is not there stands for: "fill", the array's fill value, or "error".
        region: slices of the spatial axes outside of which nothing may be read; None for no such limit.
        left_out: of a result of shiftjax, the tiles whose chunks alone may be missing; None of anything else.
    """

    name: str
    array: Any = field(repr=False)
    axes: str
    geometry: ome.Geometry = field(default_factory=ome.Geometry)
    zarr_format: int | None = None
    channel: int | None = None
    planes: bool = False
    assumed: bool = False
    remark: str = ""
    reopen: Callable[..., Source] | None = field(default=None, repr=False)  # may hold credentials
    missing: Missing = "fill"
    region: tuple[slice, ...] | None = None
    left_out: LeftOut | None = None

    def __post_init__(self) -> None:
        with storage_errors(f"read the metadata of {self.name}"):
            object.__setattr__(self, "_stamp", self._stamp_now())
        if self.missing == "error" and isinstance(self.array, Tensor):
            object.__setattr__(self, "array", self.array.without_filling())

    def _stamp_now(self) -> Any:
        return stamp(self.array, self.name if self.reopen is not None and is_local(self.name) else None)

    @property
    def stamp(self) -> str:
        """What tells the stored array from another: its name and form, and what must not change while it is read."""
        return f"{self.name} {self.form} {self.array.shape} {getattr(self, '_stamp')}"  # noqa: B009 - set in a frozen class

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels as they are read: in this machine's byte order, whatever the stored one."""
        return np.dtype(self.array.dtype).newbyteorder("=")

    @property
    def space_axes(self) -> str:
        """The axes that a network sees, in the order z, y, x."""
        return axis_names.spatial(self.axes).removeprefix("z" if self.planes else "")

    @property
    def space(self) -> tuple[int, ...]:
        """Pixels per spatial axis that a network sees, in the order z, y, x."""
        return tuple(self._length(name) for name in self.space_axes)

    @property
    def channels(self) -> int:
        """How many channels are seen: the length of c; 1 without it, or where one is chosen."""
        return self._length("c") if self.channel is None else 1

    @property
    def times(self) -> int:
        """Number of images: of time points, multiplied by the planes where each is an image of its own."""
        return axis_names.frames(self.axes, self.array.shape, len(self.space_axes))

    @property
    def form(self) -> str:
        """What is seen of the stored array, to tell sources apart."""
        one = "" if self.channel is None else f" channel {self.channel}"
        return self.axes + one + (" by planes" if self.planes else "")

    def by_planes(self) -> Source:
        """The same volume with each plane along z as an image of its own.

        Raises:
            ValueError: without z, or without y and x.
        """
        if axis_names.spatial(self.axes) != axis_names.SPACE:
            fail("planes", "a source with the axes z, y and x", shown(self.axes))
        return seen_as(self, planes=True)

    def for_network(self, ndim: int) -> Source:
        """The same volume for a network of `ndim` spatial axes: one of y and x alone sees a stack plane by plane."""
        return self.by_planes() if ndim == len("yx") and self.space_axes == axis_names.SPACE else self

    def describe(self, frame: int) -> str:
        """An image among several, for people: ` at time 3`, ` in plane 5`; nothing where there is only one."""
        if self.times == 1:
            return ""
        place = axis_names.frame_place(self.axes, self.array.shape, len(self.space_axes), frame)
        words = {"t": " at time", "z": " in plane"}
        return "".join(f"{words[name]} {index}" for name, index in place.items() if self._length(name) > 1)

    def note(self) -> str:
        """What a user should know before the source is read, in one line; empty where the metadata say everything."""
        letters, parts = self.axes.replace(axis_names.LEFT_OUT, ""), []
        if self.assumed:
            parts.append(f"axes {letters} are assumed, since nothing names them; name them by `axes`")
        if self.planes:
            parts.append(f"each of its {self.times} planes is an image of its own")
        if self.remark:
            parts.append(self.remark)
        return f"{self.name}: {'; '.join(parts)}" if parts else ""

    def at(self, time: int = 0, log: ReadLog | None = None) -> Read:
        """Reads one image: slices of the spatial axes (z, y, x; within the image) -> `(1, *space, channel)`.

        Args:
            time: the image's number: the time point, or that of a plane.
            log: told what was read.

        Raises:
            VolumeError: by the function returned; a part that cannot be read, with its pixels; a source that is not
                the one that was opened any more; or a missing chunk, where that is an error.
        """

        def read(slices: tuple[slice, ...]) -> np.ndarray:
            shape = self.array.shape
            with storage_errors(f"read pixels {axis_names.describe(self.axes, slices, time, shape)} of {self.name}"):
                self._check_region(slices, time)
                index = axis_names.block_index(self.axes, slices, time, shape, self.channel)
                block, missing = read_block(self.array, index, missing=self.missing, must_exist=self._must_exist)
                if self._stamp_now() != getattr(self, "_stamp"):  # noqa: B009 - set in a frozen class
                    raise VolumeError(f"{self.name} has been replaced while it was read; call again once it stays")
                block = block.astype(self.dtype, copy=False)
                if log is not None:
                    log.add(block, missing)
                return axis_names.to_image(block, self.axes, len(slices))

        return read

    def _must_exist(self, chunk: tuple[slice, ...]) -> bool:
        """Whether a chunk was stored once: of a result of shiftjax, unless nobody wanted its tile."""
        if self.left_out is None:
            return False
        start = [part.start for part in chunk]
        return not self.left_out.holds(
            *axis_names.frame_at(self.axes, self.array.shape, len(self.left_out.tile), start)
        )

    def _check_region(self, slices: tuple[slice, ...], frame: int) -> None:
        region = self.region or ()
        within = [*slices]
        if len(region) > len(slices):  # a region of z, y and x, of which each plane is an image of its own
            z = axis_names.frame_place(self.axes, self.array.shape, len(slices), frame)["z"]
            within = [slice(z, z + 1), *slices]
        space = axis_names.spatial(self.axes)
        # A region of y and x, of a stack that was predicted plane by plane, holds for all planes.
        for name, part, limit in zip(reversed(space), reversed(within), reversed(region), strict=False):
            start, stop, _ = limit.indices(self._length(name))
            if part.start < start or part.stop > stop:
                raise VolumeError(f"{self.name} was opened for the region {self.region} only, and is not finished")

    def sampled_blocks(self, count: int, size: int) -> list[tuple[int, tuple[slice, ...]]]:
        """The image's number and the pixels of blocks drawn evenly over what may be read, always the same ones.

        Args:
            count: of blocks.
            size: pixels per axis of a block, fewer where there are fewer.
        """
        draw, region = np.random.default_rng(0), self.region or ()
        times, bounds = list(range(self.times)), [(0, n) for n in self.space]
        for k, limit in enumerate(reversed(region[-len(bounds) :]), start=1):
            bounds[-k] = limit.indices(self.space[-k])[:2]
        if len(region) > len(bounds):  # a region of z, y and x, of which each plane is an image of its own
            allowed = range(*region[0].indices(self._length("z")))
            places = [axis_names.frame_place(self.axes, self.array.shape, len(bounds), time) for time in times]
            times = [time for time, place in zip(times, places, strict=True) if place["z"] in allowed]
        blocks = []
        for _ in range(count):
            time = times[int(draw.integers(len(times)))]
            starts = [low + int(draw.integers(max(1, high - low - size + 1))) for low, high in bounds]
            blocks.append((time, tuple(slice(a, min(a + size, n)) for a, (_, n) in zip(starts, bounds, strict=True))))
        return blocks

    def _length(self, name: str) -> int:
        return int(self.array.shape[self.axes.index(name)]) if name in self.axes else 1

    def __reduce__(self) -> Any:
        if self.reopen is not None:  # by its address: an open file or store may not survive the journey
            return partial(self.reopen, missing=self.missing, region=self.region), ()
        return Source, tuple(getattr(self, each.name) for each in fields(self))


def seen_as(source: Source, **seen: Any) -> Source:
    """The same array, seen otherwise: by one channel, or by planes."""
    return replace(source, **seen, reopen=None if source.reopen is None else partial(source.reopen, **seen))
