"""Intermediate results, kept beside a target until it is finished: small objects, written whole, checked when read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

import numpy as np

from shiftjax._extras import require
from shiftjax.volume._storage.errors import WAIT, VolumeError, storage_errors

CHECKSUM = 32  # bytes of SHA-256, in front of each object


class Intermediates:
    """Named objects of a few arrays each, in a folder of any file system that fsspec knows."""

    def __init__(self, uri: str, storage_options: dict[str, Any] | None = None) -> None:
        self._files, self._folder = require("fsspec.core", "volume").url_to_fs(uri, **(storage_options or {}))
        self._has_folder = False

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes an object; returns when it is stored.

        Raises:
            VolumeError: it could not be written.
        """
        with self._errors("write", name):
            if not self._has_folder:
                self._files.makedirs(self._folder, exist_ok=True)
                self._has_folder = True
            self._files.pipe_file(f"{self._folder}/{name}", pack(arrays))

    def get(self, name: str) -> dict[str, np.ndarray]:
        """Reads an object.

        Raises:
            VolumeError: it does not exist, or is damaged.
        """
        advice = f"if another process works on this target, {WAIT}; otherwise remove the target and begin again"
        with self._errors("read", name, advice):
            return unpack(self._files.cat_file(f"{self._folder}/{name}"))

    def clear(self) -> None:
        """Removes all objects.

        Raises:
            VolumeError: they could not be removed.
        """
        with storage_errors(f"remove the intermediate results in {self._folder}"), suppress(FileNotFoundError):
            # Another process may be doing the same: what it has removed already is no error.
            self._files.invalidate_cache()
            if self._files.exists(self._folder):
                self._files.rm(self._folder, recursive=True)
        self._has_folder = False

    @contextmanager
    def _errors(self, action: str, name: str, advice: str = "") -> Iterator[None]:
        with storage_errors(f"{action} {name} in {self._folder}", advice):
            try:
                yield
            except FileNotFoundError as error:
                # Only a process that has finished the whole target removes this folder.
                raise VolumeError(
                    f"{name} is gone from {self._folder}: another process worked on this target, and has finished it "
                    f"or is still at work; {WAIT}"
                ) from error


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
    if sha256(data[CHECKSUM:]).digest() != data[:CHECKSUM]:
        raise ValueError("the object is damaged")
    with np.load(io.BytesIO(data[CHECKSUM:]), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
