"""Tiles in, outputs out: reading, transfers and the caller's use of the outputs overlap with the computation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shiftjax._ahead import read_ahead
from shiftjax._arithmetic import ceil_div
from shiftjax._checks import fail, integer, room, shown, told
from shiftjax._network import network
from shiftjax.certifier import Certificate, CertificationError, batchwise, certify
from shiftjax.tiling._aligned import stacked
from shiftjax.tiling._compiled import CompiledFunction, Fn
from shiftjax.tiling._hosted import HostFunction, tile_function
from shiftjax.tiling._plan import TileIndex, TilePlan
from shiftjax.tiling._streaming.strips import one_at_a_time, run_strips

Tile = TypeVar("Tile")
MOST_TILES = 2**31 - 1  # in a call: the largest array size for XLA


class Lane(NamedTuple):
    """Where calls run, one at a time: a device or a mesh of devices, with the parameters there; None is the host."""

    function: CompiledFunction | HostFunction
    device: Any
    sharding: NamedSharding | None

    def send(self, tiles: np.ndarray) -> Any:
        """The tiles, sent to where they are computed."""
        return tiles if self.device is None else jax.device_put(tiles, self.device)


def run_tiles(
    fn: Fn,
    plan: TilePlan,
    read_tile: Callable[[Tile], np.ndarray],
    tiles: Iterable[Tile],
    index: Callable[[Tile], TileIndex],
    *,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    mesh: Mesh | None = None,
    checked: bool = False,
) -> Iterator[tuple[Tile, Any]]:
    """Runs a function over tiles, with one compiled shape.

    Each device computes one batch while the next one is read and sent and the last one is fetched and used by the
    caller, so that a device holds two batches of inputs and outputs and the temporaries of one.

    Args:
        fn: the function that was planned for.
        plan: from `plan_tiles`.
        read_tile: gives the input of a tile, `(batch, *plan.tile_input, channel)`, as `plan.read_input` does; called
            ahead, in another thread.
        tiles: the tiles in order, each as anything that `read_tile` and `index` take. For a stream, in the order of
            `in_strips`, and each a tuple that ends with the number of the tile along each axis.
        index: gives the number of a tile along each spatial axis.
        batch_size: tiles per call; by default the plan's.
        devices: tiles are spread over these; by default all that this process has.
        mesh: a mesh of devices that shares out every single tile instead, one spatial axis per axis of the mesh.
        checked: whether the caller has already called `check_function` for this function, plan and batch size.

    Yields:
        A tile and its output `(batch, *space, channel)` on the host, those pixels that `plan.delivered` names; a pytree
        of such where the function returns one, with None for an output that the certificate leaves out.

    Raises:
        ValueError: the function is not the one that was planned for, or bad options.
    """
    count = _tiles_per_call(plan, batch_size)
    if plan.stream is not None:
        one_at_a_time(batch_size, devices, mesh)
    if not checked:
        check_function(fn, plan, batch_size=count)
    if plan.stream is not None:
        yield from run_strips(fn, plan, read_tile, tiles, index, devices[0] if devices else None)
        return
    tile_shape = (count * plan.image_shape[0], *plan.tile_input, plan.image_shape[-1])
    room("batch_size", tile_shape, np.dtype(plan.dtype).itemsize, copies=3)
    lanes = _lanes(fn, plan, count, devices, mesh)
    next_lane, running = cycle(lanes), deque[tuple[tuple[Tile, ...], Any]]()

    def read(group: tuple[Tile, ...]) -> np.ndarray:
        return stacked([read_tile(tile) for tile in group], count)  # the last group too has the one compiled shape

    # Besides the batch that is handed over next, one is read ahead for every other device, so that none waits. For
    # accelerators one more is; a CPU shares its memory with the host, where one more would exceed the estimate.
    ahead = len(lanes) - (jax.default_backend() == "cpu")
    for group, batch in read_ahead(read, _groups(tiles, count), ahead=ahead):
        lane = next(next_lane)
        sent = lane.send(batch)
        done = running.popleft() if len(running) == len(lanes) else None
        if done:
            jax.block_until_ready(done[1])  # one call at a time, or a device would hold the temporaries of two
        # Where nothing is padded, what is kept of a tile depends on the tile.
        starts = None if plan.pad is not None else _crop_starts(plan, list(map(index, group)), count)
        outputs = lane.function(sent, plan.crops, plan.certificate.places, lane.sharding, starts)
        if lane.device is not None and jax.default_backend() != "cpu":  # which shares its memory with the host
            for output in jax.tree.leaves(outputs):
                output.copy_to_host_async()  # as soon as it is computed, while the next batch is
        running.append((group, outputs))
        if done:
            yield from _split(plan, index, *done)
        del outputs, sent, batch, done  # or they would be held while the next batch is waited for
    while running:
        yield from _split(plan, index, *running.popleft())


def _crop_starts(plan: TilePlan, tiles: Sequence[TileIndex], count: int) -> np.ndarray:
    """`(tile, output, axis)` the first pixel that is kept; the last tile is repeated to fill up the call."""
    starts = np.array([plan.crop_starts(tile) for tile in tiles], np.int32)
    return starts[np.minimum(np.arange(count), len(tiles) - 1)]


def _tiles_per_call(plan: TilePlan, batch_size: int | None) -> int:
    """As many as asked for, or the plan's; never more than there are."""
    asked = plan.batch_size if batch_size is None else integer("batch_size", batch_size, least=1, most=MOST_TILES)
    return min(asked, math.prod(plan.grid))


