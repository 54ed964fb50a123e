"""Which tiles are computed: those that meet a region, and those where a mask or a test says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from shiftjax._ahead import read_ahead
from shiftjax._arithmetic import ceil_div
from shiftjax._checks import fail, shown, told
from shiftjax.tiling import TileIndex, TilePlan
from shiftjax.volume._jobs.tiles import READ_AHEAD, TileAtTime, VolumeTiles
from shiftjax.volume._sources.mask import open_mask
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.finished import bounds_of, is_plain

TileTest = Callable[[np.ndarray], Any]


def select_tiles(tiles: VolumeTiles, region: Any, mask: Any, missing: Any = "fill") -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the tiles that a region and a mask leave at all time points; None for either leaves all.

    Returns:
        Those, and the tiles of the region that the mask leaves out.

    Raises:
        ValueError: as `in_region` and `in_mask`.
    """
    meets = (lambda tile: True) if region is None else in_region(tiles.plan, region)
    laid = None if mask is None else open_mask("where", mask, tiles.source, missing)
    marks = (lambda tile, frame: True) if laid is None else in_mask(tiles.plan, laid)
    shape = (tiles.source.times, *tiles.plan.grid)
    met, marked = np.zeros(shape, bool), np.zeros(shape, bool)
    for frame in range(1 if laid is None else laid.times):
        here = slice(None) if laid is None or laid.times == 1 else frame  # a mask of one image counts for all of them
        for tile in filter(meets, np.ndindex(*tiles.plan.grid)):
            met[(here, *tile)], marked[(here, *tile)] = True, marks(tile, frame)
    return np.flatnonzero(marked), np.flatnonzero(met & ~marked)


def in_region(plan: TilePlan, region: Any) -> Callable[[TileIndex], bool]:
    """Whether a tile meets a region, given as slices in image pixels, one per spatial axis (z, y, x).

    Raises:
        ValueError: a region that is not such, or that is empty.
    """
    space = plan.image_shape[1:-1]
    parts = region if isinstance(region, Sequence) else ()
    if len(parts) != len(space) or not all(map(is_plain, parts)):
        fail("region", f"{len(space)} slices of integers with step 1, one per spatial axis", shown(region))
    bounds = bounds_of(region, space)

    def meets(tile: TileIndex) -> bool:
        pixels = zip(_pixels_under(plan, tile), bounds, strict=True)
        return all(part.start < stop and part.stop > start for part, (start, stop) in pixels)

    return meets


def in_mask(plan: TilePlan, mask: Source) -> Callable[..., bool]:
    """Whether a mask is nonzero anywhere in what a tile delivers; given the tile, and the number of the mask's image.

    Args:
        plan: of the tiles.
        mask: of the image's size, or downsampled by an integer factor per axis, with or without a pixel for the
            remainder at the end. If several factors fit the mask's size, a tile is computed when any of them marks it:
            a tile too many costs time, a tile too few costs objects.

    Raises:
        ValueError: a mask of another size.
    """
    space = plan.image_shape[1:-1]
    same_rank = len(mask.space) == len(space)
    factors = [_factors(n, m) for n, m in zip(space, mask.space, strict=True)] if same_rank else []
    if not factors or not all(factors):
        fail("where", f"a mask of {space} pixels, or of an integer fraction of it", mask.space)

    def marks(tile: TileIndex, frame: int = 0) -> bool:
        parts = zip(_pixels_under(plan, tile), factors, mask.space, strict=True)
        return bool(mask.at(frame)(tuple(_mask_pixels(*part) for part in parts)).any())

    return marks


def _pixels_under(plan: TilePlan, tile: TileIndex) -> tuple[slice, ...]:
    """The image pixels by which a tile is chosen, per spatial axis: `plan.output_slices`, and all below its outputs.

    These are the same but where nothing is padded and the function loses the border: there output pixel 0 lies over a
    pixel further in, and so do all others.
    """
    below = []
    for j, (own, n) in enumerate(zip(plan.output_slices(tile), plan.image_shape[1:-1], strict=True)):
        ends = [own.start, own.stop]
        for output, parts in zip(plan.outputs, plan.delivered(tile), strict=True):
            place, stride, part = output.place[j], output.stride[j], parts[j]
            if part.start < part.stop:
                half = (stride - 1) / 2  # a pixel of the output lies in the middle of so many more on either side
                ends += [math.floor(place + part.start * stride - half)]
                ends += [math.ceil(place + (part.stop - 1) * stride + half) + 1]
        below.append(slice(max(0, min(ends)), min(n, max(ends))))
    return tuple(below)


def _factors(n: int, m: int) -> range:
    """All factors by which `m` mask pixels may stand for `n` image pixels, the remainder dropped or rounded up."""
    candidates = range(max(1, n // (m + 1)), ceil_div(n, max(1, m - 1)) + 1)
    fitting = [f for f in candidates if m in (n // f, ceil_div(n, f))]
    return range(fitting[0], fitting[-1] + 1) if fitting else range(0)


def _mask_pixels(part: slice, factors: range, m: int) -> slice:
    """The pixels of the mask, of `m` along this axis, that stand for these of the image by any of the factors."""
    return slice(min(part.start // factors[-1], m - 1), min(ceil_div(part.stop, factors[0]), m))


def worth_computing(
    tiles: Iterator[TileAtTime],
    read: Callable[[TileAtTime], np.ndarray],
    test: TileTest,
    blocks: dict[TileAtTime, np.ndarray],
    skip: Callable[[TileAtTime], object],
) -> Iterator[TileAtTime]:
    """The tiles whose input passes a test, which leaves their inputs in `blocks`; the others go to `skip`."""
    for tile, block in read_ahead(read, tiles, ahead=READ_AHEAD):
        if _answer(test, block):
            blocks[tile] = block
            yield tile
        else:
            skip(tile)


def _answer(test: TileTest, block: np.ndarray) -> bool:
    """What a test says of a tile; errors that it raises itself are the user's own."""
    try:
        answer = test(block)
    except TypeError as error:  # it takes something else
        expected = "a function of a tile that gives True or False"
        raise ValueError(f"`where`: expected {expected}, found one that raises {told(error)}.") from error
    if np.shape(answer) != ():
        found = f"an array of shape {np.shape(answer)}"
        fail("where", "a function of a tile that gives True or False", found, "use `.any()`")
    return bool(answer)
