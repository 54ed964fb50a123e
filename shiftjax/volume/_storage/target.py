"""Where pixels go: an OME-Zarr group with one array, `0`, whose chunks no two tiles share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._storage import axes as axis_names
from shiftjax.volume._storage import bfloat16
from shiftjax.volume._storage import ome_zarr as ome
from shiftjax.volume._storage.casting import cast
from shiftjax.volume._storage.chunks import every_chunk, keys, stored
from shiftjax.volume._storage.errors import WAIT, VolumeError, reason
from shiftjax.volume._storage.journal import Journal
from shiftjax.volume._storage.provenance import Identity, differences
from shiftjax.volume._storage.source import Source
from shiftjax.volume._storage.uri import check_place

KEY = "shiftjax"  # of the group's attributes: what the target was made from
TORN = frozenset({".zattrs"})  # what may be there when the process that made a Zarr v2 group was killed
GROUP = TORN | {".zgroup", "zarr.json"}  # what an empty group consists of
RACES = ("ContainsGroupError", "ContainsArrayError")  # of zarr: there now, though not a moment ago
CHUNK_BYTES = 2**22  # uncompressed; larger tiles are stored as several chunks


@dataclass(frozen=True)
class Layout:
    """An array to be written.

    Attributes:
        axes: letters in the order t, c, z, y, x.
        shape: one length for each axis.
        chunks: likewise.
        dtype: name of its type.
        geometry: of its pixels.
    """

    axes: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    geometry: ome.Geometry = field(default_factory=ome.Geometry)


def layout(source: Source, tile: Sequence[int], *, channels: int | None, dtype: str) -> Layout:
    """The layout of an array on the pixels of `source`.

    Args:
        source: whose time points, space and pixel sizes it takes over.
        tile: pixels that a tile writes, per spatial axis; chunks divide it, so that no two tiles share one.
        channels: length of c; None for no such axis (labels).
        dtype: such as "float32", "bfloat16" or "uint64".
    """
    native = _dtype(dtype)
    space = axis_names.spatial(source.axes)
    axes = "t" * ("t" in source.axes) + "c" * (channels is not None) + space
    count = 1 if channels is None else channels
    lengths = {"t": source.times, "c": count, **dict(zip(space, source.space, strict=True))}
    parts = dict(zip(space, _chunk(tile, count * native.itemsize), strict=True))
    chunks = {"t": 1, "c": count, **parts}
    shape = tuple(lengths[name] for name in axes)
    return Layout(axes, shape, tuple(chunks[name] for name in axes), native.name, source.geometry)


def _dtype(name: str) -> np.dtype:
    bfloat16.register()  # so that NumPy knows the name
    try:
        return np.dtype(name)
    except TypeError:
        fail("dtype", "the name of a type, such as 'float32' or 'bfloat16'", repr(name))


def _chunk(tile: Sequence[int], width: int) -> tuple[int, ...]:
    """A tile halved (or cut by its smallest factor) along its longest axis until a chunk of it is small."""
    chunk = list(tile)
    while np.prod(chunk, dtype=np.int64) * width > CHUNK_BYTES:
        axis = int(np.argmax(chunk))
        factor = next((f for f in (2, 3, 5, 7) if chunk[axis] % f == 0), None)
        if factor is None:
            break
        chunk[axis] //= factor
    return tuple(chunk)


@dataclass(frozen=True)
class Target:
    """A target to write to: one array for each output, by name; `""` where there is one only."""

    uri: str
    arrays: Mapping[str, Any]
    axes: str
    storage_options: dict[str, Any] | None = None

    def write(self, slices: Sequence[slice], images: Mapping[str, np.ndarray], *, time: int = 0) -> None:
        """Writes what a tile delivers; returns when it is stored.

        Args:
            slices: pixels per spatial axis (z, y, x).
            images: per array, `(1, *space, channel)` of at least these pixels; what is beyond them is cut off.
            time: the time point.

        Raises:
            VolumeError: it could not be written, or holds a number beyond the array's type; names the pixels.
        """
        places: dict[str, Any] = {"t": slice(time, time + 1), **_named(self.axes, slices)}
        index = tuple(places.get(name, slice(None)) for name in self.axes)
        kept = (slice(None), *(slice(at.stop - at.start) for at in slices))
        try:
            for name, array in self.arrays.items():
                image = cast(np.asarray(images[name])[kept], array.dtype)
                array[index] = axis_names.from_image(image, self.axes)
        except Exception as error:  # whatever the storage and its codecs raise
            where = axis_names.pixels(self.axes, slices) + (f" at time {time}" if "t" in self.axes else "")
            raise VolumeError(f"cannot write pixels {where} of {self.uri} ({reason(error)})") from error

    def lost(self, written: Iterable[tuple[int, Sequence[slice]]]) -> Iterator[bool]:
        """For each tile that was written, by time point and pixels, whether some chunk of it is not there any more."""
        there = {name: stored(self._folder(name), self.storage_options) for name in self.arrays}
        for time, slices in written:
            places: dict[str, Any] = {"t": slice(time, time + 1), "c": slice(0, 1), **_named(self.axes, slices)}
            at = [places[axis] for axis in self.axes]  # c has one chunk only
            yield not all(keys(array, at) <= there[name] for name, array in self.arrays.items())

    def _folder(self, name: str) -> str:
        """Of the array of this name."""
        return "/".join([self.uri.rstrip("/"), *[name] * bool(name), "0"])

    def journal(self, name: str = "journal", *, seconds: int | float | None = None) -> Journal:
        """The journal of the work on this target; it lies beside the chunks of the first array."""
        folder = f"{self._folder(next(iter(self.arrays)))}/{name}"
        try:
            return Journal(folder, seconds=seconds, storage_options=self.storage_options)
        except OSError as error:
            raise VolumeError(f"cannot read the journal of {self.uri} ({reason(error)})") from error


def _named(axes: str, slices: Sequence[slice]) -> dict[str, slice]:
    return dict(zip(axis_names.spatial(axes), slices, strict=True))


def begin_target(
    target: str | Path,
    layouts: Mapping[str, Layout],
    *,
    identity: Identity,
    resume: bool = True,
    zarr_format: int = 3,
    storage_options: dict[str, Any] | None = None,
    title: str = "prediction",
    **more: Any,
) -> Target:
    """Makes the target of some work, or opens the one that the same work began.

    Args:
        target: path or fsspec URI.
        layouts: of its arrays by name, all with the same axes; `""` for a single one, which lies in the group itself
            instead of a group of its own.
        identity: what the work is made from.
        resume: whether a target that the same work began may be gone on with.
        zarr_format: 2 (OME-Zarr 0.4) or 3 (OME-Zarr 0.5).
        storage_options: for fsspec.
        title: of the image, where there is a single array.
        more: entries of the OME metadata beside `multiscales`.

    Raises:
        VolumeError: a target that other work began, that is not shiftjax's, or that cannot be written.
        ValueError: bfloat16 in Zarr v2.
    """
    if zarr_format == 2 and any(each.dtype == bfloat16.NAME for each in layouts.values()):
        fail("dtype", "a type that Zarr v2 has", bfloat16.NAME, "write Zarr v3 with `zarr_format=3`")
    uri = check_place("target", target, storage_options)
    wanted = {**identity, "target": {name: _plain(each) for name, each in layouts.items()}}
    try:
        group = _claim(uri, wanted, resume, zarr_format, storage_options)
        arrays = {}
        for name, each in layouts.items():
            described = ome.attributes(each.axes, each.geometry, zarr_format, name or title, **more)
            place = group.require_group(name) if name else group
            if ome.multiscale(place.attrs.asdict()) is None:
                place.attrs.update(described)
            with every_chunk():
                arrays[name] = place["0"] if "0" in place else _create(place, each, zarr_format)
    except VolumeError:
        raise
    except Exception as error:  # whatever the storage raises
        if type(error).__name__ in RACES:
            raise VolumeError(f"another process is making the target {uri} now; {WAIT}") from error
        raise VolumeError(f"cannot write to the target {uri} ({reason(error)})") from error
    return Target(uri, arrays, next(iter(layouts.values())).axes, storage_options)


def _plain(each: Layout) -> dict[str, Any]:
    """What of a layout tells targets apart, as JSON keeps it."""
    return {"axes": each.axes, "shape": list(each.shape), "chunks": list(each.chunks), "dtype": each.dtype}


def _claim(uri: str, wanted: Identity, resume: bool, zarr_format: int, options: dict[str, Any] | None) -> Any:
    """The group at `uri`: made, or found to be of the same work."""
    zarr = require("zarr", "volume")
    advice = "choose another target, or remove it first"
    names = _names(uri, options)
    if not names - TORN:
        return zarr.create_group(uri, zarr_format=zarr_format, attributes={KEY: wanted}, storage_options=options)
    try:
        group = zarr.open_group(uri, mode="r+", storage_options=options)
    except (FileNotFoundError, ValueError, AssertionError):  # an early zarr 3.1 asserts
        raise VolumeError(f"the target {uri} holds data that are no Zarr group; {advice}") from None
    attributes = group.attrs.asdict()
    if not attributes and not names - GROUP:
        group.attrs.update({KEY: wanted})
        return group
    if KEY not in attributes:
        raise VolumeError(f"the target {uri} holds data that shiftjax did not write; {advice}")
    if not resume:
        raise VolumeError(f"the target {uri} exists already; {advice}, or go on with it by `resume=True`")
    other = differences(attributes[KEY], wanted)
    if group.metadata.zarr_format != zarr_format:
        other = [*other, "Zarr format"]
    if other:
        raise VolumeError(f"the target {uri} was made with another {' and another '.join(other)}; {advice}")
    return group


def _names(uri: str, options: dict[str, Any] | None) -> set[str]:
    """What lies in a folder, without what a killed process had not written to its end."""
    files, path = require("fsspec.core", "volume").url_to_fs(uri, **(options or {}))
    files.invalidate_cache()
    if not files.exists(path):
        return set()
    if not files.isdir(path):
        raise VolumeError(f"the target {uri} is a file; choose another target, or remove it first")
    names = {name.rstrip("/").rpartition("/")[2] for name in files.ls(path, detail=False)}
    return {name for name in names if not name.endswith(".partial")}


def _create(group: Any, each: Layout, zarr_format: int) -> Any:
    more: dict[str, Any] = {"dimension_names": list(each.axes)} if zarr_format == 3 else {}
    keys = {"name": "v2" if zarr_format == 2 else "default", "separator": "/"}
    native = _dtype(each.dtype)
    return group.create_array(
        "0", shape=each.shape, chunks=each.chunks, dtype=native, chunk_key_encoding=keys, fill_value=0, **more
    )


def open_target(target: str | Path, *, mode: str = "r", storage_options: dict[str, Any] | None = None) -> Target:
    """Opens a target that `begin_target` made, for another process to write to ("r+") or to read from ("r").

    Raises:
        VolumeError: there is none.
    """
    zarr = require("zarr", "volume")
    bfloat16.register()
    uri = check_place("target", target, storage_options)
    try:
        group = zarr.open_group(uri, mode=mode, storage_options=storage_options)
        layouts = group.attrs[KEY]["target"]
        with every_chunk():
            arrays = {name: group[f"{name}/0" if name else "0"] for name in layouts}
    except (OSError, KeyError) as error:
        raise VolumeError(f"no target of shiftjax at {uri} ({reason(error)})") from error
    return Target(uri, arrays, next(iter(layouts.values()))["axes"], storage_options)


def open_prediction(target: str | Path, *, output: str = "", storage_options: dict[str, Any] | None = None) -> Any:
    """A finished target as a zarr array to read from, bfloat16 included.

    Args:
        target: what was given to `predict_volume`.
        output: which of several outputs.
        storage_options: for fsspec.

    Returns:
        The array; its axes are in the order t, c, z, y, x, as far as it has them.

    Raises:
        VolumeError: there is none.
        ValueError: no such output.
    """
    arrays = open_target(target, storage_options=storage_options).arrays
    if output not in arrays:
        fail("output", "one of " + ", ".join(map(repr, arrays)), repr(output))
    return arrays[output]
