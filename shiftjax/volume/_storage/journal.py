"""Which parts of some work are finished, kept so that a process killed at any moment loses little and lies about none.

The order of writing makes it durable: an entry is added only after its data are on the disk, so that the journal may
lag behind the data but never runs ahead of them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from shiftjax.volume._storage.errors import storage_errors
from shiftjax.volume._storage.folder import open_folder

Entry = int | str
SECONDS = 1.0  # between flushes: what a kill costs at most, against one small object per flush


class Receipt(NamedTuple):
    """What a finished entry was made from and what was stored of it.

    Attributes:
        read: digest of what was read of the source; empty where nothing was.
        wrote: digest of what was written to the target's arrays; empty where nothing was.
        missing: chunks that were read as the fill value, because the source has none.
    """

    read: str = ""
    wrote: str = ""
    missing: int = 0


NOTHING = Receipt()


class Journal:
    """The finished entries, in small objects that are written once each and never changed.

    Every flush writes a new object that holds its entries and their checksum. So an object torn by a kill, or by a full
    disk, is recognised and left out: its entries count as not finished. One process should write; where two do, their
    objects have different names and neither loses entries of the other.

    Attributes:
        finished: all entries so far, those of earlier runs included.
        receipts: of the finished entries.
        left_out: entries that a run decided not to need, as a mask says; they may be finished later.
        unwritten: those that wait for the next flush; they are lost if none succeeds.
    """

    def __init__(
        self, uri: Any, *, seconds: int | float | None = None, storage_options: dict[str, Any] | None = None
    ) -> None:
        """Opens the journal and reads its entries.

        Args:
            uri: a folder, by path or fsspec URI; made with the first flush. Or an open folder, to read from.
            seconds: `add` flushes where the last flush is longer ago.
            storage_options: for the file system, as fsspec takes them.

        Raises:
            VolumeError: the journal cannot be read.
        """
        self._uri = uri
        self._folder = open_folder(uri, storage_options) if isinstance(uri, str) else uri
        self._seconds = SECONDS if seconds is None else seconds
        self.unwritten: dict[Entry, Receipt | None] = {}
        self._last_flush = time.monotonic()
        self.finished: set[Entry] = set()
        self.receipts: dict[Entry, Receipt] = {}
        self.left_out: set[Entry] = set()
        with storage_errors(f"read the journal {uri}"):
            names = self._names()
            for name in names:
                with suppress(FileNotFoundError):  # its owner has just put its entries into another object
                    for entry, receipt in _unpack(self._folder.get(name)).items():
                        self._note(entry, receipt)
        self._next = 1 + max((int(name[:6]) for name in names if name[:6].isdecimal()), default=-1)

    def add(self, entry: Entry, receipt: Receipt = NOTHING) -> None:
        """Notes an entry whose data are stored; flushes if it is time.

        Raises:
            VolumeError: as `flush`.
        """
        self._note(entry, receipt)
        self.unwritten[entry] = receipt
        if time.monotonic() - self._last_flush >= self._seconds:
            self.flush()

    def leave_out(self, entry: Entry) -> None:
        """Notes an entry that is not needed, with the next flush."""
        if entry not in self.finished and entry not in self.left_out:
            self._note(entry, None)
            self.unwritten[entry] = None

    def wanted(self, entries: Iterable[int]) -> None:
        """Forgets that some entries were left out: until a run is through with them the work is not finished.

        Raises:
            VolumeError: that could not be written; what is stored stays as it was.
        """
        again = self.left_out.intersection(entries)
        if not again:
            return
        self.left_out -= again
        with storage_errors(f"write the journal {self._uri}"):
            earlier = self._names()
            self.unwritten = {**dict.fromkeys(self.left_out), **self.receipts}
            self.flush()  # all that is known, before any object of it goes
            for name in earlier:
                self._folder.remove(name)

    def flush(self) -> None:
        """Writes the entries added since the last flush.

        Raises:
            VolumeError: they could not be written; they stay noted for the next flush.
        """
        if self.unwritten:
            with storage_errors(f"write the journal {self._uri}"):
                # The random part keeps two processes apart; the number grows even if writing fails, so that no later
                # object takes the name of a torn one.
                name = f"{self._next:06d}-{secrets.token_hex(4)}.json"
                self._next += 1
                self._folder.put(name, _pack(self.unwritten))
            self.unwritten = {}
        self._last_flush = time.monotonic()

    def clear(self) -> None:
        """Forgets all entries.

        Raises:
            VolumeError: what is stored of them could not be removed.
        """
        for known in (self.finished, self.receipts, self.left_out, self.unwritten):
            known.clear()
        with storage_errors(f"clear the journal {self._uri}"):
            for name in self._names():
                self._folder.remove(name)

    def _note(self, entry: Entry, receipt: Receipt | None) -> None:
        if receipt is not None:
            self.finished.add(entry)
            self.receipts[entry] = receipt
            self.left_out.discard(entry)
        elif entry not in self.finished:
            self.left_out.add(entry)

    def _names(self) -> list[str]:
        return [name for name in self._folder.names() if name.endswith(".json")]


def _pack(entries: Mapping[Entry, Receipt | None]) -> bytes:
    body = json.dumps([[entry, *(receipt or ())] for entry, receipt in entries.items()])
    return json.dumps({"entries": body, "sha256": hashlib.sha256(body.encode()).hexdigest()}).encode()


def _unpack(text: bytes) -> dict[Entry, Receipt | None]:
    """The entries of an object; none where it is torn."""
    try:
        stored = json.loads(text)
        if hashlib.sha256(stored["entries"].encode()).hexdigest() != stored["sha256"]:
            return {}
        return {entry: Receipt(*receipt) if receipt else None for entry, *receipt in json.loads(stored["entries"])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
