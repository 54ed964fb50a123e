"""The arrays of a target: made with checksums in their chunks, found again, or refused where they were replaced."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from shiftjax._extras import require
from shiftjax.volume._sources import ome_zarr as ome
from shiftjax.volume._storage.chunks import chunk_keys
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.finished import NOTE
from shiftjax.volume._storage.folder import open_folder
from shiftjax.volume._storage.retry import patiently
from shiftjax.volume._targets.layout import Layout, native_dtype
from shiftjax.volume._targets.new_target import ADVICE, NewTarget, drop_torn


def distinctive(layout: Layout) -> dict[str, Any]:
    """The parts of a layout that tell targets apart, JSON-serialisable."""
    return {"axes": layout.axes, "shape": list(layout.shape), "chunks": list(layout.chunks), "dtype": layout.dtype}


def _create(group: Any, layout: Layout, attributes: dict[str, Any]) -> Any:
    """An array whose chunks carry a checksum that every reader checks."""
    options: dict[str, Any]
    if layout.zarr_format == 3:
        codecs = require("zarr.codecs", "volume")
        options = {"dimension_names": list(layout.axes), "compressors": [codecs.ZstdCodec(), codecs.Crc32cCodec()]}
    else:  # one compressor only, which has a checksum of its own
        options = {"compressors": require("numcodecs", "volume").Zstd(checksum=True)}
    return group.create_array(
        "0",
        shape=layout.shape,
        chunks=layout.chunks,
        dtype=native_dtype(layout.dtype),
        chunk_key_encoding={"name": "v2" if layout.zarr_format == 2 else "default", "separator": "/"},
        fill_value=0,
        attributes=attributes,
        **options,
    )


def begin_array(
    new: NewTarget, group: Any, name: str, layout: Layout, described: dict[str, Any], notes: dict[str, Any]
) -> Any:
    """The array of an output, made or found, in its own group or in the target's; may be done again and again.

    Raises:
        VolumeError: it was replaced.
    """
    folder = f"{new.path.rstrip('/')}/{name}".rstrip("/")
    if name:
        drop_torn(open_folder(folder, new.storage_options))
    image = group.require_group(name) if name else group
    if ome.multiscale(image.attrs.asdict()) is None:
        image.attrs.update(described)
    drop_torn(open_folder(f"{folder}/0", new.storage_options))
    array = image["0"] if "0" in image else _create(image, layout, notes)
    _check_array(array, layout, folder, notes)
    if any(array.attrs.get(key) != value for key, value in notes.items()):
        array.attrs.update(notes)
    return array


def _check_array(array: Any, layout: Layout, path: str, notes: dict[str, Any]) -> None:
    """Refuses an array that was replaced since the target was begun."""
    noted, work = array.attrs.get(NOTE), notes.get(NOTE, {}).get("work")
    if isinstance(noted, dict) and work is not None and noted.get("work", work) != work:
        raise VolumeError(f"the array at {path} is that of other work, put in the place of the one here; {ADVICE}")
    expected = (layout.shape, layout.chunks, native_dtype(layout.dtype), 0, None)
    found = (array.shape, array.chunks, array.dtype, array.fill_value, getattr(array, "shards", None))
    key = next(iter(chunk_keys(array, [slice(0, 1)] * array.ndim)))
    if found != expected or not key.endswith("0/" * (array.ndim - 1) + "0"):
        raise VolumeError(
            f"the array at {path} is not the one that was begun: expected shape {expected[0]}, chunks {expected[1]} "
            f"and {expected[2]}, found {found[0]}, {found[1]} and {found[2]}; {ADVICE}"
        )


def sync_metadata(new: NewTarget, layouts: Mapping[str, Layout], zarr_format: int) -> None:
    """Makes the metadata of a target durable, which zarr wrote."""
    folder = open_folder(new.path, new.storage_options)
    kinds = ("zarr.json",) if zarr_format == 3 else (".zgroup", ".zattrs", ".zarray")
    places = ["", *(f"{name}/" for name in layouts if name), *(f"{name}/0/".lstrip("/") for name in layouts)]
    for place in places:
        present = set(open_folder(f"{new.path.rstrip('/')}/{place}".rstrip("/"), new.storage_options).names())
        patiently(partial(folder.sync, [place + kind for kind in kinds if kind in present]))
