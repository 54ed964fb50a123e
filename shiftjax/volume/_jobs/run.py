"""One run over a volume: what is left to do, the journal, the bar, and one clear sentence when storage fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from shiftjax._extras import require
from shiftjax.volume._jobs.tiles import Pass, TileAtTime, VolumeTiles
from shiftjax.volume._jobs.workers import run_on_workers
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.target import Target


class Run:
    """Goes over the chosen tiles of all time points, those that the journal lists left out.

    Args:
        tiles: of the volume.
        target: where its journal is.
        progress: whether to show a bar.
        numbers: of the tiles to go over, in their order; None for all.
        name: of the journal, where the work on a target has several passes.
        writes: whether a finished tile is one whose chunks the target has; one that has lost some is computed again.
    """

    def __init__(
        self,
        tiles: VolumeTiles,
        target: Target,
        progress: bool,
        *,
        numbers: np.ndarray | None = None,
        name: str = "journal",
        writes: bool = True,
    ) -> None:
        self._tiles = tiles
        self._numbers = np.arange(len(tiles)) if numbers is None else numbers
        self._journal = target.journal(name)
        if writes:
            self._journal.finished.difference_update(lost_tiles(tiles, target, self._journal.finished))
        self._finished = sum(number in self._journal.finished for number in self._numbers)
        self._bar = require("tqdm", "volume").tqdm(
            total=len(self._numbers),
            initial=self._finished,
            desc="tiles" if name == "journal" else name,
            unit=" tiles",
            disable=not progress,
        )

    def finish(self, tile: TileAtTime) -> None:
        """Counts and journals a tile whose result is stored."""
        self._finished += 1
        self._bar.update()
        self._journal.add(self._tiles.number(tile))

    def skip(self, tile: TileAtTime) -> None:
        """Counts a tile that is not worth computing; it is tested again by another run, perhaps with another test."""
        self._bar.update()

    def __call__(self, compute: Pass, *, client: Any = None, batch_size: int | None = None) -> None:
        """Computes the tiles that are left, in this process or on the workers of a cluster.

        Args:
            compute: the pass.
            client: of `dask.distributed`, or None for this process.
            batch_size: tiles per call; None for the plan's. A worker is given several calls at a time.

        Raises:
            VolumeError: storage failed; says what is kept and how to go on.
        """
        try:
            if client is None:
                compute(self._left(), self)
            else:
                batch = batch_size or self._tiles.plan.batch_size
                run_on_workers(client, compute, self._left(), self, batch=batch, describe=self._tiles.describe)
            self._journal.flush()
        except VolumeError as error:
            with suppress(VolumeError):  # the first error is the one to tell
                self._journal.flush()
            kept = self._finished - len(self._journal.unwritten)
            count = f"{kept} of {len(self._numbers)} tiles are finished and kept"
            raise VolumeError(f"{error}. {count}; mend the cause, and the same call goes on from there") from error
        except BaseException:  # an interrupt, or the network's own error: what is finished is kept all the same
            with suppress(VolumeError):
                self._journal.flush()
            raise
        finally:
            self._bar.close()

    def _left(self) -> Iterator[TileAtTime]:
        finished = frozenset(self._journal.finished)  # the journal's own set grows meanwhile
        return (self._tiles.tile(int(number)) for number in self._numbers if number not in finished)


def lost_tiles(tiles: VolumeTiles, target: Target, numbers: Iterable[int | str]) -> list[int]:
    """Those of finished tiles of which chunks have been removed from the target since.

    Raises:
        VolumeError: the target cannot be listed.
    """
    finished = sorted(int(number) for number in numbers)
    if not finished:
        return []
    written = ((tile[0], tiles.output_slices(tile)) for tile in map(tiles.tile, finished))
    return [number for number, lost in zip(finished, target.lost(written), strict=True) if lost]
