"""TensorStore: its objects as arrays that are sliced from 0 on, and N5 by path, which zarr-python no longer reads."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._sources.axes import letters
from shiftjax.volume._sources.stored import Stored
from shiftjax.volume._storage.errors import reason
from shiftjax.volume._storage.uri import is_local

N5 = "attributes.json"  # what each folder of an N5 container has


FILLED = "fill_missing_data_reads"  # what TensorStore calls it that a missing chunk is read as zeros


class Tensor:
    """A TensorStore as an array; its domain is moved to begin at 0.

    Args:
        store: of TensorStore.
        address: what opens it again; None for an object that was given.
    """

    def __init__(self, store: Any, address: dict[str, Any] | None = None) -> None:
        origin = require("tensorstore", "formats").d[:].translate_to[0]
        self._store, self._address = store[origin], address
        self.shape = tuple(int(n) for n in store.shape)
        self.dtype = np.dtype(store.dtype.numpy_dtype)
        self.chunks = tuple(store.chunk_layout.read_chunk.shape or self.shape)

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        return np.asarray(self._store[index].read().result())

    def without_filling(self) -> Tensor:
        """The same, of which a chunk that is missing cannot be read.

        Raises:
            ValueError: an object whose missing chunks are filled.
        """
        if self._address is not None:
            opened = require("tensorstore", "formats").open({**self._address, FILLED: False}, read=True).result()
            return Tensor(opened, self._address)
        if self._store.spec().to_json().get(FILLED, True):
            mend = f"open it with {FILLED}=False, or take the zeros with missing='fill'"
            fail("missing", "'fill' for a TensorStore that fills what is missing", "'error'", mend)
        return self


def is_tensorstore(thing: Any) -> bool:
    """Whether this is a TensorStore, without loading the package."""
    return type(thing).__module__.partition(".")[0] == "tensorstore" and hasattr(thing, "domain")


def from_tensorstore(store: Any, address: dict[str, Any] | None = None) -> Stored:
    """A TensorStore with the labels of its domain as names of its axes; and what opens it again, if it is known."""
    labels = list(store.domain.labels)
    names = letters(labels) if any(labels) else None
    return Stored(Tensor(store, address), names, said=repr(labels))


def is_n5(path: str) -> bool:
    """Whether a folder of this machine is an N5 array or group."""
    return is_local(path) and os.path.isfile(os.path.join(path, N5))


def open_n5(path: str) -> Stored:
    """An N5 array.

    Raises:
        ValueError: a group, or an array that cannot be opened.
        ImportError: TensorStore is missing.
    """
    try:
        with open(os.path.join(path, N5), encoding="utf-8") as file:
            described = json.load(file)
    except Exception as error:  # text that is no JSON, or nested without end
        fail("source", "an N5 array", f"none at {path!r} ({reason(error)})")
    if not isinstance(described, dict) or "dimensions" not in described:
        inside = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())[:20]
        fail("source", "an N5 array", f"a group with {', '.join(inside) or 'nothing'} at {path}", "name an array in it")
    tensorstore = require("tensorstore", "formats")
    address = {"driver": "n5", "kvstore": {"driver": "file", "path": path}}
    try:
        store = tensorstore.open(address, read=True).result()
    except Exception as error:  # TensorStore's own say what is wrong with the metadata
        fail("source", "an N5 array", f"none at {path!r} ({reason(error)})")
    stored = from_tensorstore(store, address)
    if stored.names is None:  # programs that write N5 list x first, others z: nobody may guess
        return stored._replace(names="?" * len(stored.array.shape), said="no names (most programs write N5 as x, y, z)")
    return stored
