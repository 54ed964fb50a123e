"""One writer at a time: a claim on a target, kept while its owner lives, and taken over when it does not.

A claim is an object `1`, `2`, `3`... in a folder; the highest number counts. It is made by creating an object that is
not there, which only one of several processes can, so that a claim is also taken over by one of them: by creating the
next number. Its owner renews it every few seconds. A claim has lapsed when its owner is known to have ended (a process
of this machine), or when it was not renewed for `LEASE` seconds; the clocks of two machines may differ, so it is then
also watched for a while before it is taken over. A store that cannot create an object only once keeps two processes
apart that begin more than a second after one another.

An owner that was paused for so long finds the higher number, and stops. What it wrote meanwhile does no harm: the
target's identity is bound to it for good, so that every writer writes the same bytes.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from shiftjax.volume._storage.errors import VolumeError, storage_errors
from shiftjax.volume._storage.folder import Folder, open_folder

LEASE = 60.0  # seconds that a claim holds after it was last renewed
RELEASED = set[str]()  # claims of this process that it has given back, whether or not they could be removed
BEAT = LEASE / 4  # seconds between two renewals: three may fail


class Claim:
    """The right to write a target; a context manager. Only who holds it writes.

    Args:
        uri: the folder of claims.
        target: for messages.
        storage_options: for the file system, as fsspec takes them.
    """

    def __init__(self, uri: str, target: str, storage_options: dict[str, Any] | None = None) -> None:
        self.uri = uri
        self._folder, self._target = open_folder(uri, storage_options), target
        self._number, self._ended, self._renewing = 0, threading.Event(), threading.Lock()
        self._lost: dict[str, Any] | None = None
        now = time.time()
        self._content = {**_who(), "token": secrets.token_hex(16), "since": now, "renewed": now}

    @property
    def token(self) -> str:
        """What tells this claim from all others."""
        return str(self._content["token"])

    def __enter__(self) -> Claim:
        """Takes the claim.

        Raises:
            VolumeError: another process holds it; says who, since when and what to do.
        """
        try:
            with storage_errors(f"claim the target {self._target}"):
                while not self._take():
                    pass
        except BaseException:
            self.__exit__()  # it may have been created before what failed
            raise
        threading.Thread(target=self._renew, daemon=True, name="claim").start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._ended.set()
        RELEASED.add(self.token)
        with suppress(Exception), self._renewing:  # a claim that cannot be removed lapses by itself
            numbers = sorted(_numbers(self._folder))
            if holder(self._folder, numbers) == self.token:
                for number in numbers:  # and none that another process has taken since
                    self._folder.remove(str(number))

    def check(self) -> None:
        """Stops a writer that is not the owner any more.

        Raises:
            VolumeError: another process has taken over.
        """
        if self._lost is not None:
            raise VolumeError(
                f"the target {self._target} was taken over by {describe(self._lost)}, since this process gave no sign "
                f"of life for {LEASE:.0f} s; what it has finished is kept, and the other one goes on with it"
            )

    def _take(self) -> bool:
        """One try; False where another process was faster and everything must be looked at again."""
        number = max(_numbers(self._folder), default=0)
        before = _read(self._folder, number)
        if number and before is not None and not self._lapsed(number, before):
            raise VolumeError(
                f"the target {self._target} is being written by {describe(before)}; wait until it has ended, or end "
                f"it, then call again (if it was lost with its machine, its claim lapses {LEASE:.0f} s after its last "
                "sign of life)"
            )
        if not self._folder.create(str(number + 1), json.dumps(self._content).encode()):
            return False
        self._number = number + 1
        again = _read(self._folder, number)
        if max(_numbers(self._folder), default=0) != self._number or again not in (None, before):
            self._folder.remove(str(self._number))  # the claim that had lapsed was not the one that was there
            return False
        for lower in range(1, self._number):
            self._folder.remove(str(lower))
        return self._folder.creates_once or self._alone()

    def _alone(self) -> bool:
        """Where a store cannot create an object only once, the last of two writers holds it: look again later."""
        time.sleep(1.0)
        return holder(self._folder) == self.token

    def _lapsed(self, number: int, claim: dict[str, Any]) -> bool:
        if claim.get("token") in RELEASED or _has_ended(claim):
            return True
        if abs(time.time() - _renewed(claim)) < LEASE:  # a clock may be ahead, of a machine that is gone
            return False
        time.sleep(1.5 * BEAT)
        return _read(self._folder, number) == claim

    def _renew(self) -> None:
        while not self._ended.wait(BEAT):
            # A full disk or a lost connection: until the lease is over nobody minds. What was given back stays so.
            with suppress(Exception), self._renewing:
                if self._ended.is_set():
                    return
                number = max(_numbers(self._folder), default=0)
                holding = _read(self._folder, number)
                if holding is None or holding.get("token") != self.token:
                    self._lost = holding or {}
                    return
                self._content["renewed"] = time.time()
                self._folder.put(str(number), json.dumps(self._content).encode())


def holder(folder: Folder, numbers: Sequence[int] | None = None) -> str | None:
    """The token of the claim that holds, among those of these numbers; None where there is none."""
    claim = _read(folder, max(_numbers(folder) if numbers is None else numbers, default=0))
    return None if claim is None else claim.get("token")


def _renewed(claim: dict[str, Any]) -> float:
    """When a claim was renewed last, by its owner's clock; long ago where it does not say."""
    try:
        return float(claim["renewed"])
    except (KeyError, TypeError, ValueError):
        return 0.0


def describe(claim: dict[str, Any]) -> str:
    """Who holds a claim and since when, for people."""
    try:
        since = datetime.fromtimestamp(claim["since"]).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        silent = max(0.0, time.time() - claim["renewed"])
        return (
            f"process {claim['pid']} of {claim['user']} on {claim['host']}, since {since}, last sign of life "
            f"{silent:.0f} s ago"
        )
    except (KeyError, TypeError, ValueError):
        return "another process"


def _numbers(folder: Folder) -> list[int]:
    return [int(name) for name in folder.names() if name.isdecimal()]


def _read(folder: Folder, number: int) -> dict[str, Any] | None:
    """A claim; None where there is none, and empty where nobody can read it."""
    try:
        claim = json.loads(folder.get(str(number)))
        return claim if isinstance(claim, dict) else {}
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _who() -> dict[str, Any]:
    """This process: for people, and so that other processes of this machine can tell whether it still lives."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container in which users have no names
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "an unknown user"
    pid = os.getpid()
    return {"host": socket.gethostname(), "user": user, "pid": pid, "machine": _machine(), "started": _started(pid)}


def _machine() -> list[str] | None:
    """Where process numbers mean the same: this start of this machine, and this container of it. Linux tells."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return [socket.gethostname(), file.read().strip(), os.readlink("/proc/self/ns/pid")]
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process began, since numbers are used again; None where there is no such process, or no telling."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]  # a zombie writes nothing any more


def _has_ended(claim: dict[str, Any]) -> bool:
    """Whether the owner of a claim is known to have ended."""
    here, there = _machine(), claim.get("machine")
    if here is None or not isinstance(there, list) or len(there) != 3 or not isinstance(claim.get("pid"), int):
        return False
    if here != there or claim.get("started") is None:  # another machine, or this one before it was started again
        return False
    return _started(claim["pid"]) != claim["started"]
