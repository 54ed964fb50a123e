"""A cluster that may vanish: every question to it has an end, and nobody waits where nobody works."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from shiftjax._checks import fail
from shiftjax.volume._storage.errors import VolumeError

Result = TypeVar("Result")
SILENCE = 20.0  # seconds without a worker, or without an answer of the scheduler, after which a run gives up
ANSWER = 5.0  # seconds for the scheduler to answer
POLL = 0.5  # seconds between two looks


def check_client(client: Any) -> None:
    """Refuses what is no client, or one that cannot be asked."""
    if not hasattr(client, "submit") or not hasattr(client, "scatter"):
        fail("client", "a client of `dask.distributed`", type(client).__name__)
    if getattr(client, "asynchronous", False):
        fail(
            "client", "a synchronous client", "an asynchronous one", "make one with `Client(...)` outside `async` code"
        )
    status = getattr(client, "status", "running")
    if status != "running":
        fail("client", "a client that is connected", f"one that is {status}", "make a new one")


class Cluster:
    """The workers of a client, as long as there are any.

    Args:
        client: of `dask.distributed`.

    Raises:
        ValueError: it is none, or is not connected.
    """

    def __init__(self, client: Any) -> None:
        check_client(client)
        self._client, self._seen = client, time.monotonic()

    def workers(self) -> int:
        """How many there are now; 0 where the scheduler does not answer."""
        count = 0
        with suppress(Exception):  # of the network, and of the event loop, which ends with the client
            if self._client.status == "running":
                count = len(self._client.sync(self._client.scheduler.ncores, callback_timeout=ANSWER))
        if count:
            self._seen = time.monotonic()
        return count

    def check(self) -> None:
        """Gives up on a cluster that has been silent for too long.

        Raises:
            VolumeError: there has been no worker, or no scheduler, for `SILENCE` seconds.
        """
        if not self.workers() and time.monotonic() - self._seen > SILENCE:
            status = getattr(self._client, "status", "closed")
            lost = "no worker is left" if status == "running" else f"the scheduler is gone (the client is {status})"
            raise VolumeError(f"{lost}, for {SILENCE:.0f} s now; start the cluster again, or more workers")

    def wait_for_workers(self) -> int:
        """How many there are, once there is one.

        Raises:
            VolumeError: as `check`.
        """
        self._seen = time.monotonic()
        while not (count := self.workers()):
            self.check()
            time.sleep(POLL)
        return count

    def ask(self, call: Callable[[], Result]) -> Result:
        """What `call` gives; it may take any time, as long as there are workers.

        Raises:
            VolumeError: as `check`.
            Exception: what `call` raises.
        """
        answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def answer() -> None:
            try:
                answers.put((call(), None))
            except BaseException as error:  # that of a loop that ends is no Exception, and nobody would answer
                answers.put((None, error))

        Thread(target=answer, daemon=True, name="cluster").start()
        while True:
            try:
                result, error = answers.get(timeout=POLL)
            except Empty:
                self.check()
                continue
            if error is not None:
                raise error
            return result

    def forget(self, futures: list[Any]) -> None:
        """Cancels these futures, if there are workers left; nothing is waited for."""
        if futures and self.workers():
            Thread(target=self._cancel, args=(futures,), daemon=True, name="cluster").start()

    def _cancel(self, futures: list[Any]) -> None:
        with suppress(Exception):
            self._client.cancel(futures)
