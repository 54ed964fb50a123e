"""What a run keeps beside its target until it is finished: small objects, written whole and checked when read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

import numpy as np

from shiftjax._extras import require
from shiftjax.volume._storage.errors import WAIT, VolumeError, reason

CHECK = 32  # bytes of the checksum in front


class Scratch:
    """Objects of a few arrays each, by name, in a folder of any file system that fsspec knows."""

    def __init__(self, uri: str, storage_options: dict[str, Any] | None = None) -> None:
        self._files, self._folder = require("fsspec.core", "volume").url_to_fs(uri, **(storage_options or {}))
        self._made = False

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes an object; returns when it is stored.

        Raises:
            VolumeError: it could not be written.
        """
        try:
            if not self._made:
                self._files.makedirs(self._folder, exist_ok=True)
                self._made = True
            self._files.pipe_file(f"{self._folder}/{name}", pack(arrays))
        except FileNotFoundError as error:
            raise self._gone(name) from error
        except OSError as error:
            raise VolumeError(f"cannot write {name} to {self._folder} ({reason(error)})") from error

    def get(self, name: str) -> dict[str, np.ndarray]:
        """Reads an object.

        Raises:
            VolumeError: it is not there, or damaged.
        """
        try:
            return unpack(self._files.cat_file(f"{self._folder}/{name}"))
        except FileNotFoundError as error:
            raise self._gone(name) from error
        except (OSError, ValueError) as error:
            advice = f"if another process works on this target, {WAIT}; otherwise remove the target and begin again"
            raise VolumeError(f"cannot read {name} from {self._folder} ({reason(error)}); {advice}") from error

    def clear(self) -> None:
        """Removes all objects."""
        self._files.invalidate_cache()
        with suppress(FileNotFoundError):  # another process does the same
            if self._files.exists(self._folder):
                self._files.rm(self._folder, recursive=True)
        self._made = False

    def _gone(self, name: str) -> VolumeError:
        found = f"{name} is gone from {self._folder}: another process worked on this target, and has finished it"
        return VolumeError(f"{found} or is still at work; {WAIT}")


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as one compressed object that begins with its checksum."""
    memory = io.BytesIO()
    np.savez_compressed(memory, allow_pickle=False, **arrays)
    data = memory.getvalue()
    return sha256(data).digest() + data


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """The arrays that were packed.

    Raises:
        ValueError: the object was not written to its end, or has changed since.
    """
    if sha256(data[CHECK:]).digest() != data[:CHECK]:
        raise ValueError("the object is damaged")
    with np.load(io.BytesIO(data[CHECK:]), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
