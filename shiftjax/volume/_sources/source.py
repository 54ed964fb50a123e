"""Where pixels come from: a stored array, whatever its format, seen as images `(1, *space, channel)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._checks import fail, integer, number, shown, switch
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._sources import formats
from shiftjax.volume._sources import ome_zarr as ome
from shiftjax.volume._sources.naming import name_axes
from shiftjax.volume._sources.stored import Stored
from shiftjax.volume._storage.errors import VolumeError, storage_errors
from shiftjax.volume._storage.finished import check_finished, check_slices
from shiftjax.volume._storage.reading import Missing, ReadLog, check_missing, read_block, stamp
from shiftjax.volume._storage.uri import check_uri, is_local

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
        assumed: whether nobody named the axes.
        remark: what else a reader should know, in words.
        opened: arguments of the `open_source` that opened it, where that was by path or URI, so that another process
            can open it too.
        missing: what a chunk that is not there stands for: the array's fill value, or an error.
        region: slices of the spatial axes outside of which nothing may be read; None for no such limit.
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
    opened: dict[str, Any] | None = field(default=None, repr=False)  # may hold credentials
    missing: Missing = "fill"
    region: tuple[slice, ...] | None = None

    def __post_init__(self) -> None:
        with storage_errors(f"read the metadata of {self.name}"):
            object.__setattr__(self, "_stamp", self._stamp_now())

    def _stamp_now(self) -> Any:
        path = (self.opened or {}).get("source")
        return stamp(self.array, path if isinstance(path, str) and is_local(path) else None)

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels as they are read: in this machine's byte order, whatever the stored one."""
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
        """How many images there are: time points, times planes where each is an image of its own."""
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
        return self._as(planes=True)

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
        """What a user should know before the source is read, in one line; empty where all is as the metadata say."""
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
                self._check_region(slices)
                index = axis_names.block_index(self.axes, slices, time, shape, self.channel)
                block, missing = read_block(self.array, index, missing=self.missing)
                if self._stamp_now() != getattr(self, "_stamp"):  # noqa: B009 - set in a frozen class
                    raise VolumeError(f"{self.name} has been replaced while it was read; call again once it stays")
                block = block.astype(self.dtype, copy=False)
                if log is not None:
                    log.add(block, missing)
                return axis_names.to_image(block, self.axes, len(slices))

        return read

    def _check_region(self, slices: tuple[slice, ...]) -> None:
        for part, limit, length in zip(slices, self.region or (), self.space, strict=False):
            start, stop, _ = limit.indices(length)
            if part.start < start or part.stop > stop:
                raise VolumeError(f"{self.name} was opened for the region {self.region} only, and is not finished")

    def sampled_blocks(self, count: int, size: int) -> list[tuple[int, tuple[slice, ...]]]:
        """Frame and pixels of blocks drawn evenly over the volume, with repetition, always the same ones.

        Args:
            count: of blocks.
            size: pixels per axis of a block, fewer where the volume has fewer.
        """
        draw = np.random.default_rng(0)
        blocks = []
        for _ in range(count):
            time = int(draw.integers(self.times))
            starts = [int(draw.integers(max(1, n - size + 1))) for n in self.space]
            blocks.append((time, tuple(slice(a, min(a + size, n)) for a, n in zip(starts, self.space, strict=True))))
        return blocks

    def _as(self, **seen: Any) -> Source:
        """The same array, seen otherwise."""
        return replace(self, **seen, opened=None if self.opened is None else {**self.opened, **seen})

    def _length(self, name: str) -> int:
        return int(self.array.shape[self.axes.index(name)]) if name in self.axes else 1

    def __reduce__(self) -> Any:
        if self.opened is not None:  # by its address: an open file or store may not survive the journey
            return partial(open_source, **self.opened, missing=self.missing, region=self.region), ()
        return Source, tuple(getattr(self, each.name) for each in fields(self))


