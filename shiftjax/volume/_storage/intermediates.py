"""Intermediate results, kept beside a target until it is finished: small objects, written whole, checked when read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from shiftjax.volume._storage.errors import VolumeError, reason, storage_errors
from shiftjax.volume._storage.folder import open_folder

CHECKSUM = 32  # bytes of SHA-256, in front of each object


class LostError(VolumeError):
    """An intermediate result that is gone or damaged, and is to be computed again."""


class Intermediates:
    """Named objects of a few arrays each, in a folder of any file system that fsspec knows."""

    def __init__(self, uri: str, storage_options: dict[str, Any] | None = None) -> None:
        self._folder = open_folder(uri, storage_options)

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes an object; returns when it is stored.

        Raises:
            VolumeError: it could not be written.
        """
        with storage_errors(f"write {name} in {self._folder.uri}"):
            self._folder.put(name, pack(arrays))

    def get(self, name: str) -> dict[str, np.ndarray]:
        """Reads an object.

        Raises:
            LostError: it does not exist, or is damaged.
            VolumeError: it cannot be read.
        """
        with storage_errors(f"read {name} in {self._folder.uri}"):
            try:
                return unpack(self._folder.get(name))
            except (FileNotFoundError, ValueError) as error:
                raise LostError(f"{name} in {self._folder.uri} is lost ({reason(error)})") from error

    def names(self) -> set[str]:
        """Of all objects, damaged ones included.

        Raises:
            VolumeError: they cannot be listed.
        """
        with storage_errors(f"list the intermediate results in {self._folder.uri}"):
            return set(self._folder.names())

    def clear(self) -> None:
        """Removes all objects, what killed writes left included.

        Raises:
            VolumeError: they could not be removed.
        """
        with storage_errors(f"remove the intermediate results in {self._folder.uri}"):
            for name in self._folder.sizes():
                self._folder.remove(name)


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
        raise ValueError("the object is damaged: its checksum does not fit")
    with np.load(io.BytesIO(data[CHECKSUM:]), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
