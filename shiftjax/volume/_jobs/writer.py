"""Writing behind the computation: a short queue, and each tile reported once its pixels are stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from shiftjax.volume._jobs.job import Images
from shiftjax.volume._jobs.tiles import TileAtTime, VolumeTiles
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.journal import Receipt
from shiftjax.volume._storage.reading import NOTHING_READ, Reading
from shiftjax.volume._targets.target import Place, Target

DEPTH = 2  # outputs that wait or are being written: one to write, one to take over; more would only fill the memory


class Writer:
    """Stores outputs in another thread, in order; `finish` is called in the caller's thread once one is stored.

    The order matters: a journal that knew a tile before its pixels are stored would lose them in a kill.
    """

    def __init__(
        self,
        tiles: VolumeTiles,
        target: Target,
        finish: Callable[[TileAtTime, Receipt], object],
        places: Callable[[TileAtTime], Place] | None = None,
    ) -> None:
        self._tiles, self._target, self._finish = tiles, target, finish
        self._places = places or tiles.output_slices  # what a tile writes; by default the image pixels that it delivers
        self._waiting = deque[tuple[TileAtTime, Reading, Future[str]]]()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")

    def put(self, tile: TileAtTime, images: Images, reading: Reading = NOTHING_READ) -> None:
        """Queues an output, and what was read for it; waits while the queue is full.

        Raises:
            VolumeError: an earlier output could not be stored.
        """
        while len(self._waiting) >= DEPTH:
            self._settle()
        self._waiting.append((tile, reading, self._thread.submit(self._write, tile, images)))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *raised: Any) -> None:
        """Waits for the queue, so that all that is stored counts, whatever went wrong before."""
        failure: VolumeError | None = None
        while self._waiting:
            try:
                self._settle()
            except VolumeError as error:
                failure = failure or error
        self._thread.shutdown()
        if failure and raised[0] is None:
            raise failure

    def _settle(self) -> None:
        tile, reading, future = self._waiting.popleft()
        self._finish(tile, Receipt(reading.digest, future.result(), reading.missing))

    def _write(self, tile: TileAtTime, images: Images) -> str:
        try:
            return self._target.write(self._places(tile), images, time=tile[0])
        except VolumeError as error:
            raise VolumeError(f"{self._tiles.describe(tile)}: {error}") from error.__cause__
