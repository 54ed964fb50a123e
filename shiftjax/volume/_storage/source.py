"""Where pixels come from: Zarr arrays, OME-Zarr images and TIFF stacks by path or URI, and anything like an array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._checks import fail, integer
from shiftjax._extras import require
from shiftjax.volume._storage import axes as axis_names
from shiftjax.volume._storage import bfloat16, tiff
from shiftjax.volume._storage import ome_zarr as ome
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.uri import check_place

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
        opened: what `open_source` was given, where that was a path or URI, so that another process can open it too.
    """

    name: str
    array: Any = field(repr=False)
    axes: str
    geometry: ome.Geometry = field(default_factory=ome.Geometry)
    zarr_format: int | None = None
    opened: tuple[str, str, int, dict[str, Any] | None] | None = None

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

    def at(self, time: int = 0) -> Read:
        """Reads one time point: slices of the spatial axes (z, y, x; within the image) -> `(1, *space, channel)`.

        A chunk that was never written gives the array's fill value.

        Raises:
            VolumeError: by the function returned; a part that cannot be read, with its pixels.
        """

        def read(slices: tuple[slice, ...]) -> np.ndarray:
            places: dict[str, Any] = dict(zip(axis_names.spatial(self.axes), slices, strict=True))
            index = tuple(time if name == "t" else places.get(name, slice(None)) for name in self.axes)
            try:
                block = np.asarray(self.array[index]).astype(self.dtype, copy=False)
            except Exception as error:  # whatever the storage and its codecs raise
                where = axis_names.pixels(self.axes, slices) + (f" at time {time}" if "t" in self.axes else "")
                raise VolumeError(f"cannot read pixels {where} of {self.name} ({reason(error)})") from error
            return axis_names.to_image(block, self.axes.replace("t", ""))

        return read

    def _length(self, name: str) -> int:
        return int(self.array.shape[self.axes.index(name)]) if name in self.axes else 1

    def __reduce__(self) -> Any:
        if self.opened is None:
            return Source, tuple(getattr(self, name) for name in self.__dataclass_fields__)
        return _reopen, self.opened


def open_source(
    source: Any, axes: str | None = None, *, level: int = 0, storage_options: dict[str, Any] | None = None
) -> Source:
    """Opens a volume to read from.

    Args:
        source: path or fsspec URI of a Zarr v2 or v3 array, of an OME-Zarr image, or of a TIFF file; a zarr array,
            group or store; or anything with `shape`, `dtype` and slicing (numpy, memmap, h5py, dask).
        axes: a letter for each axis, t, c, z, y and x in any order; by default those that OME-Zarr or TIFF names,
            else "zyx", or "yx" for two axes.
        level: of an OME-Zarr image; 0 is the finest.
        storage_options: for fsspec.

    Raises:
        ValueError: nothing there, not an image, or other axes than asked for.
    """
    if isinstance(source, Source):
        return source
    integer("level", level, least=0)
    if isinstance(source, str | Path):
        source = check_place("source", source, storage_options)
        if tiff.is_tiff(source):
            return _open_tiff(source, axes, level)
    name = source if isinstance(source, str) else f"the {type(source).__name__} given"
    found = _opened(source, storage_options)
    named, geometry = None, ome.Geometry()
    if not hasattr(found, "shape"):  # a group
        found, named, geometry = _level(found, name, level)
    elif level:
        fail("level", "0 for an array without levels", level)
    chosen = _axes(axes, named, len(found.shape))
    zarr_format = getattr(getattr(found, "metadata", None), "zarr_format", None)
    opened = (source, chosen, level, storage_options) if isinstance(source, str) else None
    return Source(name, found, chosen, geometry, zarr_format, opened)


def _open_tiff(source: str, axes: str | None, level: int) -> Source:
    """A TIFF file; axes that are asked for go before those that it names, and are without its pixel sizes."""
    found, named, geometry = tiff.open_level(source, level)
    if axes is None and not set(named) <= set(axis_names.ORDER):
        mend = f"say which they are, such as axes={axis_names.default_axes(len(named))!r}"
        fail("axes", "axes among t, c, z, y and x", f"{named!r} in {source}, as the TIFF file has them", mend)
    chosen = axis_names.check_axes(named if axes is None else axes, len(named))
    return Source(
        source, found, chosen, geometry if chosen == named else ome.Geometry(), None, (source, chosen, level, None)
    )


def _reopen(source: str, axes: str, level: int, storage_options: dict[str, Any] | None) -> Source:
    return open_source(source, axes, level=level, storage_options=storage_options)


def _opened(source: Any, storage_options: dict[str, Any] | None) -> Any:
    """A zarr array or group, or the array given."""
    if all(hasattr(source, name) for name in ("shape", "dtype", "__getitem__")):
        return source
    zarr = require("zarr", "volume")
    bfloat16.register()
    if isinstance(source, zarr.Group):
        return source
    wanted = "a Zarr array, an OME-Zarr image, a TIFF file or an array"
    if not isinstance(source, str | require("zarr.abc.store", "volume").Store):
        fail("source", wanted, type(source).__name__)
    try:
        return zarr.open(source, mode="r", storage_options=storage_options)
    except (OSError, ValueError, TypeError, KeyError) as error:
        fail("source", wanted, f"none at {str(source)!r} ({reason(error)})")


def _level(group: Any, name: str, level: int) -> tuple[Any, str | None, ome.Geometry]:
    image = ome.multiscale(group.attrs.asdict())
    if image is None:
        fail("source", "an array or an OME-Zarr image", f"a group with {_within(group)} at {name}", "name one of them")
    path, axes, geometry = ome.read_level(image, level)
    return group[path], axes, geometry


def _within(group: Any) -> str:
    """What of a group may have been meant."""
    arrays = sorted(path for path, _ in group.arrays())
    groups = {path: ome.multiscale(found.attrs.asdict()) is not None for path, found in group.groups()}
    images = sorted(path for path in groups if groups[path])
    kinds = (("arrays", arrays), ("images", images), ("groups", [] if arrays or images else sorted(groups)))
    return " and ".join(f"{kind} {', '.join(names)}" for kind, names in kinds if names) or "no arrays"


def _axes(asked: str | None, named: str | None, ndim: int) -> str:
    if named is not None:
        if asked is not None and asked.lower() != named:
            mend = "leave `axes` out, or open the array itself by its path"
            fail("axes", f"{named!r}, as the source's metadata say", repr(asked), mend)
        return axis_names.check_axes(named, ndim)
    if asked is None and ndim > 3:
        fail("axes", f"a letter for each of the source's {ndim} axes", "none", f"say {axis_names.default_axes(ndim)!r}")
    return axis_names.check_axes(axis_names.default_axes(ndim) if asked is None else asked, ndim)
