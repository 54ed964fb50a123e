"""Where labels go: `labels/<name>` of an OME-Zarr group, which viewers lay over the image in that group."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._storage import ome_zarr as ome
from shiftjax.volume._storage.errors import WAIT, VolumeError, reason
from shiftjax.volume._storage.provenance import Identity
from shiftjax.volume._storage.target import RACES, Layout, Target, begin_target


def check_name(name: Any) -> None:
    """Refuses what cannot be the name of labels."""
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        fail("name", "a name for the labels, without `/`", repr(name))


def begin_labels(
    target: str | Path,
    name: str,
    layout: Layout,
    *,
    identity: Identity,
    resume: bool,
    zarr_format: int,
    storage_options: dict[str, Any] | None,
) -> Target:
    """Makes the label image, or opens the one that the same work began.

    Args:
        target: path or fsspec URI of a Zarr group, which is made if it is not there. An image in it stays as it is.
        name: of the labels.
        layout: of their array.
        identity: what they are made from.
        resume: whether labels that the same work began may be gone on with.
        zarr_format: of a group that is made.
        storage_options: for fsspec.

    Raises:
        VolumeError: labels of other work, or a place that cannot be written.
    """
    try:
        group = _group(str(target), zarr_format, storage_options)
        zarr_format = group.metadata.zarr_format
        described: dict[str, Any] = {"version": "0.4"} if zarr_format == 2 else {}
        if ome.multiscale(group.attrs.asdict()) is not None:
            described["source"] = {"image": "../../"}
        labels = group.require_group("labels")
    except VolumeError:
        raise
    except Exception as error:  # whatever the storage raises
        if type(error).__name__ in RACES:
            raise VolumeError(f"another process is making the target {target} now; {WAIT}") from error
        raise VolumeError(f"cannot write labels to {target} ({reason(error)})") from error
    begun = begin_target(
        f"{str(target).rstrip('/')}/labels/{name}",
        {"": layout},
        identity=identity,
        resume=resume,
        zarr_format=zarr_format,
        storage_options=storage_options,
        title=name,
        image_label=described,
    )
    _list(labels, name, zarr_format)
    _consolidate(str(target), name, storage_options)
    return begun


def _group(uri: str, zarr_format: int, storage_options: dict[str, Any] | None) -> Any:
    zarr = require("zarr", "volume")
    files, path = require("fsspec.core", "volume").url_to_fs(uri, **(storage_options or {}))
    files.invalidate_cache()
    left = files.ls(path, detail=False) if files.isdir(path) else [path] * files.exists(path)
    if all(name.endswith(".partial") for name in left):  # nothing, or what a killed process left of its first write
        return zarr.create_group(uri, zarr_format=zarr_format, storage_options=storage_options)
    try:
        return zarr.open_group(uri, mode="r+", storage_options=storage_options, use_consolidated=False)
    except Exception as error:  # an array, a file, a folder of other things
        advice = "choose another target"
        raise VolumeError(
            f"the target {uri} is not a Zarr group that labels can go to ({reason(error)}); {advice}"
        ) from error


def _list(labels: Any, name: str, zarr_format: int) -> None:
    """Enters the labels in the list that viewers read."""
    attributes = labels.attrs.asdict()
    described = attributes if zarr_format == 2 else attributes.get("ome", {"version": "0.5"})
    names = described.get("labels", [])
    if name not in names:
        described = {**described, "labels": [*names, name]}
        labels.attrs.update(described if zarr_format == 2 else {"ome": described})


def _consolidate(uri: str, name: str, storage_options: dict[str, Any] | None) -> None:
    """Enters the labels in the group's summary of all that is in it, if it has one; readers look nowhere else."""
    zarr = require("zarr", "volume")
    try:
        group = zarr.open_group(uri, mode="r+", storage_options=storage_options)
        if group.metadata.consolidated_metadata is not None and f"labels/{name}/0" not in group:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that Zarr v3 does not specify it: the group had it before
                zarr.consolidate_metadata(group.store, path=group.path or None)
    except Exception as error:  # whatever the storage raises
        raise VolumeError(f"cannot enter the labels in the consolidated metadata of {uri} ({reason(error)})") from error