def open_source(
    source: Any,
    *,
    axes: str | None = None,
    level: int = 0,
    channel: int | None = None,
    planes: bool = False,
    storage_options: dict[str, Any] | None = None,
    missing: str = "fill",
    region: Sequence[slice] | None = None,
    wait: int | float = 0,
) -> Source:
    """Opens a volume to read from, where a path alone says too little: `predict_volume` and others take the result.

    Axes of length 1 that have no letter are left out. Where nothing names the axes, up to three are taken for z, y and
    x; that is said in the first line that a run prints, and in the metadata of what is written.

    Args:
        source: path or fsspec URI of a Zarr v2 or v3 array, of an OME-Zarr image (0.4, 0.5 or 0.6), of either in a zip
            file (.zip, .ozx), or of a TIFF file; path of a folder of TIFF files, of an HDF5 dataset
            (`file.h5/dataset`), or of an N5 array; a zarr array, group or store; a TensorStore; or anything with
            `shape`, `dtype` and slicing (numpy, memmap, h5py, dask, xarray). A `Source` is returned as it is.
        axes: a letter for each axis, t, c, z, y and x in any order; by default those that the metadata name, else
            "zyx", or "yx" for two axes.
        level: of an OME-Zarr or TIFF image; 0 is the finest.
        channel: the only one to be seen, counted from 0; by default all.
        planes: whether each plane along z is an image of its own, for a 2-D network.
        storage_options: for the file system, as fsspec takes them.
        missing: what a chunk of a Zarr array stands for that is not there: "fill", the array's fill value (such chunks
            are counted), or "error". Of a finished result of shiftjax every chunk must be there.
        region: slices in pixels, one per spatial axis (z, y, x). Of a result of shiftjax that is not finished, only
            these pixels must be, and only these can be read.
        wait: seconds to wait at most until a result of shiftjax is finished.

    Returns:
        The source, of which nothing has been read but metadata.

    Raises:
        ValueError: nothing there, not an image, or other axes than asked for.
        VolumeError: a result of shiftjax that is not finished.
        ImportError: a package that the format needs is missing.
    """
    level = integer("level", level, least=0)
    switch("planes", planes)
    limits: dict[str, Any] = {
        "missing": check_missing(missing),
        "region": check_slices(region),
        "wait": number("wait", wait, least=0),
    }
    if isinstance(source, Source):
        return _again(source, axes, level, channel, planes, storage_options)
    if isinstance(source, str | Path):
        source = check_uri("source", source, storage_options)
    elif storage_options is not None:
        fail("storage_options", "none beside an object, which is open already", type(storage_options).__name__)
    stored = formats.find(source, level, storage_options)
    opened = with_axes(source, stored, axes, {"level": level, "storage_options": storage_options}, **limits)
    return _seen(opened, channel, planes)


def with_axes(
    source: Any,
    stored: Stored,
    axes: Any,
    asked: dict[str, Any],
    *,
    missing: Missing = "fill",
    region: tuple[slice, ...] | None = None,
    wait: float = 0.0,
) -> Source:
    """A source of what was found at an address, or given, and the axes that the caller names.

    Raises:
        ValueError: as `name_axes`; or anything but numbers, or no pixels.
        VolumeError: a result of shiftjax that is not finished.
    """
    by_address = isinstance(source, str)
    try:
        name = source if by_address else f"the {type(source).__name__} given"
        formats.check_pixels(stored, name)
        named = name_axes(stored, axes)
        whole = check_finished(stored.array, name, region=region, wait=wait)
    except (ValueError, VolumeError):
        if by_address:
            stored.close()
        raise
    return Source(
        name,
        stored.array,
        named.axes,
        named.geometry,
        stored.zarr_format,
        assumed=named.assumed,
        remark=stored.remark,
        opened={"source": source, "axes": axes, **asked} if by_address else None,
        missing="error" if whole else missing,
        region=region,
    )


def with_missing(source: Source, missing: Any) -> Source:
    """The source with what a missing chunk stands for; one that was opened to refuse them goes on doing so.

    Raises:
        ValueError: neither "fill" nor "error".
    """
    return replace(source, missing="error" if source.missing == "error" else check_missing(missing))


def _seen(source: Source, channel: Any, planes: bool) -> Source:
    """A source of which one channel is seen, or each plane as an image of its own."""
    if channel is not None:
        if "c" not in source.axes:
            fail("channel", "none for a source without an axis c", shown(channel), f"its axes are {source.axes!r}")
        channel = integer("channel", channel, least=0, most=source.channels - 1)
        source = source._as(channel=channel)
    return source.by_planes() if planes else source


def _again(source: Source, axes: Any, level: int, channel: Any, planes: bool, options: Any) -> Source:
    """A source that was opened earlier: its axes stand; a channel or planes may be chosen still."""
    known = (source.axes, source.axes.replace(axis_names.LEFT_OUT, ""))
    if axes is not None and not (isinstance(axes, str) and axes.lower() in known):
        fail("axes", f"{known[1]!r}, as the source was opened with", shown(axes), "give them to `open_source`")
    if level or options is not None:
        fail("level", "none beside a source that is open", level or "options", "give them to `open_source`")
    if channel is not None and source.channel not in (None, channel):
        fail("channel", f"{source.channel}, as the source was opened with", channel)
    return _seen(source, channel if source.channel is None else None, planes and not source.planes)
