"""Zarr: arrays, OME-Zarr images and zip files of either, by path, by URI or as objects of zarr-python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Any

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._sources import ome_zarr as ome
from shiftjax.volume._sources.axes import letters
from shiftjax.volume._sources.stored import Stored
from shiftjax.volume._storage import bfloat16
from shiftjax.volume._storage.errors import reason
from shiftjax.volume._storage.retry import patiently
from shiftjax.volume._storage.uri import for_zarr, is_local

EXPECTED = "a Zarr array, an OME-Zarr image, a TIFF file or an array"
ZIPS = (".zip", ".ozx")
DEPTH = 2  # groups above an array in which an image may be that lists it: `image/0`, `image/scale0/image`


def is_zip(name: str) -> bool:
    """Whether a path is that of a zipped Zarr."""
    return name.lower().endswith(ZIPS)


def is_folder(path: str) -> bool:
    """Whether a folder of this machine is a Zarr array or group."""
    return any(os.path.isfile(os.path.join(path, name)) for name in ("zarr.json", ".zgroup", ".zarray"))


def open_zarr(source: Any, name: str, level: int, storage_options: dict[str, Any] | None = None) -> Stored:
    """The array of one level of an image, or an array without levels.

    Args:
        source: path, URI, store, group or array.
        name: for messages.
        level: 0 is the finest.
        storage_options: for the file system.

    Raises:
        ValueError: nothing there, not an image, or no such level.
    """
    zarr = require("zarr", "volume")
    bfloat16.register()
    if isinstance(source, zarr.Array):
        node = source
        _check_fresh(zarr, source, name)
    else:
        node = _open(zarr, source.store_path if isinstance(source, zarr.Group) else source, storage_options)
    if isinstance(node, zarr.Group):
        image = ome.multiscale(_attributes(node))
        if image is None:
            found = f"a group with {_contents(node)} at {name}"
            fail("source", "an array or an OME-Zarr image", found, "name one of them")
        return _level(zarr, node, image, level)
    if level:
        fail("level", "0 for an array without levels", level)
    return _array(zarr, node, source if isinstance(source, str) else None, storage_options)


def _open(zarr: Any, source: Any, storage_options: dict[str, Any] | None) -> Any:
    try:
        if isinstance(source, str) and is_local(source) and is_zip(source):
            source = zarr.storage.ZipStore(source, mode="r")
        where = for_zarr(source) if isinstance(source, str) else source
        # Consolidated metadata may be older than the arrays: of another shape, say.
        options = {"storage_options": storage_options, "use_consolidated": False}
        return patiently(lambda: zarr.open(where, mode="r", **options))
    except Exception as error:  # whatever the store, the file system or the metadata raise
        at = f"none at {str(source)!r} ({reason(error)})"
        zipped = isinstance(source, zarr.storage.ZipStore)
        mend = "zip the contents of the Zarr folder, without the folder" if zipped else ""
        fail("source", EXPECTED, at, mend)


def _check_fresh(zarr: Any, array: Any, name: str) -> None:
    """Refuses an array whose metadata are not those that are stored, as of a group with older consolidated ones."""
    stored = _open(zarr, array.store_path, None)
    if isinstance(stored, zarr.Array):  # what is gone is told when it is read
        here, there = ((each.shape, each.chunks, each.dtype) for each in (array, stored))
        if here != there:
            expected = f"the array that is stored now, of shape {there[0]}, chunks {there[1]} and {there[2]}"
            fail("source", expected, f"{here[0]}, {here[1]} and {here[2]} in {name}", "open it anew")


def _attributes(node: Any) -> Mapping[str, Any]:
    return node.attrs.asdict()


def _level(zarr: Any, group: Any, image: Mapping[str, Any], level: int) -> Stored:
    levels = ome.read_levels(image)
    if level >= len(levels):
        fail("level", f"0 to {len(levels) - 1}", level)
    path, names, geometry, assumed = levels[level]
    try:
        array = patiently(lambda: group[path])
    except Exception as error:  # nothing there, or nothing that zarr understands
        fail("source", "the array that OME-Zarr's `datasets` name", f"none at {path!r} ({reason(error)})")
    if not isinstance(array, zarr.Array):
        fail("source", "the array that OME-Zarr's `datasets` name", f"a group at {path!r}")
    if len(names) != array.ndim:
        fail("source", f"{array.ndim} axes of the OME-Zarr image, as its array has", f"{len(names)} in its metadata")
    every = tuple(range(array.ndim))
    return Stored(array, names, geometry, repr(names), every, assumed, array.metadata.zarr_format)


def _array(zarr: Any, array: Any, uri: str | None, storage_options: dict[str, Any] | None) -> Stored:
    """An array with the names that an image around it gives, or that it has itself."""
    image = _image_around(zarr, array, uri, storage_options)
    plain = Stored(array, None, zarr_format=array.metadata.zarr_format)
    if image is not None and len(image.axes) == array.ndim:
        said = f"{image.axes!r}, as the image around the array has them"
        return plain._replace(names=image.axes, geometry=image.geometry, said=said, assumed=image.assumed)
    names = getattr(array.metadata, "dimension_names", None) or _attributes(array).get("_ARRAY_DIMENSIONS")
    if not isinstance(names, list | tuple) or len(names) != array.ndim or not any(names):
        return plain
    return plain._replace(names=letters(names), said=repr(list(names)))


def _image_around(zarr: Any, array: Any, uri: str | None, storage_options: dict[str, Any] | None) -> ome.Level | None:
    """The level of an image in a group above that lists this array; None where there is none, or it makes no sense."""
    path, store = array.path.strip("/"), array.store
    if not path and uri is None and hasattr(store, "root"):
        uri = str(store.root)
    for depth in range(1, DEPTH + 1):
        parts = (path or str(uri or "").rstrip("/")).split("/")
        within, where = "/".join(parts[-depth:]), "/".join(parts[:-depth])
        options: dict[str, Any] = {"path": where} if path else {"storage_options": storage_options}
        above = store if path else for_zarr(where)
        try:
            known = depth <= len(parts) if path else bool(where)
            open_group = partial(zarr.open_group, above, mode="r", use_consolidated=False, **options)
            group = patiently(open_group) if known else None
            image = None if group is None else ome.multiscale(_attributes(group))
            levels = [] if image is None else ome.read_levels(image)
        except Exception:  # no group there, or no image: the array stands for itself
            continue
        for level in levels:
            if PurePath(level.path) == PurePath(within):
                return level
    return None


def _contents(group: Any) -> str:
    """What in a group may have been meant, for people."""
    try:
        arrays = sorted(path for path, _ in group.arrays())
        is_image = {path: _is_image(member) for path, member in group.groups()}
    except Exception as error:  # one of its members is damaged
        return f"members that cannot be read ({reason(error)})"
    images = sorted(path for path in is_image if is_image[path])
    kinds = (("arrays", arrays), ("images", images), ("groups", [] if arrays or images else sorted(is_image)))
    return " and ".join(f"{kind} {', '.join(names)}" for kind, names in kinds if names) or "no arrays"


def _is_image(group: Any) -> bool:
    try:
        return ome.multiscale(_attributes(group)) is not None
    except ValueError:  # an image of a version that is not read
        return True
