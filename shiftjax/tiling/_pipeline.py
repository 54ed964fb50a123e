"""Tiles in, outputs out: reading, transfers and the caller's writing overlap with the computation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shiftjax._checks import fail, integer
from shiftjax.certifier import CertificationError, certify
from shiftjax.tiling._aligned import stacked
from shiftjax.tiling._compiled import Callee, Fn
from shiftjax.tiling._plan import Place, TilePlan

ReadTile = Callable[[Place], np.ndarray]
Group = tuple[Place, ...]


class Lane(NamedTuple):
    """Where calls run, one at a time: a device or a mesh of devices, with the parameters there."""

    callee: Callee
    place: Any
    sharding: NamedSharding | None


def stream(
    fn: Fn,
    plan: TilePlan,
    read_tile: ReadTile,
    places: Iterable[Place],
    *,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    mesh: Mesh | None = None,
    checked: bool = False,
) -> Iterator[tuple[Place, Any]]:
    """Runs a function over tiles, with one compiled shape.

    Each device computes one batch while the next one is read and sent and the last one is fetched and used by the
    caller, so that a device holds two batches of inputs and outputs and the temporaries of one.

    Args:
        fn: the function that was planned for.
        plan: from `plan_tiles`.
        read_tile: gives the input of a tile, `(batch, *plan.tile_input, channel)`; called ahead, in another thread.
        places: the tiles.
        batch_size: tiles per call; by default the plan's.
        devices: tiles are spread over these; by default all that this process has.
        mesh: a mesh of devices that shares out every single tile instead, one spatial axis per axis of the mesh.
        checked: whether the caller has had `check_function` look at this function and plan.

    Yields:
        The place of a tile and its output, `(batch, *plan.tile_output, channel)` on the host, in the order of `places`;
        a pytree of such where the function returns one.

    Raises:
        ValueError: the function is not the one that was planned for, or bad options.
    """
    count = plan.batch_size if batch_size is None else integer("batch_size", batch_size, least=1)
    if count > 1 and not plan.batchwise:
        fail("batch_size", "1, since this function may mix the images of a batch", count)
    if not checked:
        check_function(fn, plan)
    lanes = _lanes(fn, plan, count, devices, mesh)
    turn, running = cycle(lanes), deque[tuple[Group, Any]]()
    # A CPU shares its memory with the host: there, no tile beyond the next one is read.
    ahead = len(lanes) + (jax.default_backend() != "cpu")
    for group, tiles in _ahead(read_tile, _groups(places, count), count, ahead):
        lane = next(turn)
        sent = jax.device_put(tiles, lane.place)
        done = running.popleft() if len(running) == len(lanes) else None
        if done:
            jax.block_until_ready(done[1])  # one call at a time, or a device would hold the temporaries of two
        outputs = lane.callee(sent, plan.crops, lane.sharding)
        running.append((group, outputs))
        if done:
            yield from _apart(*done, plan.image_shape[0])
            del done
        del outputs, sent, tiles
    while running:
        yield from _apart(*running.popleft(), plan.image_shape[0])


def check_function(fn: Fn, plan: TilePlan) -> None:
    """Refuses any other function than the one planned for, also where its outputs have the planned shapes."""
    image = jax.ShapeDtypeStruct(plan.certificate.shape, plan.dtype)
    mend = "make a plan for this function"
    try:
        found = certify(fn, image)
    except CertificationError as error:
        fail("fn", "the function that was planned for", f"one without a certificate ({error})", mend)
    if [leaf.shape for leaf in found.leaves] != [leaf.shape for leaf in plan.certificate.leaves]:
        shapes = [leaf.shape for leaf in plan.certificate.leaves]
        fail("fn", f"the planned outputs {shapes}", [leaf.shape for leaf in found.leaves], mend)
    if not plan.certificate.same_map(found):
        fail("fn", "the function that was planned for", "one that computes something else", mend)


def _lanes(
    fn: Fn, plan: TilePlan, count: int, devices: Sequence[jax.Device] | None, mesh: Mesh | None
) -> tuple[Lane, ...]:
    callee = Callee(fn, plan.certificate.fingerprint)
    if mesh is None:
        chosen = _default_devices() if devices is None else tuple(devices)
        if not chosen:
            fail("devices", "at least one device", devices)
        calls = -(-math.prod(plan.grid) // count)
        return tuple(Lane(callee.to(device), device, None) for device in chosen[:calls])
    if devices is not None:
        fail("devices", "nothing beside `mesh`", devices, "give one of the two")
    if len(mesh.axis_names) > len(plan.period):
        fail("mesh", f"at most {len(plan.period)} axes, one per spatial axis", mesh.axis_names)
    whole = NamedSharding(mesh, PartitionSpec())
    return (Lane(callee.to(whole), whole, NamedSharding(mesh, PartitionSpec(None, *mesh.axis_names))),)


def _default_devices() -> tuple[jax.Device, ...]:
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return (chosen,) if isinstance(chosen, jax.Device) else tuple(jax.local_devices(backend=chosen))


def _groups(places: Iterable[Place], count: int) -> Iterator[Group]:
    left = iter(places)
    while group := tuple(islice(left, count)):
        yield group


def _ahead(read_tile: ReadTile, groups: Iterator[Group], count: int, depth: int) -> Iterator[tuple[Group, np.ndarray]]:
    """Groups with their inputs, up to `depth` of them read in another thread before they are asked for."""

    def read(group: Group) -> np.ndarray:
        return stacked([read_tile(place) for place in group], count)  # one compiled shape

    waiting = deque[tuple[Group, Future[np.ndarray]]]()
    reader = ThreadPoolExecutor(1, thread_name_prefix="tiles")
    try:
        for group in groups:
            waiting.append((group, reader.submit(read, group)))
            if len(waiting) >= depth:
                yield _taken(waiting)
        while waiting:
            yield _taken(waiting)
    finally:
        reader.shutdown(cancel_futures=True)


def _taken(waiting: deque[tuple[Group, Future[np.ndarray]]]) -> tuple[Group, np.ndarray]:
    """The first that is waiting, kept nowhere else."""
    group, future = waiting.popleft()
    return group, future.result()


def _apart(group: Group, outputs: Any, batch: int) -> Iterator[tuple[Place, Any]]:
    """The outputs of single tiles, on the host."""
    host = jax.tree.map(np.asarray, outputs)
    for k, place in enumerate(group):
        yield place, jax.tree.map(lambda y, k=k: y[k * batch : (k + 1) * batch], host)
