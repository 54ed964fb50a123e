"""Where labels go: `labels/<name>` of an OME-Zarr group, which viewers lay over the image in that group."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from shiftjax._checks import fail, shown
from shiftjax._extras import require
from shiftjax.volume._sources import ome_zarr as ome
from shiftjax.volume._storage.errors import VolumeError, storage_errors
from shiftjax.volume._storage.folder import PARTIAL, open_folder
from shiftjax.volume._storage.uri import for_zarr
from shiftjax.volume._targets.layout import Layout
from shiftjax.volume._targets.new_target import (
    NewTarget,
    make_group,
    open_group,
    put_attributes,
    stored_identity,
    stored_names,
)
from shiftjax.volume._targets.provenance import Provenance
from shiftjax.volume._targets.pyramid import Coarser
from shiftjax.volume._targets.target import Target, begin_target


def check_name(name: Any) -> None:
    """Refuses what cannot be the name of labels."""
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        fail("name", "a name for the labels, without `/`", shown(name))


class Image(NamedTuple):
    """An image that labels lie over: its axes without c, and the shape and geometry of each of its levels."""

    axes: str
    levels: list[Coarser]


def image_in(new: NewTarget) -> Image | None:
    """The image in a group that labels are written to; None where there is none.

    Raises:
        VolumeError: a group that cannot be read.
        ValueError: an image of a version that is not known, or whose metadata make no sense.
    """
    if not stored_names(new):
        return None
    group = open_group(new)
    described = ome.multiscale(group.attrs.asdict())
    if described is None:
        return None
    levels = ome.read_levels(described)
    axes = levels[0].axes
    with storage_errors(f"read the image in {new.path}"):
        shapes = [dict(zip(axes, map(int, group[level.path].shape), strict=True)) for level in levels]
    kept = axes.replace("c", "")
    return Image(kept, [Coarser(tuple(s[a] for a in kept), lv.geometry) for s, lv in zip(shapes, levels, strict=True)])


def over_image(layout: Layout, image: Image) -> tuple[Layout, list[Coarser]]:
    """Labels as the image that they lie over has its pixels: with its axes and sizes, and a level for each of its own.

    Args:
        layout: of the labels.
        image: that they lie over.

    Returns:
        The layout of the finest labels, and the coarser levels.

    Raises:
        ValueError: no level of the image has the pixels of the labels.
    """
    sizes = dict(zip(layout.axes, layout.shape, strict=True))
    chunks = dict(zip(layout.axes, layout.chunks, strict=True))
    if sizes.get("t") == 1 and "t" not in image.axes:
        del sizes["t"]
    shape = tuple(sizes.get(name, 1) for name in image.axes)
    fitting = [k for k, level in enumerate(image.levels) if set(sizes) <= set(image.axes) and level.shape == shape]
    if not fitting:
        pixels = " or ".join(f"{level.shape}" for level in image.levels)
        found = f"labels of {layout.shape} along {layout.axes!r}"
        mend = "write them to a group of their own, or into the image that was embedded"
        fail("target", f"an image with as many pixels as the labels; it has {pixels} along {image.axes!r}", found, mend)
    first, chunk = image.levels[fitting[0]], tuple(chunks.get(name, 1) for name in image.axes)
    geometry = first.geometry
    whole = replace(layout, axes=image.axes, shape=shape, chunks=chunk, geometry=geometry)
    return whole, image.levels[fitting[0] + 1 :]


def begin_labels(
    new: NewTarget,
    name: str,
    layout: Layout,
    *,
    provenance: Provenance,
    resume: bool,
    accept_versions: bool = False,
    grid: Sequence[int] | None = None,
    tile: Sequence[int] = (),
) -> Target:
    """Makes the label image, or opens the one that the same work began.

    Args:
        new: a Zarr group, which is made if there is none. An image in it stays as it is.
        name: of the labels.
        layout: of their array; its format is that of a group that is made, and gives way to an existing group's.
        provenance: what they are made from.
        resume: whether labels that the same work began may be resumed.
        accept_versions: as `begin_target` takes it.
        grid: likewise.
        tile: likewise.

    Raises:
        VolumeError: labels of other work, or storage that cannot be written.
    """
    with storage_errors(f"write labels to {new.path}"):
        group = open_group(new) if stored_names(new) else make_group(new, layout.zarr_format)
        zarr_format = group.metadata.zarr_format
        described: dict[str, Any] = {"version": "0.4"} if zarr_format == 2 else {}
        if ome.multiscale(group.attrs.asdict()) is not None:
            described["source"] = {"image": "../../"}
        inner = replace(new, path=f"{new.path.rstrip('/')}/labels")
        if not stored_names(inner):
            make_group(inner, zarr_format)
    target = begin_target(
        replace(new, path=f"{new.path.rstrip('/')}/labels/{name}"),
        {"": replace(layout, zarr_format=zarr_format)},
        provenance=provenance,
        resume=resume,
        accept_versions=accept_versions,
        grid=grid,
        tile=tile,
        journal="labels",
        title=name,
        image_label=described,
    )
    list_labels(new, name)  # only now: a viewer finds no labels that are not there
    return target


def list_labels(new: NewTarget, name: str) -> None:
    """Enters labels where readers look: in the list of the group, and in its consolidated metadata if it has any.

    Other programs may do so at the same moment, and the last to write would drop the others. So each enters all labels
    of shiftjax that are there, before its work and after it.

    Raises:
        VolumeError: they cannot be listed.
    """
    inner = replace(new, path=f"{new.path.rstrip('/')}/labels")
    with storage_errors(f"list the labels {name} in {inner.path}"):
        _list(inner, name)
    with storage_errors(f"enter the labels in the consolidated metadata of {new.path}"):
        _consolidate(new, name)


def _list(inner: NewTarget, name: str) -> None:
    """Enters the labels in the list that viewers read."""
    labels = open_group(inner)
    nested, attributes = labels.metadata.zarr_format == 3, labels.attrs.asdict()
    described = attributes.get("ome", {"version": "0.5"}) if nested else attributes
    names = described.get("labels", []) if isinstance(described, dict) else described
    if not isinstance(names, list):
        raise VolumeError(
            f"expected a list of names as `labels` in the attributes of {inner.path}, found {shown(names)}"
        )
    if added := [each for each in {name: None, **dict.fromkeys(_made_here(inner))} if each not in names]:
        described = {**described, "labels": [*names, *added]}
        folder = open_folder(inner.path, inner.storage_options)
        put_attributes(folder, labels.metadata.zarr_format, {"ome": described} if nested else described)


def _made_here(inner: NewTarget) -> list[str]:
    """The labels that shiftjax made."""
    names = []
    for each in open_folder(inner.path, inner.storage_options).names():
        if not each.startswith(".") and not each.endswith(PARTIAL) and each != "zarr.json":
            with suppress(VolumeError):  # something else lies there
                if stored_identity(replace(inner, path=f"{inner.path}/{each}")) is not None:
                    names.append(each)
    return names


def _consolidate(new: NewTarget, name: str) -> None:
    """Enters the labels in the group's consolidated metadata, if it has any; readers look nowhere else."""
    zarr = require("zarr", "volume")
    group = zarr.open_group(for_zarr(new.path), mode="r+", storage_options=new.storage_options)
    if group.metadata.consolidated_metadata is None:
        return
    places = ("labels", f"labels/{name}", f"labels/{name}/0")
    stored = open_group(new)
    if all(place in group and group[place].attrs.asdict() == stored[place].attrs.asdict() for place in places):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Zarr v3 does not specify it: the group had it before
        zarr.consolidate_metadata(group.store, path=group.path or None)
    kind = "zarr.json" if group.metadata.zarr_format == 3 else ".zmetadata"
    open_folder(new.path, new.storage_options).sync([kind])
