"""A pass over the workers of a `dask.distributed` client: the same numbers, put together in the same order."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from shiftjax._checks import fail, told
from shiftjax.freezing._pass import Told, Work
from shiftjax.tiling import TileIndex
from shiftjax.volume import Cluster, VolumeError

GROUP = 4  # tiles of a task: few enough to lose little with a worker, enough to read while computing
TASKS = 2  # per worker: one that runs and one that waits
ONE_AT_A_TIME = threading.Lock()  # a worker with several threads would hold as many tiles on its device
AGAIN = "start the cluster again; with `journal=` the same call goes on after the last pass"


def on_workers(client: Any, work: Work, tiles: Iterable[TileIndex]) -> Iterator[Told]:
    """What tiles tell, computed by workers, in the order of the tiles.

    Args:
        client: of `dask.distributed`; its workers reach the image.
        work: sent to every worker once.
        tiles: taken as workers become free.

    Raises:
        ValueError: the function or the image cannot be sent.
        VolumeError: workers keep dying, or none is left.
    """
    cluster = Cluster(client)
    count = cluster.wait_for_workers()
    try:
        sent = cluster.ask(lambda: client.scatter(work, broadcast=True, hash=False))
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        mend = "define it at the top of a module, and pass arrays as leaves of a `jax.tree_util.Partial`"
        expected = "a function, an image and a `preprocess` that can be sent to workers"
        fail("fn", expected, f"one that cannot be pickled ({type(error.__cause__ or error).__name__})", mend)
    remaining, running = iter(tiles), deque[Any]()
    try:
        for group in iter(lambda: tuple(islice(remaining, GROUP)), ()):
            running.append(client.submit(_told, sent, group, pure=False))
            if len(running) >= TASKS * count:
                yield from _answer(cluster, running.popleft())
        while running:
            yield from _answer(cluster, running.popleft())
    finally:
        cluster.forget(list(running))


def _told(work: Work, group: tuple[TileIndex, ...]) -> list[Told]:
    with ONE_AT_A_TIME:
        return list(work.told(group))


def _answer(cluster: Cluster, future: Any) -> list[Told]:
    """The result of a task. dask gives it to another worker where its own dies; it only computes."""
    try:
        answer: list[Told] = cluster.ask(future.result)
    except Exception as error:
        if type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError"):
            raise VolumeError(f"the workers of a group of tiles were lost ({told(error)}); {AGAIN}") from error
        raise
    return answer
