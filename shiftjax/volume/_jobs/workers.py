"""The same passes over the workers of a `dask.distributed` client. The main process alone keeps the journal."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from shiftjax._checks import fail, shown
from shiftjax.volume._jobs.cluster import POLL, Cluster, check_client
from shiftjax.volume._jobs.tiles import Progress, TileAtTime
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.journal import NOTHING, Receipt
from shiftjax.volume._storage.retry import TRIED_AGAIN, times_tried_again

TASKS = 2  # per worker: one that runs and one that waits
ATTEMPTS = 3  # for a task whose worker dies: it may be the task that kills it, by the memory it takes
CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)  # of a client or a connection that ends
ONE_AT_A_TIME = threading.Lock()  # a worker with several threads would hold as many tiles on its device

Group = tuple[TileAtTime, ...]
Compute = Callable[[Iterable[TileAtTime], Progress], None]


@dataclass
class Report:
    """What a worker did with a group of tiles.

    Attributes:
        finished: tiles whose results are stored, with their receipts.
        skipped: tiles that were not worth computing.
        failure: what stopped the worker; empty where nothing did.
        tried_again: how often it tried something again.
    """

    finished: dict[TileAtTime, Receipt] = field(default_factory=dict)
    skipped: list[TileAtTime] = field(default_factory=list)
    failure: str = ""
    tried_again: int = 0

    def finish(self, tile: TileAtTime, receipt: Receipt = NOTHING) -> None:
        """Notes a tile whose result is stored."""
        self.finished[tile] = receipt

    def skip(self, tile: TileAtTime) -> None:
        """Notes a tile that was not worth computing."""
        self.skipped.append(tile)


def run_group(compute: Compute, group: Group) -> Report:
    """What a worker does: computes and stores a group of tiles, and reports instead of raising what storage raises.

    A report keeps what was finished before the failure, which an exception would lose.
    """
    report = Report()
    with ONE_AT_A_TIME:
        try:
            compute(group, report)
        except VolumeError as error:
            report.failure = str(error)
        report.tried_again = times_tried_again()
    return report


def check_reachable(client: Any, source: Source, target: str) -> None:
    """Refuses what the processes of a cluster cannot share."""
    check_client(client)
    for name, uri in (("source", source.name), ("target", target)):
        if uri.startswith("memory:"):
            fail(name, "storage that all workers reach", shown(uri), "memory belongs to one process")


def run_on_workers(
    client: Any,
    compute: Compute,
    groups: Iterator[Group],
    progress: Progress,
    *,
    describe: Callable[[TileAtTime], str],
) -> None:
    """Spreads groups of tiles over workers; a group whose worker dies is given to another one.

    That is safe because no two tiles share a chunk: a tile that is computed twice writes the same bytes twice.

    Args:
        client: of `dask.distributed`.
        compute: the pass, sent to every worker once.
        groups: what to compute; taken as workers become free.
        progress: told, in this process, how each tile ended.
        describe: a tile for people.

    Raises:
        VolumeError: storage failed on a worker, the pass cannot be sent, workers keep dying, or none is left.
    """
    cluster = Cluster(client)
    count = cluster.wait_for_workers()
    sent = _scatter(client, cluster, compute)
    done: SimpleQueue[Any] = SimpleQueue()
    submitted: dict[Any, tuple[Group, int]] = {}

    def submit(group: Group, attempt: int) -> None:
        future = client.submit(run_group, sent, group, pure=False)
        submitted[future] = group, attempt
        future.add_done_callback(done.put)

    failure: Exception | None = None
    try:
        for group in islice(groups, TASKS * count):
            submit(group, 1)
        while submitted:
            try:
                future = done.get(timeout=POLL)
            except Empty:
                cluster.check()
                continue
            group, attempt = submitted.pop(future)
            report = _report(cluster, future)
            if isinstance(report, Report):
                TRIED_AGAIN[0] += report.tried_again
                for tile, receipt in report.finished.items():
                    progress.finish(tile, receipt)
                for tile in report.skipped:
                    progress.skip(tile)
                failure = failure or (VolumeError(report.failure) if report.failure else None)
                # After a failure nothing new begins, but what is running may still finish and count.
                for following in islice(groups, 0 if failure else 1):
                    submit(following, 1)
            elif future.status != "error" and attempt < ATTEMPTS and failure is None:
                cluster.wait_for_workers()
                sent = _scatter(client, cluster, compute)  # the workers that held it may all be gone
                submit(group, attempt + 1)
            else:
                failure = failure or _failure(describe(group[0]), future, report)
    finally:
        cluster.forget(list(submitted))
    if failure:
        raise failure


def _scatter(client: Any, cluster: Cluster, compute: Compute) -> Any:
    """Sends the pass to all workers."""
    try:
        return cluster.ask(lambda: client.scatter(compute, broadcast=True, hash=False))
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        mend = "define it at the top of a module, and pass arrays as leaves of a `jax.tree_util.Partial`"
        fail("fn", "a function and a source that can be sent to workers", reason(error), mend)
    except (OSError, TimeoutError, RuntimeError, *CANCELLED) as error:
        if isinstance(error, VolumeError):
            raise
        raise VolumeError(
            f"the work cannot be sent to the workers ({reason(error)}); start the cluster again"
        ) from error


def _report(cluster: Cluster, future: Any) -> Report | str:
    """What a worker did; or what became of that, where it was lost before or after it had finished."""
    if future.status != "finished":
        return str(future.status)
    try:
        return cluster.ask(future.result)
    except VolumeError:
        raise
    except (Exception, *CANCELLED) as error:  # of the network, or of a client that ends
        return reason(error)


def _failure(first: str, future: Any, lost: str) -> Exception:
    if future.status != "error":
        return VolumeError(f"{first}: its workers were lost {ATTEMPTS} times ({lost})")
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return VolumeError(f"{first}: each worker that tried it died, perhaps for want of memory ({reason(error)})")
    return error
