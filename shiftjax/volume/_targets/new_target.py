"""Where a target goes; the group there is made, or found to be of the same work, or refused and left untouched."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shiftjax._checks import fail, integer, one_of, shown
from shiftjax._extras import require
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.folder import PARTIAL, Folder, open_folder
from shiftjax.volume._storage.retry import patiently
from shiftjax.volume._storage.uri import check_uri, for_zarr, is_local
from shiftjax.volume._targets.layout import native_dtype
from shiftjax.volume._targets.provenance import VERSIONS, Provenance, differences, other_versions, versions

KEY = "shiftjax"  # of the group's attributes: the provenance
LAYOUT = "target layout"  # the entry of the provenance that lists the arrays and how they are stored
ADVICE = "choose another target, or remove it first"
MOST_LEVELS = 32  # after which any axis has a single pixel
FILES = ("zip", "ozx", "tif", "tiff", "h5", "hdf5", "n5", "npy", "npz", "png", "jpg", "json")


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
    return _checked(path, dtype, zarr_format, levels, storage_options)


def _checked(path: Any, dtype: Any, zarr_format: Any, levels: Any, storage_options: Any) -> NewTarget:
    """The target, each part of which is what it must be."""
    if zarr_format is not None:
        one_of("zarr_format", zarr_format, (2, 3))
    if levels is not None:
        levels = integer("levels", levels, least=1, most=MOST_LEVELS)
    name = None if dtype is None else native_dtype(dtype).name
    return NewTarget(_check_path(path, storage_options), name, zarr_format, levels, storage_options)


def as_new_target(target: Any) -> NewTarget:
    """What `predict_volume` and `segment_volume` take as a target; checked once more, for whoever made it by himself.

    Raises:
        ValueError: neither a path nor what `new_target` returns.
    """
    return _checked(**vars(target)) if isinstance(target, NewTarget) else _checked(target, None, None, None, None)


def _check_path(path: Any, storage_options: Any) -> str:
    """A path or URI that can become a folder of Zarr."""
    uri = check_uri("target", path, storage_options)
    ending = uri.rstrip("/").rpartition("/")[2].lower().rpartition(".")[2]
    if ending in FILES and "." in uri:
        mend = "name a folder, such as out.zarr; zip it afterwards if it must be one file"
        fail("target", "a place for a folder of OME-Zarr", f"the name of a .{ending} file", mend)
    if not is_local(uri) and any(part in uri for part in ("::", "http://", "https://")):
        fail("target", "a file system that can be written to", shown(uri), "name it directly, without a chain by `::`")
    return uri


def bind(
    new: NewTarget,
    expected: Provenance,
    *,
    resume: bool,
    zarr_format: int,
    accept_versions: bool = False,
    attributes: dict[str, Any] | None = None,
) -> Any:
    """The group of a target: made with the identity of its work, or found to be of the same work.

    The identity is created with the group, in one object that only one of several processes can create, and is never
    changed. So it belongs to the target for good: a process killed at any moment leaves nothing that its successor, or
    other work, could take for something else, and whoever writes to the target writes the same bytes.

    Args:
        new: where.
        expected: the identity.
        resume: whether a target of the same identity may be resumed.
        zarr_format: 2 or 3.
        accept_versions: whether other versions of the programs that compute may go on with it.
        attributes: of a group that is made, beside the identity.

    Raises:
        VolumeError: a target that other work began, or that is not shiftjax's.
    """
    folder = open_folder(new.path, new.storage_options)
    stored, created = _stored_group(folder), False
    if stored is None:
        created = _create_group(folder, zarr_format, {KEY: expected, **(attributes or {})})
        stored = _stored_group(folder)
    found_format, bound = stored or (zarr_format, {})
    if not isinstance(bound.get(KEY), dict):
        raise VolumeError(f"the target {new.path} holds data that shiftjax did not write; {ADVICE}")
    if not resume and not created:
        advice = "resume it with `resume=True` (on the command line, without `--new`)"
        raise VolumeError(f"the target {new.path} exists already; {ADVICE}, or {advice}")
    other = differences(bound[KEY], expected)
    if found_format != zarr_format:
        other = [*other, "Zarr format"]
    if other:
        raise VolumeError(f"the target {new.path} was made with another {' and another '.join(other)}; {ADVICE}")
    if found_format == 2:  # killed after the attributes, which hold the identity and so come first
        folder.create(".zgroup", _json({"zarr_format": 2}))
    check_versions(new, bound[KEY], accept=accept_versions)
    return open_group(new)


def stored_identity(new: NewTarget) -> Provenance | None:
    """The identity that is bound to a target; None where there is no target of shiftjax."""
    stored = _stored_group(open_folder(new.path, new.storage_options))
    return None if stored is None else stored[1].get(KEY)


def stored_layouts(new: NewTarget) -> dict[str, Any]:
    """The arrays of a target by name, and how they are stored.

    Raises:
        VolumeError: there is no target of shiftjax, or it does not say.
    """
    identity = stored_identity(new)
    if identity is None:
        raise VolumeError(f"cannot open a target of shiftjax at {new.path}: there is none")
    layouts = identity.get(LAYOUT) if isinstance(identity, dict) else None
    known = isinstance(layouts, dict) and all(isinstance(each, dict) and "axes" in each for each in layouts.values())
    if not layouts or not known:
        raise VolumeError(f"{new.path} does not say which arrays shiftjax wrote: found {shown(identity)}")
    return layouts


def check_versions(new: NewTarget, identity: Provenance, *, accept: bool) -> None:
    """Refuses to compute for a target with other versions than it was begun with, or than were accepted for it.

    Args:
        new: the target.
        identity: bound to it.
        accept: whether to accept the versions of this process, which is recorded beside the target's identity.

    Raises:
        VolumeError: other versions.
    """
    here, bound = versions(), identity.get(VERSIONS)
    if bound is None or here == bound:
        return
    folder = open_folder(f"{array_folder(new, identity)}/versions", new.storage_options)
    name = "-".join(f"{key}-{value}" for key, value in sorted(here.items())) + ".json"
    if accept:
        folder.create(name, _json(here))
    elif name not in folder.names():
        other = " and another ".join(other_versions(bound, here))
        raise VolumeError(
            f"the target {new.path} was made with another {other}; {ADVICE}, or go on all the same with "
            "`accept_versions=True` (on the command line `--accept-versions`), which is recorded in the target"
        )


def array_folder(new: NewTarget, identity: Provenance) -> str:
    """The folder of a target's first array, where all lies that is no part of the image: viewers do not look there."""
    first = next(iter(identity.get(LAYOUT, {"": None})))
    return "/".join(part for part in (new.path.rstrip("/"), first, "0") if part)


