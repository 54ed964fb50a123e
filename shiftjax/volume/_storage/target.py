"""Where pixels go: an OME-Zarr group with one array, `0`, or such a group for each of several outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._storage import axes as axis_names
from shiftjax.volume._storage import bfloat16
from shiftjax.volume._storage import ome_zarr as ome
from shiftjax.volume._storage.casting import cast
from shiftjax.volume._storage.chunks import chunk_keys, every_chunk, stored_keys
from shiftjax.volume._storage.errors import storage_errors
from shiftjax.volume._storage.journal import Journal
from shiftjax.volume._storage.layout import Layout, native_dtype
from shiftjax.volume._storage.new_target import KEY, NewTarget, as_new_target, claim
from shiftjax.volume._storage.provenance import Provenance

LAYOUT = "target layout"  # the entry of the provenance that lists the arrays and how they are stored


@dataclass(frozen=True)
class Target:
    """A target to write to: one array for each output, by name; `""` where there is one only."""

    uri: str
    arrays: Mapping[str, Any]
    axes: str
    storage_options: dict[str, Any] | None = field(default=None, repr=False)  # may hold credentials

    def write(self, slices: Sequence[slice], images: Mapping[str, np.ndarray], *, time: int = 0) -> None:
        """Writes what a tile delivers; returns when it is stored.

        Args:
            slices: pixels per spatial axis (z, y, x).
            images: per array, `(1, *space, channel)` of at least these pixels; what is beyond them is cut off.
            time: the time point.

        Raises:
            VolumeError: it could not be written, or holds a number beyond the array's type; names the pixels.
        """
        shape = next(iter(self.arrays.values())).shape
        index = axis_names.block_index(self.axes, slices, time, shape)
        inside = (slice(None), *(slice(part.stop - part.start) for part in slices))
        with storage_errors(f"write pixels {axis_names.describe(self.axes, slices, time, shape)} of {self.uri}"):
            for name, array in self.arrays.items():
                image = cast(np.asarray(images[name])[inside], array.dtype)
                array[index] = axis_names.from_image(image, self.axes)

    def lost(self, written: Iterable[tuple[int, Sequence[slice]]]) -> Iterator[bool]:
        """For each tile that was written, by time point and pixels, whether some chunk of it has been removed since.

        Raises:
            VolumeError: the chunks cannot be listed.
        """
        stored = {name: stored_keys(self._folder(name), self.storage_options) for name in self.arrays}
        shape = next(iter(self.arrays.values())).shape
        for time, slices in written:
            index = axis_names.block_index(self.axes, slices, time, shape)
            yield not all(chunk_keys(array, index) <= stored[name] for name, array in self.arrays.items())

    def journal(self, name: str = "journal", *, seconds: int | float | None = None) -> Journal:
        """A journal of the work on this target; it lies beside the chunks of the first array.

        Raises:
            VolumeError: it cannot be read.
        """
        folder = f"{self._folder(next(iter(self.arrays)))}/{name}"
        return Journal(folder, seconds=seconds, storage_options=self.storage_options)

    def _folder(self, name: str) -> str:
        """Of the array of this name."""
        return "/".join(part for part in (self.uri.rstrip("/"), name, "0") if part)

    def __reduce__(self) -> Any:
        # Another process opens the target for itself: what this one has opened may hold locks or connections.
        return partial(open_target, mode="r+"), (NewTarget(self.uri, storage_options=self.storage_options),)


def begin_target(
    new: NewTarget,
    layouts: Mapping[str, Layout],
    *,
    provenance: Provenance,
    resume: bool = True,
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
        title: of the image, where there is a single array.
        entries: of the OME metadata beside `multiscales`.

    Raises:
        VolumeError: a target that other work began, that is not shiftjax's, or that cannot be written.
    """
    first = next(iter(layouts.values()))
    expected = {**provenance, LAYOUT: {name: _distinctive(layout) for name, layout in layouts.items()}}
    arrays = {}
    with storage_errors(f"write to the target {new.path}"), every_chunk():
        group = claim(new, expected, resume=resume, zarr_format=first.zarr_format)
        for name, layout in layouts.items():
            image = group.require_group(name) if name else group
            if ome.multiscale(image.attrs.asdict()) is None:
                more = {"assumed": layout.assumed, **entries}
                described = ome.attributes(layout.axes, layout.geometry, first.zarr_format, name or title, **more)
                image.attrs.update(described)
            arrays[name] = image["0"] if "0" in image else _create(image, layout)
    return Target(new.path, arrays, first.axes, new.storage_options)


def _distinctive(layout: Layout) -> dict[str, Any]:
    """The parts of a layout that tell targets apart, JSON-serialisable."""
    return {"axes": layout.axes, "shape": list(layout.shape), "chunks": list(layout.chunks), "dtype": layout.dtype}


def _create(group: Any, layout: Layout) -> Any:
    named: dict[str, Any] = {"dimension_names": list(layout.axes)} if layout.zarr_format == 3 else {}
    return group.create_array(
        "0",
        shape=layout.shape,
        chunks=layout.chunks,
        dtype=native_dtype(layout.dtype),
        chunk_key_encoding={"name": "v2" if layout.zarr_format == 2 else "default", "separator": "/"},
        fill_value=0,
        **named,
    )


def open_target(target: str | Path | NewTarget, *, mode: str = "r") -> Target:
    """Opens a target that `begin_target` made, for another process to write to ("r+") or to read from ("r").

    Raises:
        VolumeError: there is none.
    """
    zarr = require("zarr", "volume")
    bfloat16.register()
    new = as_new_target(target)
    with storage_errors(f"open a target of shiftjax at {new.path}"), every_chunk():
        group = zarr.open_group(new.path, mode=mode, storage_options=new.storage_options)
        layouts = group.attrs[KEY][LAYOUT]
        arrays = {name: group[f"{name}/0" if name else "0"] for name in layouts}
    return Target(new.path, arrays, next(iter(layouts.values()))["axes"], new.storage_options)


def open_prediction(target: str | Path | NewTarget, *, output: str = "") -> Any:
    """A finished target as a zarr array to read from, bfloat16 included.

    Args:
        target: what `predict_volume` was given.
        output: the name of one of several outputs.

    Returns:
        The array; its axes are in the order t, c, z, y, x, as far as it has them.

    Raises:
        VolumeError: there is none.
        ValueError: no such output.
    """
    arrays = open_target(target).arrays
    if output not in arrays:
        fail("output", "one of " + ", ".join(map(repr, arrays)), repr(output))
    return arrays[output]
