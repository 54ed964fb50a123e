"""Opening a volume to read from: at an address, or an object that is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from shiftjax._checks import fail, integer, number, shown, switch
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._sources import formats
from shiftjax.volume._sources.naming import name_axes
from shiftjax.volume._sources.source import Source, seen_as
from shiftjax.volume._sources.stored import Stored
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.finished import bounds_of, check_finished, check_slices, noted
from shiftjax.volume._storage.reading import Missing, check_missing
from shiftjax.volume._storage.uri import check_uri


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
        missing: what to do where a Zarr array lacks a chunk: "fill" takes the array's fill value (such chunks are
            counted), "error" stops. A finished result of shiftjax must have every chunk.
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
        if region is not None and noted(stored.array, name) is None:
            space = axis_names.spatial(named.axes)
            bounds_of(region, [int(stored.array.shape[named.axes.index(axis)]) for axis in space])
        left_out = check_finished(stored.array, name, region=region, wait=wait)
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
        reopen=partial(open_source, source, axes=axes, **asked) if by_address else None,
        missing="error" if left_out is not None and not left_out.numbers else missing,
        region=region,
        left_out=left_out,
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
        source = seen_as(source, channel=channel)
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
