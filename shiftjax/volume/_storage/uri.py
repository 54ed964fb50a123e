"""URIs: paths of this machine, however they are written, and addresses in other file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from shiftjax._checks import fail

LOCAL = re.compile(r"^(file|local):(//)?")


def check_uri(name: str, uri: Any, storage_options: Any) -> str:
    """A URI as all libraries read it alike: `~` and `file://` as a plain path, others as they are.

    Raises:
        ValueError: neither a path nor a URI, or options for a file system beside a path of this machine.
    """
    if not isinstance(uri, str | Path) or not str(uri):
        fail(name, "a path or an fsspec URI", repr(uri))
    plain = os.path.expanduser(LOCAL.sub("", str(uri), count=1))
    if storage_options is not None and not isinstance(storage_options, dict):
        fail("storage_options", "a dictionary, as fsspec takes it", repr(storage_options))
    if storage_options and "://" not in plain and "::" not in plain:
        mend = "leave them out, or name the file system in the URI, like s3://bucket/name"
        fail("storage_options", f"none beside a path of this machine, {plain!r}", sorted(storage_options), mend)
    return plain
