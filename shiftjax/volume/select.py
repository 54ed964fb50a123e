"""Which tiles are computed: those that meet a region, and those where a mask or a test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from shiftjax._checks import fail
from shiftjax.tiling.plan import Place, TilePlan
from shiftjax.volume.axes import spatial
from shiftjax.volume.source import Source, open_source

Region = Sequence[slice]
Test = Callable[[np.ndarray], Any]
AHEAD = 2  # tiles read while one is tested


def in_region(plan: TilePlan, region: Region | None) -> Callable[[Place], bool]:
    """Whether a tile meets a region, given as slices in image pixels, one per spatial axis (z, y, x).

    Raises:
        ValueError: a region that is not such, or that is empty.
    """
    if region is None:
        return lambda place: True
    space = plan.image_shape[1:-1]
    if len(region) != len(space) or not all(isinstance(at, slice) and at.step in (None, 1) for at in region):
        fail("region", f"{len(space)} slices of step 1, one per spatial axis", region)
    bounds = [at.indices(n)[:2] for at, n in zip(region, space, strict=True)]
    if any(start >= stop for start, stop in bounds):
        fail("region", f"pixels within the image, {space}", region)

    def meets(place: Place) -> bool:
        kept = plan.output_slices(place)
        return all(at.start < stop and at.stop > start for at, (start, stop) in zip(kept, bounds, strict=True))

    return meets


def in_mask(plan: TilePlan, mask: Any, axes: str) -> Callable[[Place], bool]:
    """Whether a mask is nonzero anywhere in what a tile delivers.

    Args:
        plan: of the tiles.
        mask: array, or path or URI of one; one axis for each spatial axis of the source, in the source's order; of the
            image's size, or of an integer fraction of it (rounded up) per axis.
        axes: of the source.

    Raises:
        ValueError: a mask of another size.
    """
    names = "".join(name for name in axes if name in spatial(axes))
    stored = mask if isinstance(mask, Source) else open_source(mask, names)
    space = plan.image_shape[1:-1]
    factors = [max(1, round(n / m)) for n, m in zip(space, stored.space, strict=True)]
    if any(-(-n // f) != m for n, f, m in zip(space, factors, stored.space, strict=True)):
        fail("where", f"a mask of {space} pixels, or of an integer fraction of it", stored.space)
    read = stored.at(0)

    def holds(place: Place) -> bool:
        kept = zip(plan.output_slices(place), factors, strict=True)
        return bool(read(tuple(slice(at.start // f, -(-at.stop // f)) for at, f in kept)).any())

    return holds


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
            if bool(test(tile)):
                kept[item] = tile
                yield item
            else:
                skipped(item)


def _ahead(pairs: Iterator[tuple[Place, Future[np.ndarray]]]) -> Iterator[tuple[Place, Future[np.ndarray]]]:
    waiting = deque(islice(pairs, AHEAD))
    while waiting:
        waiting.extend(islice(pairs, 1))
        yield waiting.popleft()
