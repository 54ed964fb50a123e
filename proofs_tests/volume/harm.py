"""Harm that is done to a run: a process that dies between two writes, a disk that fails, bits that change."""

from __future__ import annotations

import errno
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import zarr.storage._local as zarr_local
from fsspec.implementations.memory import MemoryFileSystem

from shiftjax.volume._storage import claim, retry
from shiftjax.volume._storage.folder import LocalFolder

Fault = Callable[[int, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]  # the write's number, and the write


class Damage:
    """As a test of the input: passes all tiles, but damages a file when it is first asked."""

    def __init__(self, path):
        self.path = path

    def __call__(self, tile):
        self.path.write_bytes(b"\xff" * 20)
        return True


class Dead(Exception):
    """What the disk answers to a process that was killed: nothing."""


WRITES = ((LocalFolder, "_write"), (LocalFolder, "_unlink"), (zarr_local, "_put"))
READS = ((LocalFolder, "_read"), (zarr_local, "_get"))
IN_MEMORY = ((MemoryFileSystem, "pipe_file"), (MemoryFileSystem, "rm_file"))


@contextmanager
def faults(places, fault: Fault) -> Iterator[list[int]]:
    """Within it all that is done at some places goes through `fault`; gives the number of times so far."""
    count, lock = [0], threading.Lock()

    def guarded(original):
        def call(*args, **options):
            with lock:
                number = count[0]
                count[0] += 1
            return fault(number, original, args, options)

        return call

    with ExitStack() as patched:
        for owner, name in places:
            patched.enter_context(patch.object(owner, name, guarded(getattr(owner, name))))
        yield count


@contextmanager
def killed(before: int, *, torn: bool = False) -> Iterator[list[int]]:
    """Within it the process is dead from that write on: nothing is written or removed any more.

    Args:
        before: the number of the first write that is not made.
        torn: whether half of it is, as by a file system that does not write whole files.
    """

    def fault(number, original, args, options):
        if number < before:
            return original(*args, **options)
        if torn and number == before and original.__name__ in ("_put", "_write"):
            path = args[0] if original.__name__ == "_put" else Path(args[0]._path(args[1]) + f".{number}.partial")
            data = args[1].to_bytes() if original.__name__ == "_put" else args[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            if not (path.exists() and (options.get("exclusive") or args[2:3] == (True,))):  # which writes nothing
                path.write_bytes(data[: len(data) // 2])
        raise Dead

    who = claim._who
    with faults(WRITES + IN_MEMORY, fault) as count, patch.object(claim, "_who", lambda: {**who(), "started": "0"}):
        yield count


def failing(chance: float, code: int, rng: random.Random, *, after: int = 0) -> Fault:
    """A disk that fails now and then, once it was used a few times."""

    def fault(number, original, args, options):
        if number >= after and rng.random() < chance:
            raise OSError(code, errno.errorcode[code])
        return original(*args, **options)

    return fault


def at_once():
    """What is tried again is tried again at once."""
    return patch.object(retry, "DELAYS", (0.0,) * len(retry.DELAYS))


def flip(path: Path, rng: random.Random) -> None:
    """Changes one bit of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


HARMS: dict[str, Callable[[Path, random.Random], object]] = {
    "gone": lambda path, rng: path.unlink(),
    "empty": lambda path, rng: path.write_bytes(b""),
    "zeroed": lambda path, rng: path.write_bytes(bytes(path.stat().st_size)),
    "truncated": lambda path, rng: path.write_bytes(path.read_bytes()[: rng.randrange(1, path.stat().st_size)]),
    "flipped": flip,
}


def chunks(folder: Path) -> list[Path]:
    """The files that hold an array's pixels, in order."""
    kept = ("journal", "claim", "versions", "intermediates", "results", "codebook", "fragments", "labels", "stages")
    files = (path for path in folder.rglob("*") if path.is_file() and path.name[0] not in "z.")
    return sorted(path for path in files if not set(path.relative_to(folder).parts[:-1]) & set(kept))


def new_memory() -> str:
    """A folder in memory that nobody has used."""
    return f"memory://{uuid.uuid4().hex}/o"
