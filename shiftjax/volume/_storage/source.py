"""Where pixels come from: Zarr arrays, OME-Zarr images and TIFF stacks by path or URI, and anything like an array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._checks import fail, integer, number
from shiftjax._extras import require
from shiftjax.volume._storage import axes as axis_names
from shiftjax.volume._storage import bfloat16, tiff
from shiftjax.volume._storage import ome_zarr as ome
from shiftjax.volume._storage.errors import VolumeError, reason, storage_errors
from shiftjax.volume._storage.finished import check_finished
from shiftjax.volume._storage.reading import Missing, ReadLog, check_missing, read_block, stamp
from shiftjax.volume._storage.retry import patiently
from shiftjax.volume._storage.uri import check_uri, for_zarr, is_local

Read = Callable[[tuple[slice, ...]], np.ndarray]


@dataclass(frozen=True)
class Source:
    """A stored volume, seen as images `(1, *space, channel)` with space in the order z, y, x.

    Attributes:
        name: for messages.
        array: the stored array.
        axes: a letter for each of its axes.
        geometry: pixel sizes, from the metadata of OME-Zarr or TIFF.
        zarr_format: 2 or 3 where it is a Zarr array, else None.
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
    def space(self) -> tuple[int, ...]:
        """Pixels per spatial axis, in the order z, y, x."""
        return tuple(self._length(name) for name in axis_names.spatial(self.axes))

    @property
    def channels(self) -> int:
        """Length of c; 1 without it."""
        return self._length("c")

    @property
    def times(self) -> int:
        """Length of t; 1 without it."""
        return self._length("t")

    def at(self, time: int = 0, log: ReadLog | None = None) -> Read:
        """Reads one time point: slices of the spatial axes (z, y, x; within the image) -> `(1, *space, channel)`.

        Args:
            time: the time point.
            log: told what was read.

        Raises:
            VolumeError: by the function returned; a part that cannot be read, with its pixels; a source that is not
                the one that was opened any more; or a missing chunk, where that is an error.
        """

        def read(slices: tuple[slice, ...]) -> np.ndarray:
            with storage_errors(f"read pixels {axis_names.describe(self.axes, slices, time)} of {self.name}"):
                self._check_region(slices)
                index = axis_names.block_index(self.axes, slices, time)
                block, missing = read_block(self.array, index, missing=self.missing)
                if self._stamp_now() != getattr(self, "_stamp"):  # noqa: B009 - set in a frozen class
                    raise VolumeError(f"{self.name} has been replaced while it was read; call again once it stays")
                block = block.astype(self.dtype, copy=False)
                if log is not None:
                    log.add(block, missing)
                return axis_names.to_image(block, self.axes)

        return read

    def _check_region(self, slices: tuple[slice, ...]) -> None:
        for part, limit, length in zip(slices, self.region or (), self.space, strict=False):
            start, stop, _ = limit.indices(length)
            if part.start < start or part.stop > stop:
                raise VolumeError(f"{self.name} was opened for the region {self.region} only, and is not finished")

    def sampled_blocks(self, count: int, size: int) -> list[tuple[int, tuple[slice, ...]]]:
        """Time point and pixels of blocks drawn evenly over the volume, with repetition, always the same ones.

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
    storage_options: dict[str, Any] | None = None,
    missing: str = "fill",
    region: Sequence[slice] | None = None,
    wait: int | float = 0,
) -> Source:
    """Opens a volume to read from, where a path alone says too little: `predict_volume` and others take the result.

    Args:
        source: path or fsspec URI of a Zarr v2 or v3 array, of an OME-Zarr image, or of a TIFF file; a zarr array,
            group or store; or anything with `shape`, `dtype` and slicing (numpy, memmap, h5py, dask). A `Source` is
            returned as it is.
        axes: a letter for each axis, t, c, z, y and x in any order; by default those that OME-Zarr or TIFF names,
            else "zyx", or "yx" for two axes.
        level: of an OME-Zarr or TIFF image; 0 is the finest.
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
    """
    checked_missing = check_missing(missing)
    seconds = number("wait", wait, least=0)
    if isinstance(source, Source):
        if axes is not None and axes.lower() != source.axes:
            fail("axes", f"{source.axes!r}, as the source was opened with", repr(axes), "give them to `open_source`")
        return source
    integer("level", level, least=0)
    if isinstance(source, str | Path):
        source = check_uri("source", source, storage_options)
        if tiff.is_tiff(source):
            return _open_tiff(source, axes, level)
    name = source if isinstance(source, str) else f"the {type(source).__name__} given"
    array = _open_array(source, storage_options)
    metadata_axes, geometry = None, ome.Geometry()
    if not hasattr(array, "shape"):  # a group
        array, metadata_axes, geometry = _open_level(array, name, level)
    elif level:
        fail("level", "0 for an array without levels", level)
    if check_finished(array, name, region=region, wait=seconds):
        checked_missing = "error"
    chosen = _choose_axes(axes, metadata_axes, len(array.shape))
    zarr_format = getattr(getattr(array, "metadata", None), "zarr_format", None)
    by_address = {"source": source, "axes": chosen, "level": level, "storage_options": storage_options}
    opened = by_address if isinstance(source, str) else None
    within = None if region is None else tuple(region)
    return Source(name, array, chosen, geometry, zarr_format, opened, checked_missing, within)


def with_missing(source: Source, missing: Any) -> Source:
    """The source with what a missing chunk stands for; one that was opened to refuse them goes on doing so.

    Raises:
        ValueError: neither "fill" nor "error".
    """
    return replace(source, missing="error" if source.missing == "error" else check_missing(missing))


def _open_tiff(path: str, axes: str | None, level: int) -> Source:
    """A TIFF file; axes that are asked for go before those that it names, and are without its pixel sizes."""
    array, tiff_axes, geometry = tiff.open_level(path, level)
    if axes is None and not set(tiff_axes) <= set(axis_names.ORDER):
        mend = f"say which they are, such as axes={axis_names.default_axes(len(tiff_axes))!r}"
        fail("axes", "axes among t, c, z, y and x", f"{tiff_axes!r} in {path}, as the TIFF file has them", mend)
    chosen = axis_names.check_axes(tiff_axes if axes is None else axes, len(tiff_axes))
    known = geometry if chosen == tiff_axes else ome.Geometry()
    return Source(path, array, chosen, known, None, {"source": path, "axes": chosen, "level": level})


def _open_array(source: Any, storage_options: dict[str, Any] | None) -> Any:
    """A zarr array or group, or the array given."""
    if all(hasattr(source, name) for name in ("shape", "dtype", "__getitem__")):
        return source
    zarr = require("zarr", "volume")
    bfloat16.register()
    if isinstance(source, zarr.Group):
        return source
    expected = "a Zarr array, an OME-Zarr image, a TIFF file or an array"
    if not isinstance(source, str | require("zarr.abc.store", "volume").Store):
        fail("source", expected, type(source).__name__)
    try:
        place = for_zarr(source) if isinstance(source, str) else source
        return patiently(lambda: zarr.open(place, mode="r", storage_options=storage_options))
    except (OSError, ValueError, TypeError, KeyError) as error:
        fail("source", expected, f"none at {str(source)!r} ({reason(error)})")


def _open_level(group: Any, name: str, level: int) -> tuple[Any, str | None, ome.Geometry]:
    """The array of one level of an OME-Zarr image, the axes that its metadata name, and its pixel sizes."""
    image = ome.multiscale(group.attrs.asdict())
    if image is None:
        found = f"a group with {_contents(group)} at {name}"
        fail("source", "an array or an OME-Zarr image", found, "name one of them")
    path, axes, geometry = ome.read_level(image, level)
    return patiently(lambda: group[path]), axes, geometry


def _contents(group: Any) -> str:
    """What in a group may have been meant, for people."""
    arrays = sorted(path for path, _ in group.arrays())
    is_image = {path: ome.multiscale(member.attrs.asdict()) is not None for path, member in group.groups()}
    images = sorted(path for path in is_image if is_image[path])
    kinds = (("arrays", arrays), ("images", images), ("groups", [] if arrays or images else sorted(is_image)))
    return " and ".join(f"{kind} {', '.join(names)}" for kind, names in kinds if names) or "no arrays"


def _choose_axes(asked: str | None, metadata: str | None, ndim: int) -> str:
    """The axes: those of the metadata, with which the caller may only agree, or else the caller's, or the default."""
    if metadata is not None:
        if asked is not None and asked.lower() != metadata:
            mend = "leave `axes` out, or open the array itself by its path"
            fail("axes", f"{metadata!r}, as the source's metadata say", repr(asked), mend)
        return axis_names.check_axes(metadata, ndim)
    default = axis_names.default_axes(ndim)
    if asked is None and ndim > 3:
        fail("axes", f"a letter for each of the source's {ndim} axes", "none", f"say {default!r}")
    return axis_names.check_axes(default if asked is None else asked, ndim)
