"""One run over a volume: what is left to do, the journal, the bar, and one clear sentence when storage fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from shiftjax._patience import say
from shiftjax.volume._jobs.bar import Bar
from shiftjax.volume._jobs.owned import Owned
from shiftjax.volume._jobs.resume import check_source, source_changed, unsound_tiles
from shiftjax.volume._jobs.tiles import Pass, TileAtTime, VolumeTiles
from shiftjax.volume._jobs.workers import run_on_workers
from shiftjax.volume._storage.claim import Claim
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.journal import NOTHING, Journal, Receipt
from shiftjax.volume._storage.reading import Reading
from shiftjax.volume._storage.retry import times_tried_again
from shiftjax.volume._targets.target import Place, Target


@dataclass(frozen=True)
class Options:
    """What a caller may choose about every pass over a volume.

    Attributes:
        progress: whether to show a bar.
        client: of `dask.distributed`, or None for this process.
        batch_size: tiles per call; None for the plan's. A worker is given several calls at a time.
        verify: True to read the source of finished tiles again, all of it; None to read a sample of it, and what is
            stored of the target; False to look only whether the target's chunks exist.
        accept_versions: whether workers may have other versions of the programs that compute.
    """

    progress: bool = True
    client: Any = None
    batch_size: int | None = None
    verify: bool | None = None
    accept_versions: bool = False


class Run:
    """Goes over the chosen tiles of all time points, those that the journal lists left out.

    Args:
        tiles: of the volume.
        target: where its journal is.
        claim: on the target, held by this process.
        options: of the caller.
        numbers: of the tiles to go over, in their order; None for all.
        left_out: numbers of those that a mask leaves out.
        name: of the journal, where the work on a target has several passes.
        reread: reads what a tile is made from once more, for a look at the source before anything is added.
        unsound: given the journal, the finished tiles whose results are lost or damaged; by default those of the
            target's chunks.
        places: the pixels of the target that a tile writes; by default those of the image that it delivers.
        before: called once before the first tile that is left, if there is any.
        read: by an earlier pass over the same source: what this one reads must be the same.
    """

    def __init__(
        self,
        tiles: VolumeTiles,
        target: Target,
        claim: Claim,
        options: Options,
        *,
        numbers: np.ndarray | None = None,
        left_out: np.ndarray | None = None,
        name: str = "journal",
        reread: Callable[[TileAtTime], Reading] | None = None,
        unsound: Callable[[Journal], Iterable[int]] | None = None,
        places: Callable[[TileAtTime], Place] | None = None,
        before: Callable[[], object] = lambda: None,
        read: Mapping[Any, Receipt] = MappingProxyType({}),
    ) -> None:
        self._tiles, self._target, self._claim, self._options = tiles, target, claim, options
        self._numbers = tiles.in_order(np.arange(len(tiles)) if numbers is None else numbers)
        self._left_out = () if left_out is None else left_out
        self._reread, self._before, self._read = reread, before, read
        written = places or tiles.output_slices
        self._unsound = unsound or (lambda journal: unsound_tiles(tiles, target, journal, options.verify, written))
        self._journal = target.journal(name)
        self._finished, self._missing = 0, 0
        self._title = "tiles" if name == "journal" else name
        self._bar: Bar | None = None

    def finish(self, tile: TileAtTime, receipt: Receipt = NOTHING) -> None:
        """Counts and journals a tile whose result is stored.

        Raises:
            VolumeError: another process has taken over; or the tile was finished before, of another source.
        """
        self._claim.check()
        number = self._tiles.number(tile)
        before, earlier = self._journal.receipts.get(number, NOTHING), self._read.get(number, NOTHING)
        changed = before.read and not before.missing and before.read != receipt.read
        # Not even a chunk that was missing may come between two passes, whose results would not fit together.
        if changed or (earlier.read and earlier.read != receipt.read):
            raise source_changed(self._tiles, [number], 1)
        self._finished += 1
        self._missing += receipt.missing > 0
        if self._bar:
            self._bar.update()
        self._journal.add(number, receipt)

    def skip(self, tile: TileAtTime) -> None:
        """Counts a tile that is not worth computing; it is tested again by another run, perhaps with another test."""
        self._journal.leave_out(self._tiles.number(tile))
        if self._bar:
            self._bar.update()

    def __call__(self, compute: Pass) -> None:
        """Computes the tiles that are left, in this process or on the workers of a cluster.

        Args:
            compute: the pass.

        Raises:
            VolumeError: storage failed; says what is kept and how to go on.
        """
        client = self._options.client
        self._look_again()
        self._journal.wanted(map(int, self._numbers))
        self._finished = sum(number in self._journal.finished for number in self._numbers)
        if self._finished < len(self._numbers):
            self._before()
        shown = self._options.progress
        self._bar = Bar(total=len(self._numbers), done=self._finished, title=self._title, shown=shown)
        try:
            if client is None:
                compute(self._left(), self)
            else:
                groups = self._tiles.tasks(self._left(), self._options.batch_size)
                owned = Owned.of(compute, self._target, self._claim, self._options.accept_versions)
                run_on_workers(client, owned, groups, self, describe=self._tiles.describe)
            for number in self._left_out:
                self._journal.leave_out(int(number))
            self._claim.check()
            self._journal.flush()
        except VolumeError as error:
            with suppress(VolumeError):  # the first error is the one to tell
                self._journal.flush()
            kept = self._finished - sum(receipt is not None for receipt in self._journal.unwritten.values())
            count = f"{kept} of {len(self._numbers)} tiles are finished and kept"
            raise VolumeError(f"{error}. {count}; mend the cause, and the same call goes on from there") from error
        except BaseException:  # an interrupt, or the network's own error: what is finished is kept all the same
            with suppress(VolumeError):
                self._journal.flush()
            raise
        finally:
            self._bar.close()
        self._tell()

    def _look_again(self) -> None:
        """Takes from the finished tiles those that are to be computed again.

        Raises:
            VolumeError: the source has changed.
        """
        unsound = list(self._unsound(self._journal))
        if self._reread is not None:
            unsound += check_source(self._tiles, self._journal, self._reread, self._options.verify, unsound)
        self._journal.finished.difference_update(unsound)

    def _tell(self) -> None:
        """What a run went through without stopping."""
        if self._missing:
            source = self._tiles.source
            fill = getattr(source.array, "fill_value", 0)
            again = "they are computed again by the same call once the chunks are there"
            once_there = again if self._title == "tiles" else "once they are there, the same call is refused"
            say(
                f"{self._missing} tiles read chunks that {source.name} has not, as its fill value {fill}; "
                f"{once_there}; missing='error' refuses them"
            )
        if tried_again := times_tried_again():
            say(f"{tried_again} reads or writes failed and were tried again")

    def _left(self) -> Iterator[TileAtTime]:
        finished = frozenset(self._journal.finished)  # the journal's own set grows meanwhile
        return (self._tiles.tile(int(number)) for number in self._numbers if number not in finished)
