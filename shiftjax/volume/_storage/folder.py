"""Folders of named objects: the one place that writes small objects, and that makes what was written durable.

Names are names: nothing here expands patterns, whatever characters a user's path has. An object is written whole or not
at all. On this machine it is on the disk when `put` returns (fsync of the file and of its folder); elsewhere that is
the promise of the store, whose writes return once the object is kept.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from shiftjax._extras import require
from shiftjax.volume._storage.retry import patiently
from shiftjax.volume._storage.uri import is_local

PARTIAL = ".partial"  # how zarr, too, ends the names of files that are not written to their end
ATOMIC = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"}  # stores that create an object only once
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP)  # file systems over a network that know no fsync, often of folders
ONE_AT_A_TIME = threading.Lock()  # memory is shared by the threads of one process


@runtime_checkable
class Folder(Protocol):
    """A folder of any file system. Names may have slashes.

    Attributes:
        uri: for messages.
        creates_once: whether of two processes that create one object at once exactly one is told that it did.
    """

    uri: str
    creates_once: bool

    def names(self) -> list[str]:
        """Of what lies in the folder itself, files and folders; none where there is none, its own if it is a file."""

    def sizes(self) -> dict[str, int]:
        """Bytes of every object below the folder; links are followed."""

    def get(self, name: str) -> bytes:
        """An object.

        Raises:
            FileNotFoundError: there is none.
        """

    def put(self, name: str, data: bytes) -> None:
        """Writes an object; returns when it is stored for good."""

    def create(self, name: str, data: bytes) -> bool:
        """Writes an object; False, and nothing is changed, where another one has the name already."""

    def remove(self, name: str) -> None:
        """Removes an object; one that is gone already is no error."""

    def sync(self, names: Iterable[str]) -> None:
        """Makes objects durable that others wrote; where it fails they are to be written again.

        A disk that could not keep them may say so only once, and forget them.
        """


def open_folder(uri: str, storage_options: dict[str, Any] | None = None) -> Folder:
    """The folder at a path or fsspec URI; nothing is made."""
    return LocalFolder(uri) if is_local(uri) else RemoteFolder(uri, storage_options)


class LocalFolder:
    """A folder of this machine, or of a file server that it has mounted."""

    creates_once = True

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._linked = set[str]()  # folders whose own entry is known to be on the disk

    def names(self) -> list[str]:
        def listed() -> list[str]:
            try:
                return sorted(os.listdir(self.uri))
            except FileNotFoundError:
                return []
            except NotADirectoryError:
                return [os.path.basename(self.uri)]

        return patiently(listed)

    def sizes(self) -> dict[str, int]:
        return patiently(lambda: dict(_files_below(self.uri, "", frozenset())))

    def get(self, name: str) -> bytes:
        return patiently(lambda: self._read(name))

    def put(self, name: str, data: bytes) -> None:
        patiently(lambda: self._write(name, data, os.replace))

    def create(self, name: str, data: bytes) -> bool:
        try:
            patiently(lambda: self._write(name, data, _link_once))
        except FileExistsError:
            return self.get(name) == data  # written by the first of two tries
        return True

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            patiently(lambda: self._unlink(name))

    def sync(self, names: Iterable[str]) -> None:
        folders = set()
        for name in names:
            path = self._path(name)
            _sync(path)
            folders.add(os.path.dirname(path))
        for folder in folders:
            self._sync_folder(folder)

    def _path(self, name: str) -> str:
        return os.path.join(self.uri, *name.split("/"))

    def _read(self, name: str) -> bytes:
        with open(self._path(name), "rb") as file:
            return file.read()

    def _unlink(self, name: str) -> None:
        os.unlink(self._path(name))

    def _write(self, name: str, data: bytes, move: Any) -> None:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        draft = f"{path}.{secrets.token_hex(8)}{PARTIAL}"
        try:
            with open(draft, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            move(draft, path)
        finally:
            with suppress(OSError):
                os.unlink(draft)  # what was moved is gone already
        self._sync_folder(os.path.dirname(path))

    def _sync_folder(self, folder: str) -> None:
        """The entries of a folder, and once the folder's own entry in those above it."""
        _sync(folder)
        while folder not in self._linked and folder != os.path.dirname(folder):
            with suppress(PermissionError):  # folders above the target need not be ours
                _sync(os.path.dirname(folder))
            self._linked.add(folder)
            folder = os.path.dirname(folder)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def _link_once(draft: str, path: str) -> None:
    """Gives a whole file its name, where nothing has it."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an empty file takes the name first
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.replace(draft, path)


def _files_below(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """Name and size of every file; a folder that lies within itself, by a link, is looked at once."""
    try:
        place = os.stat(folder)
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    if (place.st_dev, place.st_ino) in above:
        return
    for entry in entries:
        if entry.is_dir():
            within = above | {(place.st_dev, place.st_ino)}
            yield from _files_below(entry.path, f"{prefix}{entry.name}/", within)
        else:
            with suppress(FileNotFoundError):  # removed meanwhile, or a link to nothing
                yield prefix + entry.name, entry.stat().st_size


class RemoteFolder:
    """A folder in any other file system that fsspec knows."""

    def __init__(self, uri: str, storage_options: dict[str, Any] | None = None) -> None:
        self.uri = uri
        self._files, self._folder = require("fsspec.core", "volume").url_to_fs(uri, **(storage_options or {}))
        protocol = self._files.protocol
        self.creates_once = bool(ATOMIC & {protocol} if isinstance(protocol, str) else ATOMIC & set(protocol))

    def names(self) -> list[str]:
        def listed() -> list[str]:
            self._files.invalidate_cache()  # other processes write too
            try:
                paths = self._files.ls(self._folder, detail=False)
            except FileNotFoundError:
                return []
            return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

        return patiently(listed)

    def sizes(self) -> dict[str, int]:
        def found() -> dict[str, int]:
            self._files.invalidate_cache()
            objects = self._files.find(self._folder, detail=True)
            return {path.removeprefix(self._folder).lstrip("/"): each["size"] for path, each in objects.items()}

        return patiently(found)

    def get(self, name: str) -> bytes:
        return patiently(lambda: self._files.cat_file(self._path(name)))

    def put(self, name: str, data: bytes) -> None:
        self._make_parent(name)
        patiently(lambda: self._files.pipe_file(self._path(name), data))

    def create(self, name: str, data: bytes) -> bool:
        self._make_parent(name)
        try:
            with ONE_AT_A_TIME:
                patiently(lambda: self._files.pipe_file(self._path(name), data, mode="create"))
        except FileExistsError:
            return self.get(name) == data  # written by the first of two tries
        return True

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            patiently(lambda: self._files.rm_file(self._path(name)))

    def sync(self, names: Iterable[str]) -> None:
        """The store's own promise: an object is kept once its write has returned."""

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _make_parent(self, name: str) -> None:
        self._files.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
