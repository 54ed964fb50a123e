"""What a journal calls finished is looked at once more before a run goes on: the target's tiles, and the source's.

A journal tells what was true when it was written. Since then chunks may have been lost or damaged, by a disk or by
somebody; those tiles are computed again. And the source may have changed: then nothing may be added to the target.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shiftjax._patience import say
from shiftjax.volume._jobs.tiles import TileAtTime, VolumeTiles
from shiftjax.volume._storage.errors import VolumeError
from shiftjax.volume._storage.journal import Journal
from shiftjax.volume._storage.reading import Reading
from shiftjax.volume._targets.target import Place, Target

Result = TypeVar("Result")
SAMPLED = 16  # finished tiles whose source a plain resume reads again, other ones each time
READERS = 4  # threads: storage answers several at once


def unsound_tiles(
    tiles: VolumeTiles,
    target: Target,
    journal: Journal,
    verify: bool | None,
    places: Callable[[TileAtTime], Place],
) -> list[int]:
    """Those of the finished tiles of which chunks are lost, or hold other pixels than were written.

    Args:
        tiles: of the volume.
        target: their pixels.
        journal: lists the finished ones.
        verify: False to look only whether the chunks exist.
        places: the pixels of the target that a tile writes.

    Raises:
        VolumeError: the target cannot be read.
    """
    finished = sorted(int(number) for number in journal.finished)
    if not finished:
        return []
    written = ((tile[0], places(tile)) for tile in map(tiles.tile, finished))
    unsound = {number for number, lost in zip(finished, target.lost(written), strict=True) if lost}
    if verify is not False:

        def damaged(number: int) -> bool:
            tile = tiles.tile(number)
            return target.stored_digest(places(tile), tile[0]) != journal.receipts[number].wrote

        there = [number for number in finished if number not in unsound]
        unsound.update(number for number, bad in _in_threads(damaged, there) if bad)
    if unsound:
        say(f"{len(unsound)} finished tiles of {target.uri} were lost or damaged, and are computed again")
    return sorted(unsound)


def check_source(
    tiles: VolumeTiles,
    journal: Journal,
    reread: Callable[[TileAtTime], Reading],
    verify: bool | None,
    unsound: Iterable[int] = (),
) -> list[int]:
    """Reads again what finished tiles were made from: all of it, a sample, or nothing.

    Args:
        tiles: of the volume.
        journal: lists the finished ones, with digests of what they read.
        reread: what is read for a tile.
        verify: True for all, None for a sample, False for nothing.
        unsound: finished tiles that are to be computed again, which are read in any case: before they are written.

    Returns:
        Tiles that read a chunk as missing which is there now.

    Raises:
        VolumeError: the source has changed; says where.
    """
    known = sorted(int(number) for number in journal.finished if journal.receipts[number].read)
    chosen = set(unsound).intersection(known)
    if verify is not False:
        chosen.update(known if verify else random.sample(known, min(SAMPLED, len(known))))
        chosen.update(number for number in known if journal.receipts[number].missing)
    returned: list[int] = []
    changed: list[int] = []
    for number, found in _in_threads(lambda number: reread(tiles.tile(number)), sorted(chosen)):
        before = journal.receipts[number]
        if found.digest != before.read:
            (returned if before.missing and found.missing < before.missing else changed).append(number)
    if changed:
        raise source_changed(tiles, changed, len(chosen))
    if returned:
        say(f"{len(returned)} tiles are computed again: chunks that {tiles.source.name} had not are there now")
    return returned


def source_changed(tiles: VolumeTiles, changed: list[int], looked_at: int) -> VolumeError:
    """What to say of tiles that were made from another source."""
    where = ", ".join(f"{tiles.locate(tiles.tile(number))}" for number in changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return VolumeError(
        f"the source {tiles.source.name} is not what it was when {where}{more} were computed ({len(changed)} of "
        f"{looked_at} tiles looked at); bring the earlier source back, or choose another target"
    )


def _in_threads(ask: Callable[[int], Result], numbers: Iterable[int]) -> Iterable[tuple[int, Result]]:
    chosen = list(numbers)
    with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as readers:
        yield from zip(chosen, readers.map(ask, chosen), strict=True)
