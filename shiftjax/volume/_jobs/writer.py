"""Writing behind the computation: a short queue, and each item journaled once its data are stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from shiftjax.volume._jobs.job import Images, Item, Work
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.target import Target

DEPTH = 2  # outputs that wait or are being written


class Writer:
    """Stores outputs in another thread, in order; `finished` is called in the caller's thread once one is stored."""

    def __init__(self, work: Work, target: Target, finished: Callable[[Item], object]) -> None:
        self._work, self._target, self._finished = work, target, finished
        self._waiting = deque[tuple[Item, Future[None]]]()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")

    def put(self, item: Item, images: Images) -> None:
        """Queues an output; waits while the queue is full.

        Raises:
            VolumeError: an earlier output could not be stored.
        """
        while len(self._waiting) >= DEPTH:
            self._settle()
        self._waiting.append((item, self._thread.submit(self._write, item, images)))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *raised: Any) -> None:
        """Waits for the queue, so that all that is stored counts, whatever went wrong before."""
        failed: VolumeError | None = None
        while self._waiting:
            try:
                self._settle()
            except VolumeError as error:
                failed = failed or error
        self._thread.shutdown()
        if failed and raised[0] is None:
            raise failed

    def _settle(self) -> None:
        item, future = self._waiting.popleft()
        future.result()
        self._finished(item)

    def _write(self, item: Item, images: Images) -> None:
        time, *place = item
        try:
            self._target.write(self._work.plan.output_slices(tuple(place)), images, time=time)
        except VolumeError as error:
            raise VolumeError(f"{self._work.describe(item)}: {error}") from error.__cause__


def run_here(
    work: Work,
    target: Target,
    items: Iterable[Item],
    finished: Callable[[Item], object],
    skipped: Callable[[Item], object],
    **options: Any,
) -> None:
    """Computes items in this process and stores them; options as `Work.outputs` takes them.

    Raises:
        VolumeError: with the tile and the pixels that cannot be read or written.
    """
    with Writer(work, target, finished) as writer:
        for item, images in work.outputs(items, skipped=skipped, **options):
            writer.put(item, images)
