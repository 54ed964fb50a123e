"""Where pixels go: an OME-Zarr group with one array, `0`, or such a group for each of several outputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._checks import fail, number, shown
from shiftjax._extras import require
from shiftjax.volume._sources import axes as axis_names
from shiftjax.volume._sources import ome_zarr as ome
from shiftjax.volume._storage import bfloat16
from shiftjax.volume._storage.casting import cast
from shiftjax.volume._storage.chunks import chunk_keys, chunks_at, every_chunk
from shiftjax.volume._storage.claim import Claim
from shiftjax.volume._storage.errors import VolumeError, reason, storage_errors
from shiftjax.volume._storage.finished import NOTE, LeftOut, check_finished, check_slices, note
from shiftjax.volume._storage.folder import PARTIAL, Folder, open_folder
from shiftjax.volume._storage.journal import Journal
from shiftjax.volume._storage.reading import add_array
from shiftjax.volume._storage.retry import passes, patiently
from shiftjax.volume._storage.uri import for_zarr
from shiftjax.volume._targets.layout import Layout
from shiftjax.volume._targets.new_target import LAYOUT, NewTarget, as_new_target, bind, stored_layouts
from shiftjax.volume._targets.provenance import VERSIONS, Provenance, versions
from shiftjax.volume._targets.target_array import begin_array, distinctive, sync_metadata

Place = Sequence[slice] | Mapping[str, Sequence[slice]]  # pixels per spatial axis, of all arrays or of each by name


@dataclass(frozen=True)
class Target:
    """A target to write to: one array for each output, by name; `""` where there is one only."""

    uri: str
    arrays: Mapping[str, Any]
    axes: str
    storage_options: dict[str, Any] | None = field(default=None, repr=False)  # may hold credentials

    def write(self, slices: Place, images: Mapping[str, np.ndarray], *, time: int = 0) -> str:
        """Writes what a tile delivers; returns when it is on the disk, or kept by the store.

        Args:
            slices: pixels per spatial axis (z, y, x), of all arrays or of each by name.
            images: per array, `(1, *space, channel)` of at least these pixels; what is beyond them is cut off.
            time: the time point.

        Returns:
            A digest of what was written.

        Raises:
            VolumeError: it could not be written, or holds a number beyond the array's type; names the pixels.
        """
        digest = hashlib.blake2b(digest_size=16)
        for name, array in self.arrays.items():
            pixels = _pixels_of(name, slices)
            if _is_empty(pixels):
                continue  # an output with fewer pixels than the image has none here
            index = axis_names.block_index(self.axes, pixels, time, array.shape)
            inside = (slice(None), *(slice(part.stop - part.start) for part in pixels))
            where = axis_names.describe(self.axes, pixels, time, array.shape)
            with storage_errors(f"write pixels {where} of {self.uri}"):
                image = cast(np.asarray(images[name])[inside], array.dtype)
                block = axis_names.from_image(image, self.axes)
                patiently(partial(self._store, name, index, block))
                add_array(digest, block)
        return digest.hexdigest()

    def _store(self, name: str, index: tuple[slice, ...], block: np.ndarray) -> None:
        """Writes pixels and makes them durable; tried again as a whole, since what was not made so may be forgotten."""
        array = self.arrays[name]
        array[index] = block
        self._folders[name].sync(chunk_keys(array, index))

    def stored_digest(self, slices: Place, time: int = 0) -> str:
        """The digest of what is stored of a tile, as `write` gave it; empty where the chunks are damaged."""
        digest = hashlib.blake2b(digest_size=16)
        try:
            for name, array in self.arrays.items():
                pixels = _pixels_of(name, slices)
                if _is_empty(pixels):
                    continue
                index = axis_names.block_index(self.axes, pixels, time, array.shape)
                add_array(digest, patiently(lambda array=array, index=index: np.asarray(array[index])))  # type: ignore[misc]
        except Exception as error:  # of the codecs, which come from many packages
            if isinstance(error, PermissionError) or passes(error):
                raise VolumeError(f"cannot read {self.uri} again ({reason(error)})") from error
            return ""
        return digest.hexdigest()

    def lost(self, written: Iterable[tuple[int, Place]]) -> Iterator[bool]:
        """For each tile that was written, by time point and pixels, whether some chunk of it has been removed since.

        Raises:
            VolumeError: the chunks cannot be listed.
        """
        stored = {name: self._stored_keys(name) for name in self.arrays}
        for time, slices in written:
            places = [(name, array, _pixels_of(name, slices)) for name, array in self.arrays.items()]
            yield not all(
                chunk_keys(array, axis_names.block_index(self.axes, pixels, time, array.shape)) <= stored[name]
                for name, array, pixels in places
                if not _is_empty(pixels)
            )

    def check_whole(self, name: str, region: Sequence[slice], left_out: LeftOut | None) -> None:
        """Refuses an array of which a chunk is gone, which would be read as zeros.

        Args:
            name: of the array.
            region: of the last axes; all of the others.
            left_out: the tiles whose chunks need not exist; None where no chunk need.

        Raises:
            VolumeError: names the chunk.
        """
        if left_out is None:
            return
        array, stored = self.arrays[name], self._stored_keys(name)
        index = [*[slice(None)] * (array.ndim - len(region)), *region]

        def may_lack(chunk: tuple[slice, ...]) -> bool:
            start = [part.start for part in chunk]
            return left_out.holds(*axis_names.frame_at(self.axes, array.shape, len(left_out.tile), start))

        gone = [key for key, chunk in chunks_at(array, index) if key not in stored and not may_lack(chunk)]
        if gone:
            example = f"such as {min(gone)} of {self._folder(name)}"
            mend = "the call that began it computes them again"
            raise VolumeError(f"{len(gone)} chunks of the prediction {self.uri} are gone, {example}; {mend}")

    def remove_leftovers(self) -> None:
        """Removes what killed writes have left; only who holds the claim may."""
        for name, folder in self._folders.items():
            with storage_errors(f"list the chunks of {self._folder(name)}"):
                for key in folder.sizes():
                    if key.endswith(PARTIAL):
                        folder.remove(key)
        for place in {"", *self.arrays}:
            group = open_folder("/".join(part for part in (self.uri.rstrip("/"), place) if part), self.storage_options)
            for key in group.names():
                if key.endswith(PARTIAL) and key.startswith(("zarr.", ".z")):  # others are somebody's files
                    group.remove(key)

    def journal(self, name: str = "journal", *, seconds: int | float | None = None) -> Journal:
        """A journal of the work on this target; it lies beside the chunks of the first array.

        Raises:
            VolumeError: it cannot be read.
        """
        folder = f"{self._folder(next(iter(self.arrays)))}/{name}"
        return Journal(folder, seconds=seconds, storage_options=self.storage_options)

    def claim(self) -> Claim:
        """The right to write to this target, as a context manager."""
        return Claim(f"{self._folder(next(iter(self.arrays)))}/claim", self.uri, self.storage_options)

    @cached_property
    def _folders(self) -> dict[str, Folder]:
        return {name: open_folder(self._folder(name), self.storage_options) for name in self.arrays}

    def _stored_keys(self, name: str) -> frozenset[str]:
        """Of all objects of an array that are not empty."""
        with storage_errors(f"list the chunks of {self._folder(name)}"):
            return frozenset(key for key, size in self._folders[name].sizes().items() if size)

    def _folder(self, name: str) -> str:
        """Of the array of this name."""
        return "/".join(part for part in (self.uri.rstrip("/"), name, "0") if part)

    def __reduce__(self) -> Any:
        # Another process opens the target for itself: what this one has opened may hold locks or connections.
        return partial(open_target, mode="r+"), (NewTarget(self.uri, storage_options=self.storage_options),)


def _pixels_of(name: str, place: Place) -> Sequence[slice]:
    return place[name] if isinstance(place, Mapping) else place


def _is_empty(pixels: Sequence[slice]) -> bool:
    return any(part.start >= part.stop for part in pixels)


def begin_target(
    new: NewTarget,
    layouts: Mapping[str, Layout],
    *,
    provenance: Provenance,
    resume: bool = True,
    accept_versions: bool = False,
    grid: Sequence[int] | None = None,
    tile: Sequence[int] | Mapping[str, Sequence[int]] = (),
    journal: str = "journal",
    title: str = "prediction",
    **entries: Any,
) -> Target:
    """Makes the target of some work, or opens the one that the same work began.

    Args:
        new: where; its type and format count in the layouts already.
        layouts: of the arrays by name, all with the same axes and format; `""` for a single one, which lies in the
            group itself instead of a group of its own.
        provenance: what the work is made from.
        resume: whether a target that the same work began may be resumed.
        accept_versions: whether that may have been with other versions of the programs that compute.
        grid: time points, then tiles per spatial axis, by which others can tell whether it is finished.
        tile: pixels of a tile per spatial axis, of all arrays or of each by name.
        journal: the name of the journal that lists them.
        title: of the image, where there is a single array.
        entries: of the OME metadata beside `multiscales`.

    Raises:
        VolumeError: a target that other work began, or whose arrays were replaced, that is not shiftjax's, or that
            cannot be written.
    """
    first = next(iter(layouts.values()))
    told_apart = {name: distinctive(layout) for name, layout in layouts.items()}
    expected = {**provenance, VERSIONS: versions(), LAYOUT: told_apart}
    work = hashlib.sha256(json.dumps({**provenance, LAYOUT: told_apart}, sort_keys=True).encode()).hexdigest()
    described = {
        name: ome.attributes(
            layout.axes, layout.geometry, first.zarr_format, name or title, assumed=layout.assumed, **entries
        )
        for name, layout in layouts.items()
    }
    arrays = {}
    with storage_errors(f"write to the target {new.path}"), every_chunk():
        group = bind(
            new,
            expected,
            resume=resume,
            zarr_format=first.zarr_format,
            accept_versions=accept_versions,
            attributes=described.get(""),
        )
        for name, layout in layouts.items():
            up = "" if name == next(iter(layouts)) else f"../../{next(iter(layouts))}/0/"
            notes = (
                {}
                if grid is None
                else {NOTE: note(up + journal, grid, tile[name] if isinstance(tile, Mapping) else tile, work)}
            )
            arrays[name] = patiently(partial(begin_array, new, group, name, layout, described[name], notes))
        sync_metadata(new, layouts, first.zarr_format)
    return Target(new.path, arrays, first.axes, new.storage_options)


def open_target(target: str | Path | NewTarget, *, mode: str = "r") -> Target:
    """Opens a target that `begin_target` made, for another process to write to ("r+") or to read from ("r").

    Raises:
        VolumeError: there is none.
    """
    zarr = require("zarr", "volume")
    bfloat16.register()
    new = as_new_target(target)
    with storage_errors(f"open a target of shiftjax at {new.path}"), every_chunk():
        layouts = stored_layouts(new)  # asked first: zarr would make the folder
        options = {"mode": mode, "storage_options": new.storage_options, "use_consolidated": False}
        group = patiently(lambda: zarr.open_group(for_zarr(new.path), **options))
        arrays = {name: patiently(partial(group.__getitem__, f"{name}/0" if name else "0")) for name in layouts}
    return Target(new.path, arrays, next(iter(layouts.values()))["axes"], new.storage_options)


def open_prediction(
    target: str | Path | NewTarget,
    *,
    output: str = "",
    region: Sequence[slice] | None = None,
    wait: int | float = 0,
) -> Any:
    """A finished target as a zarr array to read from, bfloat16 included.

    Args:
        target: what `predict_volume` was given.
        output: the name of one of several outputs.
        region: slices in pixels, one per spatial axis (z, y, x): only the tiles that meet them need be finished.
        wait: seconds to wait at most until it is finished.

    Returns:
        The array; its axes are in the order t, c, z, y, x, as far as it has them.

    Raises:
        VolumeError: there is none, or it is not finished (says how many tiles are), or chunks of it are gone.
        ValueError: no such output, or no such region.
    """
    found = open_target(target)
    if not isinstance(output, str) or output not in found.arrays:
        fail("output", "one of " + ", ".join(map(repr, found.arrays)), shown(output))
    array, within = found.arrays[output], check_slices(region)
    left_out = check_finished(array, f"the prediction {found.uri}", region=within, wait=number("wait", wait, least=0))
    found.check_whole(output, within or (), left_out)
    return array