def keeps_images_apart(fn: Fn, plan: TilePlan, count: int) -> bool:
    """Whether the function is proved to treat each tile alone in calls of `count` tiles, which is how it is run."""
    batch = plan.image_shape[0]
    tile = jax.ShapeDtypeStruct(plan.certificate.shape, plan.dtype)
    return batchwise(fn, tile, images=(batch, count * batch), borders=plan.pad is None)


def check_function(fn: Fn, plan: TilePlan, *, batch_size: int | None = None) -> Certificate:
    """Refuses any function other than the one planned for, even one whose outputs have the planned shapes.

    Args:
        fn: a function of images `(batch, *space, channel)`.
        plan: from `plan_tiles`.
        batch_size: tiles per call; by default the plan's.

    Returns:
        The certificate of `fn` at a tile's shape.

    Raises:
        ValueError: `fn` computes something else, or may mix the images of a batch.
    """
    fn = network("fn", fn)
    count = _tiles_per_call(plan, batch_size)
    proved = count == 1 or (plan.batchwise and (count == plan.batch_size or keeps_images_apart(fn, plan, count)))
    if not proved:
        fail("batch_size", "1, since this function may mix the images of a batch", count)
    mend = "make a plan for this function"
    planned = plan.certificate
    try:
        certificate = certify(fn, jax.ShapeDtypeStruct(planned.shape, plan.dtype))
    except CertificationError as error:
        fail("fn", "the function that was planned for", f"one without a certificate ({error})", mend)
    except Exception as error:  # whatever the function raises
        fail("fn", "the function that was planned for", f"one that does not take a tile ({told(error)})", mend)
    shapes, planned_shapes = ([leaf.shape for leaf in each.leaves] for each in (certificate, planned))
    if shapes != planned_shapes:
        fail("fn", f"the planned outputs {planned_shapes}", shapes, mend)
    # Of the image in one piece nothing need be known at its ends; it is the same program then.
    in_parts = planned.shape != plan.image_shape or planned.knows_its_ends
    one_program = plan.pad is not None or planned.program == certificate.program
    if not one_program or not planned.same_map(certificate, borders=plan.pad is None and in_parts):
        fail("fn", "the function that was planned for", "one that computes something else", mend)
    return certificate


def _lanes(
    fn: Fn, plan: TilePlan, count: int, devices: Sequence[jax.Device] | None, mesh: Mesh | None
) -> tuple[Lane, ...]:
    own = tile_function(fn)
    if own is not None:
        if devices is not None or mesh is not None:
            name, value = ("devices", devices) if mesh is None else ("mesh", mesh)
            fail(name, "None for a network that another library computes", shown(value), "give its own device to it")
        return (Lane(HostFunction(own), None, None),)
    function = CompiledFunction.of(fn, plan.certificate.version)
    if mesh is None:
        chosen = _default_devices() if devices is None else _checked(devices)
        calls = ceil_div(math.prod(plan.grid), count)  # more devices than calls would only hold parameters
        return tuple(Lane(function.to(device), device, None) for device in chosen[:calls])
    if not isinstance(mesh, Mesh):
        fail("mesh", "a `jax.sharding.Mesh`", shown(mesh))
    if devices is not None:
        fail("devices", "nothing beside `mesh`", shown(devices), "give one of the two")
    if len(mesh.axis_names) > len(plan.period):
        fail("mesh", f"at most {len(plan.period)} axes, one per spatial axis", mesh.axis_names)
    # Tiles are sent whole and shared out by the program: their sizes need not be multiples of the number of devices.
    whole = NamedSharding(mesh, PartitionSpec())
    return (Lane(function.to(whole), whole, NamedSharding(mesh, PartitionSpec(None, *mesh.axis_names))),)


def _checked(devices: Any) -> tuple[jax.Device, ...]:
    listed = tuple(devices) if isinstance(devices, list | tuple) or getattr(devices, "ndim", 0) == 1 else ()
    if not listed or not all(isinstance(device, jax.Device) for device in listed):
        fail("devices", "a list of at least one device, as `jax.devices()` gives it", shown(devices))
    platforms = sorted({device.platform for device in listed})
    if len(platforms) > 1:  # a function may compute something else on each
        fail("devices", "devices of one platform", f"some of {' and some of '.join(platforms)}")
    return listed


def _default_devices() -> tuple[jax.Device, ...]:
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return (chosen,) if isinstance(chosen, jax.Device) else tuple(jax.local_devices(backend=chosen))


def _groups(tiles: Iterable[Tile], count: int) -> Iterator[tuple[Tile, ...]]:
    """Tiles that share a call."""
    remaining = iter(tiles)
    while group := tuple(islice(remaining, count)):
        yield group


def _split(
    plan: TilePlan, index: Callable[[Tile], TileIndex], group: tuple[Tile, ...], outputs: Any
) -> Iterator[tuple[Tile, Any]]:
    """The outputs of single tiles, on the host, cut to what the tiles deliver."""
    leaves, tree = jax.tree.flatten(outputs)
    host, batch = list(map(np.asarray, leaves)), plan.image_shape[0]
    for k, tile in enumerate(group):
        own = [y[k * batch : (k + 1) * batch] for y in host]
        yield tile, jax.tree.unflatten(tree, [y[at] for y, at in zip(own, plan.inside(index(tile)), strict=True)])
