"""URIs: paths of this machine, however they are written, and addresses in other file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from shiftjax._checks import fail

LOCAL = re.compile(r"^(file|local):(//)?")


def check_uri(name: str, uri: Any, storage_options: Any) -> str:
    """A URI as all libraries read it alike: `~`, `file://` and relative paths as an absolute one, others as they are.

    A relative path would be another one as soon as somebody changes the folder of this process, or in another process.

    Raises:
        ValueError: neither a path nor a URI, or options for a file system beside a path of this machine.
    """
    if not isinstance(uri, str | Path) or not str(uri):
        fail(name, "a path or an fsspec URI", repr(uri))
    plain = os.path.expanduser(LOCAL.sub("", str(uri), count=1))
    if storage_options is not None and not isinstance(storage_options, dict):
        fail("storage_options", "a dictionary, as fsspec takes it", repr(storage_options))
    if storage_options and is_local(plain):
        mend = "leave them out, or name the file system in the URI, like s3://bucket/name"
        fail("storage_options", f"none beside a path of this machine, {plain!r}", sorted(storage_options), mend)
    return os.path.abspath(plain) if is_local(plain) else plain


def is_local(uri: str) -> bool:
    """Whether a checked URI is a path of this machine."""
    return os.path.isabs(uri) or ("://" not in uri and "::" not in uri)


def for_zarr(uri: str) -> Any:
    """A checked URI as zarr takes it; it would read a path with `::` in it as an address."""
    return Path(uri) if is_local(uri) else uri