def _stored_group(folder: Folder) -> tuple[int, dict[str, Any]] | None:
    """Format and attributes of the group at a target's path; None where there is nothing yet.

    What a process leaves that is killed while it makes a group does not count: files not written to their end, and a
    Zarr v2 group without its attributes.

    Raises:
        VolumeError: an array, a file or a folder of other things.
    """
    names = {name for name in folder.names() if not name.endswith(PARTIAL)}
    try:
        if "zarr.json" in names:
            entries = json.loads(folder.get("zarr.json"))
            if entries["node_type"] != "group":
                raise ValueError("an array")
            return 3, entries.get("attributes") or {}
        if ".zgroup" in names or names == {".zattrs"}:
            attributes = json.loads(folder.get(".zattrs")) if ".zattrs" in names else {}
            return (2, attributes) if attributes or names != {".zgroup"} else None
    except (ValueError, KeyError, TypeError) as error:
        raise VolumeError(f"the target {folder.uri} is not a Zarr group ({reason(error)}); {ADVICE}") from error
    if names:
        raise VolumeError(f"the target {folder.uri} is not a Zarr group; it holds {', '.join(sorted(names))}; {ADVICE}")
    return None


def stored_names(new: NewTarget) -> set[str]:
    """What lies in the folder of a target, or its own name if it is a file.

    What a process leaves that is killed while it makes a group does not count: files not written to their end, and the
    attributes of a Zarr v2 group, which are written beside the group itself.
    """
    names = open_folder(new.path, new.storage_options).names()
    return {name for name in names if name != ".zattrs" and not name.endswith(PARTIAL)}


def _create_group(folder: Folder, zarr_format: int, attributes: dict[str, Any]) -> bool:
    """Creates the object that holds a group's attributes; False where another process was faster."""
    if zarr_format == 2:
        return folder.create(".zattrs", _json(attributes))
    return folder.create("zarr.json", _json({"zarr_format": 3, "node_type": "group", "attributes": attributes}))


def _json(entries: dict[str, Any]) -> bytes:
    return json.dumps(entries, indent=2).encode()


def make_group(new: NewTarget, zarr_format: int) -> Any:
    """A new Zarr group where there is nothing, or the one that another process was faster to make."""
    folder = open_folder(new.path, new.storage_options)
    _create_group(folder, zarr_format, {})
    if zarr_format == 2:
        folder.create(".zgroup", _json({"zarr_format": 2}))
    return open_group(new)


def put_attributes(folder: Folder, zarr_format: int, changed: dict[str, Any]) -> None:
    """Changes attributes of a group, in one object that is replaced as a whole, and on the disk when this returns."""
    if zarr_format == 2:
        stored = json.loads(folder.get(".zattrs")) if ".zattrs" in folder.names() else {}
        folder.put(".zattrs", _json({**stored, **changed}))
        return
    stored = json.loads(folder.get("zarr.json"))
    folder.put("zarr.json", _json({**stored, "attributes": {**(stored.get("attributes") or {}), **changed}}))


def drop_torn(folder: Folder) -> None:
    """Removes metadata of a target's own arrays and groups that were not written to their end; they are made anew."""
    for name in {"zarr.json", ".zgroup", ".zarray", ".zattrs"} & set(folder.names()):
        try:
            json.loads(folder.get(name))
        except ValueError:
            folder.remove(name)


def open_group(new: NewTarget) -> Any:
    """The Zarr group at a target's path.

    Raises:
        VolumeError: an array, a file or a folder of other things; zarr has an error of its own for each.
    """
    # Consolidated metadata may be older than what has been written since.
    options = {"mode": "r+", "storage_options": new.storage_options, "use_consolidated": False}
    zarr = require("zarr", "volume")
    try:
        return patiently(lambda: zarr.open_group(for_zarr(new.path), **options))
    except (FileNotFoundError, FileExistsError, NotADirectoryError, ValueError, AssertionError) as error:
        raise VolumeError(f"the target {new.path} is not a Zarr group ({reason(error)}); {ADVICE}") from error
