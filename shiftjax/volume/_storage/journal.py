"""Which pieces of work are finished, kept so that a process killed at any moment loses little and believes nothing."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from typing import Any

from shiftjax._extras import require

Item = int | str
SECONDS = 1.0  # between flushes, unless told


class Journal:
    """The finished items, in small objects that are written once each and never changed.

    Every flush writes a new object that holds its items and their checksum, so an object torn by a kill, or by a full
    disk, is recognised and left out: its items count as not finished. One process writes; add an item only after its
    data are written.

    Attributes:
        finished: all items so far, those found at the start included.
    """

    def __init__(
        self, uri: str, *, seconds: int | float | None = None, storage_options: dict[str, Any] | None = None
    ) -> None:
        """Opens the journal and reads what is there.

        Args:
            uri: a folder, by path or fsspec URI; made with the first flush.
            seconds: `add` flushes where the last flush is longer ago.
            storage_options: for the file system, as fsspec takes them.
        """
        self._files, self._folder = require("fsspec.core", "volume").url_to_fs(uri, **(storage_options or {}))
        self._seconds = SECONDS if seconds is None else seconds
        self._unwritten: list[Item] = []
        self._last = time.monotonic()
        self.finished: set[Item] = set()
        names = self._names()
        for text in self._files.cat(names, on_error="omit").values() if names else ():
            self.finished.update(_items(text))
        self._next = len(names)

    @property
    def unwritten(self) -> int:
        """How many items wait for the next flush; they are lost if none succeeds."""
        return len(self._unwritten)

    def add(self, item: Item) -> None:
        """Notes an item whose data are written; flushes if it is time."""
        self.finished.add(item)
        self._unwritten.append(item)
        if time.monotonic() - self._last >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Writes the items added since the last flush.

        Raises:
            OSError: they could not be written; they stay noted for the next flush.
        """
        if self._unwritten:
            self._files.makedirs(self._folder, exist_ok=True)
            name = f"{self._folder}/{self._next:06d}-{secrets.token_hex(4)}.json"
            self._next += 1  # a torn object keeps its name to itself
            self._files.pipe_file(name, _text(self._unwritten))
            self._unwritten = []
        self._last = time.monotonic()

    def clear(self) -> None:
        """Forgets all items.

        Raises:
            OSError: what is stored of them could not be removed.
        """
        self.finished.clear()
        self._unwritten = []
        for name in self._names():
            self._files.rm_file(name)

    def _names(self) -> list[str]:
        self._files.invalidate_cache()
        if not self._files.exists(self._folder):
            return []
        return sorted(name for name in self._files.ls(self._folder, detail=False) if name.endswith(".json"))


def _text(items: Iterable[Item]) -> bytes:
    body = json.dumps(list(items))
    return json.dumps({"items": body, "sha256": hashlib.sha256(body.encode()).hexdigest()}).encode()


def _items(text: bytes) -> list[Item]:
    """The items of an object; none where it is torn."""
    try:
        found = json.loads(text)
        whole = hashlib.sha256(found["items"].encode()).hexdigest() == found["sha256"]
        return json.loads(found["items"]) if whole else []
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
