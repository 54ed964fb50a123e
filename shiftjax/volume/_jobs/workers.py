"""The same tiles over the workers of a `dask.distributed` client. The main process alone keeps the journal."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from shiftjax._checks import fail
from shiftjax._extras import require
from shiftjax.volume._jobs.job import Item, Work
from shiftjax.volume._jobs.writer import run_here
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.source import Source
from shiftjax.volume._storage.target import Target, open_target

CALLS = 4  # of the network in one task: few enough to lose little with a worker, enough to overlap reading and writing
TASKS = 2  # per worker: one that runs and one that waits
ATTEMPTS = 3  # for a task whose worker dies
LOST = ("lost", "cancelled")
ONE_AT_A_TIME = threading.Lock()  # a worker with several threads would hold as many tiles on its device

Group = tuple[Item, ...]
Report = tuple[list[Item], list[Item], str]  # stored, left out by the test, what failed


def check_reachable(client: Any, source: Source, target: str, devices: Any, mesh: Any) -> None:
    """Refuses what the processes of a cluster cannot share."""
    if not hasattr(client, "submit") or not hasattr(client, "scatter"):
        fail("client", "a client of `dask.distributed`", type(client).__name__)
    if devices is not None or mesh is not None:
        fail("devices", "nothing beside `client`", "a choice", "each worker uses its own devices")
    for name, uri in (("source", source.name), ("target", target)):
        if uri.startswith("memory:"):
            fail(name, "storage that all workers reach", repr(uri), "memory belongs to one process")


def run_on_workers(
    client: Any,
    function: Callable[..., Report],
    shared: Any,
    target: Target,
    items: Iterator[Item],
    finished: Callable[[Item], object],
    skipped: Callable[[Item], object],
    *,
    size: int,
    describe: Callable[[Item], str],
) -> None:
    """Spreads items over workers in small groups; a group whose worker dies is given to another one.

    Args:
        client: of `dask.distributed`.
        function: what a worker does with a group: `function(shared, group, target.uri, target.storage_options)`.
        shared: sent to every worker once.
        target: opened by every worker for itself.
        items: what to do; taken as workers become free.
        finished: called in this process with each item that is stored.
        skipped: called in this process with each item that was left out.
        size: items in a group.
        describe: an item for people.

    Raises:
        VolumeError: storage failed on a worker, the work cannot be sent, or workers keep dying.
    """
    sent = _scatter(client, shared)
    groups = iter(lambda: tuple(islice(items, size)), ())
    running = require("distributed", "cluster").as_completed()
    given: dict[Any, tuple[Group, int]] = {}

    def submit(group: Group, attempt: int) -> None:
        options = target.uri, target.storage_options
        future = client.submit(function, sent, group, *options, pure=False)
        given[future] = group, attempt
        running.add(future)

    failure: Exception | None = None
    try:
        for group in islice(groups, TASKS * len(client.nthreads())):
            submit(group, 1)
        for future in running:
            group, attempt = given.pop(future)
            if future.status == "finished":
                stored, left_out, failed = future.result()
                for item in stored:
                    finished(item)
                for item in left_out:
                    skipped(item)
                failure = failure or (VolumeError(failed) if failed else None)
                for more in islice(groups, 0 if failure else 1):
                    submit(more, 1)
            elif future.status in LOST and attempt < ATTEMPTS and failure is None:
                sent = _scatter(client, shared)  # the workers that held it may all be gone
                submit(group, attempt + 1)
            else:
                failure = failure or _failure(describe(group[0]), future)
    finally:
        client.cancel(list(given))
    if failure:
        raise failure


def _scatter(client: Any, shared: Any) -> Any:
    """Sends the work to all workers."""
    client.wait_for_workers(1)
    try:
        return client.scatter(shared, broadcast=True, hash=False)
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        mend = "define it at the top of a module, and pass arrays as leaves of a `jax.tree_util.Partial`"
        fail("fn", "a function and a source that can be sent to workers", reason(error), mend)


def _failure(first: str, future: Any) -> Exception:
    if future.status in LOST:
        return VolumeError(f"{first}: its workers were lost {ATTEMPTS} times")
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return VolumeError(f"{first}: each worker that tried it died, perhaps for want of memory ({reason(error)})")
    return error


def group_size(work: Work) -> int:
    """Tiles in one task."""
    return CALLS * (work.batch_size or work.plan.batch_size)


def run_group(work: Work, group: Group, uri: str, storage_options: dict[str, Any] | None) -> Report:
    """What a worker does: computes a group of items and stores them; says which ones, and what failed."""
    stored: list[Item] = []
    left_out: list[Item] = []
    with ONE_AT_A_TIME:
        try:
            target = open_target(uri, mode="r+", storage_options=storage_options)
            run_here(work, target, group, stored.append, left_out.append)
        except VolumeError as error:
            return stored, left_out, str(error)
    return stored, left_out, ""
