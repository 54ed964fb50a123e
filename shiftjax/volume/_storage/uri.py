"""URIs: paths of this machine, however they are written, and addresses in other file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from shiftjax._checks import fail, shown
from shiftjax._extras import require

LOCAL = re.compile(r"^(file|local):(//)?")
MERGED = re.compile(r"^([a-z][a-z0-9+.]+):/(?!/)")  # what `Path` makes of s3://bucket
LONGEST, LONGEST_NAME = 4096, 255  # characters of a path and of a name in it, which file systems do not exceed
_FILE_SYSTEMS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def check_uri(name: str, uri: Any, storage_options: Any) -> str:
    """A URI as all libraries read it alike: `~`, `file://` and relative paths as an absolute one, others as they are.

    A relative path would be another one as soon as somebody changes the folder of this process, or in another process.

    Raises:
        ValueError: neither a path nor a URI, or options for a file system beside a path of this machine.
    """
    if not isinstance(uri, str | Path) or not str(uri) or "\0" in str(uri):
        fail(name, "a path or an fsspec URI", shown(uri))
    plain = os.path.expanduser(LOCAL.sub("", str(uri), count=1))
    if storage_options is not None and not isinstance(storage_options, dict):
        fail("storage_options", "a dictionary, as fsspec takes it", shown(storage_options))
    if merged := MERGED.match(plain):
        mend = "give a str: pathlib merges the slashes of a URI"
        fail(name, f"a URI like {merged[1]}://bucket/name, or a path", shown(plain), mend)
    if len(plain) > LONGEST or (is_local(plain) and max(map(len, plain.split("/"))) > LONGEST_NAME):
        fail(name, "a path or an fsspec URI", f"one of {len(plain)} characters")
    if storage_options and is_local(plain):
        mend = "leave them out, or name the file system in the URI, like s3://bucket/name"
        fail(
            "storage_options", f"none beside a path of this machine, {plain!r}", sorted(map(str, storage_options)), mend
        )
    return os.path.abspath(plain) if is_local(plain) else plain


def is_local(uri: str) -> bool:
    """Whether a checked URI is a path of this machine."""
    return os.path.isabs(uri) or ("://" not in uri and "::" not in uri)


def for_zarr(uri: str) -> Any:
    """A checked URI as zarr takes it; it would read a path with `::` in it as an address."""
    return Path(uri) if is_local(uri) else uri


def open_binary(uri: str, storage_options: dict[str, Any] | None) -> Any:
    """A file in another file system, open for reading at any place; it stays open as long as somebody holds it."""
    files, path = require("fsspec.core", "volume").url_to_fs(uri, **(storage_options or {}))
    file = files.open(path, "rb")
    _FILE_SYSTEMS[file] = files  # some, such as one in a zip file, close their files when nobody holds them any more
    return file


def begins_with(path: str, count: int = 8) -> bytes:
    """The first bytes of a file of this machine; none where there is no file."""
    if not is_local(path) or not os.path.isfile(path):
        return b""
    with open(path, "rb") as file:
        return file.read(count)
