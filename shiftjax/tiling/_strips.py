"""Strips of an image, each computed as a stream: a step reads what is new, and delivers what has come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from shiftjax._ahead import read_ahead
from shiftjax._checks import fail, shown
from shiftjax.tiling._compiled import CompiledFunction, Fn
from shiftjax.tiling._pipeline import check_function
from shiftjax.tiling._plan import TileIndex, TilePlan
from shiftjax.tiling._stream_call import constants, derived, initial, step


def strips(plan: TilePlan) -> Iterator[Iterator[TileIndex]]:
    """The steps of every strip, in order."""
    axis = plan.stream
    assert axis is not None
    order = sorted(plan.tiles(), key=lambda tile: (*tile[:axis], *tile[axis + 1 :], tile[axis]))
    for _, steps in groupby(order, key=lambda tile: (*tile[:axis], *tile[axis + 1 :])):
        yield steps


def run_strips(
    fn: Fn,
    plan: TilePlan,
    read_tile: Callable[[TileIndex], np.ndarray],
    *,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    mesh: Mesh | None = None,
) -> Iterator[tuple[TileIndex, Any]]:
    """Runs a function over an image in strips.

    The next step's pixels are read and the last step's outputs are used by the caller while one is computed.

    Args:
        fn: the function that was planned for.
        plan: from `plan_tiles`, of a stream.
        read_tile: gives the input of a step, as `plan.read_input` does; called ahead, in another thread.
        batch_size: 1, if it is given.
        devices: one device, if they are given.
        mesh: none.

    Yields:
        A step and its output on the host, as `run_tiles` does; steps that deliver nothing are left out.
    """
    for name, value, alone in (("batch_size", batch_size, 1), ("devices", devices, None), ("mesh", mesh, None)):
        if value is not None and value != alone and not (name == "devices" and single(value)):
            fail(name, "what a stream takes, one step at a time on one device", shown(value), "plan with `stream=False`")
    check_function(fn, plan, batch_size=1)
    axis, places = plan.stream, plan.certificate.places
    assert axis is not None
    function = CompiledFunction.of(fn, plan.certificate.fingerprint)
    device = devices[0] if devices else None
    function = function if device is None else function.to(device)
    traced = jax.ShapeDtypeStruct(plan.certificate.shape, plan.dtype)
    stream = derived(function, traced, axis, places)
    if stream.leads != plan.leads or plan.tile_output[axis] % stream.period:
        fail("plan", "the stream that was planned", "one that runs otherwise, of another version", "plan again")
    tree = jax.tree.structure(function.returned(traced))
    fixed = constants(function.arrays, stream)

    def read(tile: TileIndex) -> np.ndarray:
        return read_tile(tile)

    for steps in strips(plan):
        state = jax.device_put(initial(stream), device)
        running: tuple[TileIndex, list[Any]] | None = None
        for tile, pixels in read_ahead(read, steps, ahead=0 if jax.default_backend() == "cpu" else 1):
            starts = None if plan.pad is not None else np.array(plan.crop_starts(tile), np.int32)
            sent = jax.device_put(pixels, device)
            state, outputs = step(fixed, state, sent, starts, stream, plan.crops)
            if running:
                yield from _delivered(plan, tree, *running)
            running = tile, outputs
        if running:
            yield from _delivered(plan, tree, *running)


def single(devices: Any) -> bool:
    """Whether this is a list of one device."""
    return isinstance(devices, list | tuple) and len(devices) == 1 and isinstance(devices[0], jax.Device)


def _delivered(plan: TilePlan, tree: Any, tile: TileIndex, outputs: Iterable[Any]) -> Iterator[tuple[TileIndex, Any]]:
    """The outputs of a step, cut to what it delivers, if that is anything."""
    if all(any(part.start == part.stop for part in parts) for parts in plan.delivered(tile)):
        return
    kept = dict(zip(plan.certificate.places, outputs, strict=True))
    parts = {place: np.asarray(y)[at] for (place, y), at in zip(kept.items(), plan.inside(tile), strict=True)}
    yield tile, jax.tree.unflatten(tree, [parts.get(k) for k in range(tree.num_leaves)])
