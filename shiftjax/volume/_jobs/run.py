"""One run over a volume: what is left to do, the journal, the bar, and one clear sentence when storage fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from shiftjax._extras import require
from shiftjax.volume._jobs.job import Item, Work
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.target import Target


class Run:
    """Goes over the chosen tiles of all time points, those that the journal lists left out.

    Args:
        work: what to compute.
        target: where its journal is.
        tiles: numbers of the chosen tiles, in raster order.
        progress: whether to show a bar.
        name: of the journal, where the work on a target has several passes.
        writes: whether a finished item is one whose chunks the target has; one that has lost some is computed again.
    """

    def __init__(
        self,
        work: Work,
        target: Target,
        tiles: np.ndarray,
        progress: bool,
        *,
        name: str = "journal",
        writes: bool = True,
    ) -> None:
        self._work, self._target, self._tiles = work, target, tiles
        self._journal = target.journal(name)
        if writes:
            self._journal.finished.difference_update(lost(work, target, self._journal.finished))
        self._done = sum(number in self._journal.finished for number in self._numbers())
        total = len(tiles) * work.source.times
        bar = require("tqdm", "volume").tqdm
        self._total = total
        self._bar = bar(
            total=total,
            initial=self._done,
            desc="tiles" if name == "journal" else name,
            unit=" tiles",
            disable=not progress,
        )

    def finish(self, item: Item) -> None:
        """Counts an item whose data are stored."""
        self._done += 1
        self._bar.update()
        try:
            self._journal.add(self._work.number(item))
        except OSError as error:
            raise VolumeError(f"cannot write the journal of {self._target.uri} ({reason(error)})") from error

    def skip(self, item: Item) -> None:
        """Counts an item that the test left out; it is tested again by another run."""
        self._bar.update()

    def __call__(self, compute: Callable[[Iterator[Item]], Any]) -> None:
        """Has the items that are left computed.

        Raises:
            VolumeError: storage failed; says what is kept and how to go on.
        """
        try:
            compute(self._left())
            self._flush()
        except VolumeError as error:
            with suppress(VolumeError):  # the first error is the one to tell
                self._flush()
            kept = f"{self._done - self._journal.unwritten} of {self._total} tiles are finished and kept"
            raise VolumeError(f"{error}. {kept}; mend the cause, and the same call goes on from there") from error
        except BaseException:  # an interrupt, or the network's own error
            with suppress(VolumeError):
                self._flush()
            raise
        finally:
            self._bar.close()

    def _flush(self) -> None:
        try:
            self._journal.flush()
        except OSError as error:
            raise VolumeError(f"cannot write the journal of {self._target.uri} ({reason(error)})") from error

    def _left(self) -> Iterator[Item]:
        finished = frozenset(self._journal.finished)
        return (self._work.item(number) for number in self._numbers() if number not in finished)

    def _numbers(self) -> Iterator[int]:
        count = int(np.prod(self._work.plan.grid))
        return (time * count + int(tile) for time in range(self._work.source.times) for tile in self._tiles)


def lost(work: Work, target: Target, numbers: Iterable[int | str]) -> list[int]:
    """Those of finished items of which chunks have been removed from the target since."""
    finished = sorted(int(number) for number in numbers)
    if not finished:
        return []
    items = map(work.item, finished)
    written = ((time, work.plan.output_slices(tuple(place))) for time, *place in items)
    return [number for number, gone in zip(finished, target.lost(written), strict=True) if gone]
