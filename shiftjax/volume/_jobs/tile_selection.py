"""Which tiles are computed: those that meet a region, and those where a mask or a test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from shiftjax._checks import fail
from shiftjax.tiling._plan import Place, TilePlan
from shiftjax.volume._storage.axes import spatial
from shiftjax.volume._storage.source import Source, open_source

Test = Callable[[np.ndarray], Any]
AHEAD = 2  # tiles read while one is tested


def in_region(plan: TilePlan, region: Any) -> Callable[[Place], bool]:
    """Whether a tile meets a region, given as slices in image pixels, one per spatial axis (z, y, x).

    Raises:
        ValueError: a region that is not such, or that is empty.
    """
    if region is None:
        return lambda place: True
    space = plan.image_shape[1:-1]
    parts = region if isinstance(region, Sequence) else ()
    if len(parts) != len(space) or not all(map(_plain, parts)):
        fail("region", f"{len(space)} slices of integers with step 1, one per spatial axis", repr(region))
    bounds = [at.indices(n)[:2] for at, n in zip(region, space, strict=True)]
    if any(start >= stop for start, stop in bounds):
        fail("region", f"pixels within the image, {space}", region)

    def meets(place: Place) -> bool:
        kept = plan.output_slices(place)
        return all(at.start < stop and at.stop > start for at, (start, stop) in zip(kept, bounds, strict=True))

    return meets


def _plain(at: Any) -> bool:
    """Whether this is a slice of integers of step 1."""
    return (
        isinstance(at, slice)
        and at.step in (None, 1)
        and all(end is None or isinstance(end, int | np.integer) for end in (at.start, at.stop))
    )


def in_mask(plan: TilePlan, mask: Any, axes: str) -> Callable[[Place], bool]:
    """Whether a mask is nonzero anywhere in what a tile delivers.

    Args:
        plan: of the tiles.
        mask: array, or path or URI of one; one axis for each spatial axis of the source, in the source's order; of the
            image's size, or of one pixel for each f of it per axis. What is left over at the end has a pixel or has
            none, and several f may give one size: a tile is computed if the mask means it by any of them.
        axes: of the source.

    Raises:
        ValueError: a mask of another size.
    """
    names = "".join(name for name in axes if name in spatial(axes))
    stored = mask if isinstance(mask, Source) else open_source(mask, names)
    space = plan.image_shape[1:-1]
    wanted = f"a mask of {space} pixels, or of an integer fraction of it"
    if len(stored.space) != len(space):
        fail("where", wanted, stored.space)
    factors = [_factors(n, m) for n, m in zip(space, stored.space, strict=True)]
    if not all(factors):
        fail("where", wanted, stored.space)
    read = stored.at(0)

    def holds(place: Place) -> bool:
        kept = zip(plan.output_slices(place), factors, stored.space, strict=True)
        return bool(read(tuple(_meant(at, fs, m) for at, fs, m in kept)).any())

    return holds


def _factors(n: int, m: int) -> range:
    """All f by which `m` pixels may stand for `n`, with or without one for what is left over at the end."""
    found = [f for f in range(n // (m + 1), -(-n // max(1, m - 1)) + 1) if f and m in (n // f, -(-n // f))]
    return range(found[0], found[-1] + 1) if found else range(0)


def _meant(at: slice, factors: range, m: int) -> slice:
    """The mask's pixels that stand for these of the image, by any of the factors."""
    return slice(min(at.start // factors[-1], m - 1), min(-(-at.stop // factors[0]), m))


def foreground(
    items: Iterator[Place],
    read: Callable[[Place], np.ndarray],
    test: Test,
    kept: dict[Place, np.ndarray],
    skipped: Callable[[Place], object],
) -> Iterator[Place]:
    """The tiles whose input passes `test`; the input is left in `kept`. Reads ahead in another thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="foreground") as reader:
        for item, future in _ahead((item, reader.submit(read, item)) for item in items):
            tile = future.result()
            if _answer(test(tile)):
                kept[item] = tile
                yield item
            else:
                skipped(item)


def _answer(found: Any) -> bool:
    """What a test says of a tile."""
    if np.shape(found) != ():
        fail(
            "where",
            "a function of a tile that gives True or False",
            f"an array of shape {np.shape(found)}",
            "use `.any()`",
        )
    return bool(found)


def _ahead(pairs: Iterator[tuple[Place, Future[np.ndarray]]]) -> Iterator[tuple[Place, Future[np.ndarray]]]:
    waiting = deque(islice(pairs, AHEAD))
    while waiting:
        waiting.extend(islice(pairs, 1))
        yield waiting.popleft()
