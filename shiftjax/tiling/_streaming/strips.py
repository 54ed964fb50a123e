"""Strips of an image, each computed as a stream: a step reads the next pixels, and gives the next ones of the outputs.

A strip begins at the first tile that is asked for and goes on to the last one. Where tiles in between are not asked
for, it goes on if that takes no more steps than to begin anew. A tile's pixels are the same, bit for bit, wherever the
strip began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from shiftjax._ahead import read_ahead
from shiftjax._checks import fail, shown
from shiftjax.tiling._compiled import CompiledFunction, Fn
from shiftjax.tiling._geometry.stream_axis import StreamAxis
from shiftjax.tiling._plan import TileIndex, TilePlan
from shiftjax.tiling._streaming.call import constants, derived, initial, step

Tile = TypeVar("Tile")


class Strip(NamedTuple):
    """Tiles that one stream computes: where the strip lies, and the caller's tile for each number along the axis."""

    at: TileIndex
    tiles: dict[int, Any]


def run_strips(
    fn: Fn,
    plan: TilePlan,
    read_tile: Callable[[Tile], np.ndarray],
    tiles: Iterable[Tile],
    index: Callable[[Tile], TileIndex],
    device: jax.Device | None,
) -> Iterator[tuple[Tile, Any]]:
    """Runs a function over an image in strips, on one device; `run_tiles` calls it and passes its arguments on.

    While a step is computed, the pixels of the next one are read and the caller uses the outputs of the last one. Tiles
    are read one after the other along a strip, and some beyond its last one: these are asked of `read_tile` as a tile
    of the strip with a larger number along the axis.

    Yields:
        As `run_tiles`.
    """
    axis, places = plan.stream, plan.certificate.places
    assert axis is not None
    along = plan.axes[axis]
    assert isinstance(along, StreamAxis)
    function = CompiledFunction.of(fn, plan.certificate.version)
    function = function if device is None else function.to(device)
    traced = jax.ShapeDtypeStruct(plan.certificate.shape, plan.dtype)
    stream = derived(function, traced, axis, places, plan.streamed_ends)
    if stream.leads != plan.leads or plan.tile_output[axis] % stream.period:
        fail("plan", "the stream that was planned", "one that runs otherwise, of another version", "plan again")
    tree: Any = jax.tree.structure(function.returned(traced))
    fixed = constants(function.arrays, stream)

    def delivered(tile: Tile, images: list[np.ndarray]) -> tuple[Tile, Any]:
        parts = [image[at] for image, at in zip(images, plan.inside(index(tile)), strict=True)]
        kept = dict(zip(places, parts, strict=True))
        return tile, jax.tree.unflatten(tree, [kept.get(k) for k in range(tree.num_leaves)])

    for strip in _strips(tiles, index, axis, along.latency):
        starts = None if plan.pad is not None else np.array(plan.crop_starts(strip.at), np.int32)
        state = jax.device_put(initial(stream), device)
        joined, running = _Joined(along, axis), deque[tuple[int, Any]]()
        first, last = min(strip.tiles), max(strip.tiles)
        known = next(iter(strip.tiles.values()))
        numbers = along.steps(first, last)
        steps = [strip.tiles.get(i) or _moved(known, axis, len(strip.at), i) for i in numbers]
        ahead = read_ahead(read_tile, steps, ahead=int(jax.default_backend() != "cpu"))
        for number, (_, pixels) in zip(numbers, ahead, strict=True):
            turn = number - along.idle
            at = np.int32(turn) if stream.has_ends and stream.meets_an_end(turn, along.step) else None
            state, outputs = step(fixed, state, jax.device_put(pixels, device), at, starts, stream, plan.crops)
            running.append((number, outputs))
            del pixels
            if len(running) > 1 and (i := joined.add(*running.popleft())) in strip.tiles:
                yield delivered(strip.tiles[i], joined.tile())
        del state  # before the next strip has one of its own
        assert joined.add(*running.popleft()) == last
        yield delivered(strip.tiles[last], joined.tile())


def _moved(tile: Any, axis: int, ndim: int, to: int) -> Any:
    """A tile further along the strip, in the caller's terms: with another number along the axis."""
    at = len(tile) - ndim + axis
    return (*tile[:at], to, *tile[at + 1 :])


def _strips(tiles: Iterable[Any], index: Callable[[Any], TileIndex], axis: int, filling: int) -> Iterator[Strip]:
    """Tiles in their order, cut into strips: in each, every tile lies further along than the last, but not too far."""
    strip, where, last = Strip((), {}), None, 0
    for tile in tiles:
        at = index(tile)
        here, number = (tile[: len(tile) - len(at)], at[:axis], at[axis + 1 :]), at[axis]
        if here != where or not 0 < number - last <= filling + 1:
            if strip.tiles:
                yield strip
            strip, where = Strip(at, {}), here
        strip.tiles[number] = tile
        last = number
    if strip.tiles:
        yield strip


class _Joined:
    """Puts together into tiles what the steps of a strip give."""

    def __init__(self, along: StreamAxis, axis: int) -> None:
        self._along, self._axis = along, axis + 1
        # A tile of output k begins in the oldest step that is kept, so many pixels behind the first that it gave.
        places = [divmod(along.behind(k), along.kept(k)) for k in range(len(along.outputs))]
        self._begins = [begin for _, begin in places]
        self._kept = [deque[np.ndarray](maxlen=along.latency - skipped + 1) for skipped, _ in places]

    def add(self, number: int, outputs: Iterable[Any]) -> int:
        """Adds what a step gave; returns the number of the tile that it completes, which need not be of the strip."""
        for kept, output in zip(self._kept, outputs, strict=True):
            kept.append(np.asarray(output))
        return number - self._along.latency

    def tile(self) -> list[np.ndarray]:
        """The outputs of that tile."""
        return list(map(self._tile, self._kept, self._begins))

    def _tile(self, kept: Sequence[np.ndarray], begin: int) -> np.ndarray:
        if begin == 0:
            return kept[0]
        before = (slice(None),) * self._axis
        return np.concatenate([kept[0][(*before, slice(begin, None))], kept[1][(*before, slice(begin))]], self._axis)


def one_at_a_time(batch_size: Any, devices: Any, mesh: Any) -> None:
    """Refuses options that a stream does not have."""
    mend = "plan with `stream=False`"
    if batch_size is not None and (isinstance(batch_size, bool) or batch_size != 1):
        fail("batch_size", "1, since a stream goes step by step", shown(batch_size), mend)
    if mesh is not None:
        fail("mesh", "None, since a stream runs on one device", shown(mesh), mend)
    listed = isinstance(devices, list | tuple) and len(devices) == 1 and isinstance(devices[0], jax.Device)
    if devices is not None and not listed:
        fail("devices", "a list of one device, since a stream runs on one", shown(devices), mend)


def in_strips(plan: TilePlan, tiles: Iterable[TileIndex]) -> list[TileIndex]:
    """Tiles in the order in which strips need them; in their own order where nothing is streamed.

    Args:
        plan: from `plan_tiles`.
        tiles: each as its numbers along the axes; where there are several images, the number of the image first.

    Returns:
        All of them, one strip after the other.
    """
    axis = plan.stream
    if axis is None:
        return list(tiles)
    behind = len(plan.tile_output) - axis
    return sorted(tiles, key=lambda tile: (*tile[:-behind], *tile[len(tile) - behind + 1 :], tile[-behind]))
