"""Where a target goes; the group there is made, or found to be of the same work, or refused and left untouched."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shiftjax._checks import fail, integer, one_of, shown
from shiftjax._extras import require
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.layout import native_dtype
from shiftjax.volume._storage.provenance import Provenance, differences
from shiftjax.volume._storage.uri import check_uri

KEY = "shiftjax"  # of the group's attributes: the provenance
ADVICE = "choose another target, or remove it first"
MOST_LEVELS = 32  # after which any axis has a single pixel
FILES = ("zip", "ozx", "tif", "tiff", "h5", "hdf5", "n5", "npy", "npz", "png", "jpg", "json")
GROUP = {".zgroup", "zarr.json"}  # what a group without members and attributes consists of


@dataclass(frozen=True)
class NewTarget:
    """Where a target goes and how it is stored; `new_target` makes and checks it.

    Attributes:
        path: path or fsspec URI.
        dtype: name of its type; None for that of what is written.
        zarr_format: 2 or 3; None for the source's.
        levels: of the pyramid, the finest included; None for 1, or for labels for those of the image they lie over.
        storage_options: for the file system, as fsspec takes them.
    """

    path: str
    dtype: str | None = None
    zarr_format: int | None = None
    levels: int | None = None
    storage_options: dict[str, Any] | None = field(default=None, repr=False)  # may hold credentials


def new_target(
    path: str | Path,
    *,
    dtype: str | None = None,
    zarr_format: int | None = None,
    levels: int | None = None,
    storage_options: dict[str, Any] | None = None,
) -> NewTarget:
    """A target, where a path alone says too little: `predict_volume` and `segment_volume` take the result.

    Args:
        path: path or fsspec URI.
        dtype: of the pixels stored, such as "bfloat16"; by default that of the network's outputs. It must hold them: of
            integers all values, of floats those that occur, rounded. Labels are uint64 and take none.
        zarr_format: 2 (OME-Zarr 0.4) or 3 (OME-Zarr 0.5); by default the source's, else 3.
        levels: how many resolutions are written, each of half the pixels per spatial axis, the finest included: means
            of numbers, and one of the pixels of labels. By default 1; labels have those of the image that they lie
            over.
        storage_options: for the file system, as fsspec takes them.

    Returns:
        The target; nothing has been written.

    Raises:
        ValueError: no path, no such type or format, or options beside a path of this machine.
    """
    if zarr_format is not None:
        one_of("zarr_format", zarr_format, (2, 3))
    if levels is not None:
        levels = integer("levels", levels, least=1, most=MOST_LEVELS)
    name = None if dtype is None else native_dtype(dtype).name
    return NewTarget(_check_path(path, storage_options), name, zarr_format, levels, storage_options)


def as_new_target(target: Any) -> NewTarget:
    """What `predict_volume` and `segment_volume` take as a target.

    Raises:
        ValueError: neither a path nor what `new_target` returns.
    """
    return target if isinstance(target, NewTarget) else NewTarget(_check_path(target, None))


def _check_path(path: Any, storage_options: Any) -> str:
    """A path or URI that can become a folder of Zarr."""
    uri = check_uri("target", path, storage_options)
    ending = uri.rstrip("/").rpartition("/")[2].lower().rpartition(".")[2]
    if ending in FILES and "." in uri:
        mend = "name a folder, such as out.zarr; zip it afterwards if it must be one file"
        fail("target", "a place for a folder of OME-Zarr", f"the name of a .{ending} file", mend)
    if any(part in uri for part in ("::", "http://", "https://")):
        fail("target", "a file system that can be written to", shown(uri), "name it directly, without a chain by `::`")
    return uri


def claim(new: NewTarget, expected: Provenance, *, resume: bool, zarr_format: int) -> Any:
    """The group of a target: made, or found to be of the same work.

    The provenance is written first, with the group itself, so that a process killed at any moment leaves nothing that
    its successor, or other work, could take for something else.

    Raises:
        VolumeError: a target that other work began, or that is not shiftjax's.
    """
    names = stored_names(new)
    if not names:
        return make_group(new, zarr_format, {KEY: expected})
    group = open_group(new)
    attributes = group.attrs.asdict()
    if not attributes and not names - GROUP:  # killed between making a Zarr v2 group and its attributes
        group.attrs.update({KEY: expected})
        return group
    if KEY not in attributes:
        raise VolumeError(f"the target {new.path} holds data that shiftjax did not write; {ADVICE}")
    if not resume:
        advice = "resume it with `resume=True` (on the command line, without `--new`)"
        raise VolumeError(f"the target {new.path} exists already; {ADVICE}, or {advice}")
    other = differences(attributes[KEY], expected)
    if group.metadata.zarr_format != zarr_format:
        other = [*other, "Zarr format"]
    if other:
        raise VolumeError(f"the target {new.path} was made with another {' and another '.join(other)}; {ADVICE}")
    return group


def stored_names(new: NewTarget) -> set[str]:
    """What lies in the folder of a target, or its own name if it is a file.

    What a process leaves that is killed while it makes a group does not count: files not written to their end, which
    zarr calls `.partial`, and the attributes of a Zarr v2 group, which are written beside the group itself.
    """
    files, path = require("fsspec.core", "volume").url_to_fs(new.path, **(new.storage_options or {}))
    files.invalidate_cache()
    if not files.exists(path):
        return set()
    paths = files.ls(path, detail=False) if files.isdir(path) else [path]
    names = {name.rstrip("/").rpartition("/")[2] for name in paths}
    return {name for name in names if name != ".zattrs" and not name.endswith(".partial")}


def make_group(new: NewTarget, zarr_format: int, attributes: dict[str, Any] | None = None) -> Any:
    """A new Zarr group where there is nothing."""
    options = {"attributes": attributes or {}, "storage_options": new.storage_options}
    return require("zarr", "volume").create_group(new.path, zarr_format=zarr_format, **options)


def open_group(new: NewTarget) -> Any:
    """The Zarr group at a target's path.

    Raises:
        VolumeError: an array, a file or a folder of other things; zarr has an error of its own for each.
    """
    zarr = require("zarr", "volume")
    try:
        # Consolidated metadata may be older than what has been written since.
        return zarr.open_group(new.path, mode="r+", storage_options=new.storage_options, use_consolidated=False)
    except (FileNotFoundError, FileExistsError, NotADirectoryError, ValueError, AssertionError) as error:
        raise VolumeError(f"the target {new.path} is not a Zarr group ({reason(error)}); {ADVICE}") from error
