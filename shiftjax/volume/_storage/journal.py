"""Which parts of some work are finished, kept so that a process killed at any moment loses little and lies about none.

The order of writing makes it durable: an entry is added only after its data are stored, so that the journal may lag
behind the data but never runs ahead of them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from typing import Any

from shiftjax._extras import require
from shiftjax.volume._storage.errors import storage_errors

Entry = int | str
SECONDS = 1.0  # between flushes: what a kill costs at most, against one small object per flush


class Journal:
    """The finished entries, in small objects that are written once each and never changed.

    Every flush writes a new object that holds its entries and their checksum. So an object torn by a kill, or by a full
    disk, is recognised and left out: its entries count as not finished. One process should write; where two do, their
    objects have different names and neither loses entries of the other.

    Attributes:
        finished: all entries so far, those of earlier runs included.
        unwritten: those that wait for the next flush; they are lost if none succeeds.
    """

    def __init__(
        self, uri: str, *, seconds: int | float | None = None, storage_options: dict[str, Any] | None = None
    ) -> None:
        """Opens the journal and reads its entries.

        Args:
            uri: a folder, by path or fsspec URI; made with the first flush.
            seconds: `add` flushes where the last flush is longer ago.
            storage_options: for the file system, as fsspec takes them.

        Raises:
            VolumeError: the journal cannot be read.
        """
        self._uri = uri
        self._files, self._folder = require("fsspec.core", "volume").url_to_fs(uri, **(storage_options or {}))
        self._seconds = SECONDS if seconds is None else seconds
        self.unwritten: list[Entry] = []
        self._last_flush = time.monotonic()
        self.finished: set[Entry] = set()
        with storage_errors(f"read the journal {uri}"):
            names = self._names()
            for text in self._files.cat(names, on_error="omit").values() if names else ():
                self.finished.update(_unpack(text))
        self._next = len(names)

    def add(self, entry: Entry) -> None:
        """Notes an entry whose data are stored; flushes if it is time.

        Raises:
            VolumeError: as `flush`.
        """
        self.finished.add(entry)
        self.unwritten.append(entry)
        if time.monotonic() - self._last_flush >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Writes the entries added since the last flush.

        Raises:
            VolumeError: they could not be written; they stay noted for the next flush.
        """
        if self.unwritten:
            with storage_errors(f"write the journal {self._uri}"):
                self._files.makedirs(self._folder, exist_ok=True)
                # The random part keeps two processes apart; the number grows even if writing fails, so that no later
                # object takes the name of a torn one.
                name = f"{self._folder}/{self._next:06d}-{secrets.token_hex(4)}.json"
                self._next += 1
                self._files.pipe_file(name, _pack(self.unwritten))
            self.unwritten = []
        self._last_flush = time.monotonic()

    def clear(self) -> None:
        """Forgets all entries.

        Raises:
            VolumeError: what is stored of them could not be removed.
        """
        self.finished.clear()
        self.unwritten = []
        with storage_errors(f"clear the journal {self._uri}"):
            for name in self._names():
                self._files.rm_file(name)

    def _names(self) -> list[str]:
        self._files.invalidate_cache()
        if not self._files.exists(self._folder):
            return []
        return sorted(name for name in self._files.ls(self._folder, detail=False) if name.endswith(".json"))


def _pack(entries: Iterable[Entry]) -> bytes:
    body = json.dumps(list(entries))
    return json.dumps({"entries": body, "sha256": hashlib.sha256(body.encode()).hexdigest()}).encode()


def _unpack(text: bytes) -> list[Entry]:
    """The entries of an object; none where it is torn."""
    try:
        stored = json.loads(text)
        whole = hashlib.sha256(stored["entries"].encode()).hexdigest() == stored["sha256"]
        return json.loads(stored["entries"]) if whole else []
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
