"""Names of places: paths of this machine, however they are written, and URIs of other file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from shiftjax._checks import fail

LOCAL = re.compile(r"^(file|local):(//)?")


def name_of(place: str | Path) -> str:
    """A place as all libraries read it alike: `~` and `file://` as a plain path, other URIs as they are."""
    return os.path.expanduser(LOCAL.sub("", str(place), count=1))


def check_place(name: str, place: Any, storage_options: dict[str, Any] | None) -> str:
    """`name_of` a place to write to.

    Raises:
        ValueError: neither a path nor a URI, or options for a file system beside a path of this machine.
    """
    if not isinstance(place, str | Path) or not str(place):
        fail(name, "a path or an fsspec URI", repr(place))
    found = name_of(place)
    if storage_options is not None and not isinstance(storage_options, dict):
        fail("storage_options", "a dictionary, as fsspec takes it", repr(storage_options))
    if storage_options and "://" not in found and "::" not in found:
        mend = "leave them out, or say the file system in the URI, like s3://bucket/name"
        fail("storage_options", f"none beside a path of this machine, {found!r}", sorted(storage_options), mend)
    return found
