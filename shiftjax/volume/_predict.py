"""Prediction of a volume that need not fit in memory, from storage to storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from shiftjax._checks import fail
from shiftjax.tiling._plan import TilePlan
from shiftjax.volume._arguments import check_arguments
from shiftjax.volume._jobs.job import Item, Work
from shiftjax.volume._jobs.run import Run
from shiftjax.volume._jobs.tile_selection import in_mask, in_region
from shiftjax.volume._jobs.workers import check_reachable, group_size, run_group, run_on_workers
from shiftjax.volume._jobs.writer import run_here
from shiftjax.volume._normalize import check_preprocess
from shiftjax.volume._storage.casting import check_target
from shiftjax.volume._storage.provenance import identity
from shiftjax.volume._storage.source import Source, open_source
from shiftjax.volume._storage.target import Target, begin_target, layout


def predict_volume(
    fn: Callable[[Any], Any],
    source: Any,
    target: str | Path,
    plan: TilePlan,
    *,
    axes: str | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    where: Any = None,
    region: Sequence[slice] | None = None,
    dtype: str | None = None,
    level: int = 0,
    resume: bool = True,
    progress: bool = True,
    client: Any = None,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    mesh: Mesh | None = None,
    zarr_format: int | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Any:
    """Predicts a volume tile by tile, from storage to storage, in memory bounded by the plan.

    Stopped at any moment, even by `kill -9`, it goes on with the same call at the tiles that are not finished, and the
    result is that of an undisturbed run, bit for bit.

    Args:
        fn: the network that was planned for, a function of an image `(1, *space, channel)`.
        source: path or fsspec URI of a Zarr v2 or v3 array, of an OME-Zarr image or of a TIFF file; a zarr object; or
            any array (numpy, memmap, h5py, dask). A file system that needs options: `shiftjax.volume.open_source`.
        target: path or fsspec URI. It becomes an OME-Zarr image with one array, `0`, of axes t (where the source has
            it), c, z, y, x; or one such image for each output of `fn`, in groups named after them.
        plan: from `plan_tiles`, for images `(1, *space, channel)` with space in the order z, y, x and the source's c as
            channels.
        axes: a letter for each axis of the source, t, c, z, y and x in any order. By default those that its metadata
            name, else "zyx" or "yx". Every time point is predicted.
        preprocess: a JAX function of an image that treats every pixel alike and gives the plan's dtype, such as
            `shiftjax.volume.normalize` returns. It is given the source's dtype, and runs on the host's processor.
            Pixels that are NaN or infinite after it stop the run; it may replace them, as with `jnp.nan_to_num`.
            Without it the source's dtype must fit into the plan's.
        where: only the tiles that this holds for: an array (or path) that is nonzero there, of the image's size or a
            fraction of it, one pixel for each 2, 3... (tiles that it may mean by any of the factors that fit its size
            are computed); or a function of a tile's input as stored, `(1, *tile_input, channel)`, that gives True or
            False. Other tiles are left at 0.
        region: slices in image pixels, one per spatial axis (z, y, x): only the tiles that meet them. The target has
            the whole image's size all the same, and further calls may name other regions and masks.
        dtype: of the target, such as "bfloat16"; by default that of the outputs. It must hold them: of integers all
            values, of floats those that occur, rounded.
        level: of an OME-Zarr source; 0 is the finest.
        resume: whether to go on with a target that the same call began; otherwise an existing one is refused.
        progress: whether to show a bar with tiles per second and the time left.
        client: of `dask.distributed`: its workers compute and write the tiles, and this process keeps the journal. All
            of them must reach source and target by the same names.
        batch_size: tiles per call; by default the plan's.
        devices: of this process, as `jax.devices()` lists them; by default all.
        mesh: of this process's devices, to share out each tile instead.
        zarr_format: 2 (OME-Zarr 0.4) or 3 (OME-Zarr 0.5); by default the source's, else 3.
        storage_options: for the target's file system, as fsspec takes them.

    Returns:
        The target's zarr array; a dictionary of them by name where `fn` has several outputs.

    Raises:
        VolumeError: storage that fails, or pixels that are not finite or do not fit the target, with the tile and its
            pixels (finished tiles are kept); or a target that was made with another plan, net, source or
            preprocessing, or not by shiftjax.
        ValueError: a plan, source, function or option that does not fit the others.
    """
    target = check_arguments(
        plan, target, zarr_format=zarr_format, storage_options=storage_options, resume=resume, progress=progress
    )
    opened = open_source(source, axes, level=level)
    _check_plan(plan, opened)
    check_preprocess(preprocess, plan, opened.dtype)
    test = where if callable(where) and not hasattr(where, "shape") else None
    work = Work(fn, plan, opened, preprocess, test, batch_size)
    chosen = _chosen(plan, region, None if where is test else where, opened.axes)
    if client is not None:
        check_reachable(client, opened, target, devices, mesh)
    shapes = [
        layout(opened, plan.tile_output, channels=output.channels, dtype=dtype or output.dtype)
        for output in plan.outputs
    ]
    for output, shape in zip(plan.outputs, shapes, strict=True):
        check_target(shape.dtype, output.dtype)
    begun = begin_target(
        target,
        dict(zip(work.names, shapes, strict=True)),
        identity=identity(fn, plan, opened, preprocess),
        resume=resume,
        zarr_format=zarr_format or opened.zarr_format or 3,
        storage_options=storage_options,
    )
    run = Run(work, begun, chosen, progress)
    if client is None:
        run(lambda items: run_here(work, begun, items, run.finish, run.skip, devices=devices, mesh=mesh))
    else:
        run(lambda items: _on_workers(client, work, begun, items, run))
    return begun.arrays[""] if work.names == ("",) else dict(begun.arrays)


def _on_workers(client: Any, work: Work, target: Target, items: Iterator[Item], run: Run) -> None:
    size, describe = group_size(work), work.describe
    run_on_workers(client, run_group, work, target, items, run.finish, run.skip, size=size, describe=describe)


def _check_plan(plan: TilePlan, source: Source) -> None:
    found = (1, *source.space, source.channels)
    if tuple(plan.image_shape) != found:
        mend = f"plan for {found}, or name the axes of the source, now {source.axes!r}"
        fail("plan", f"a plan for images {found}, as the source has them", f"one for {plan.image_shape}", mend)


def _chosen(plan: TilePlan, region: Any, mask: Any, axes: str) -> np.ndarray:
    """Numbers of the tiles that a region and a mask leave, in raster order."""
    meets = in_region(plan, region)
    holds = (lambda place: True) if mask is None else in_mask(plan, mask, axes)
    kept = (k for k, place in enumerate(plan.places()) if meets(place) and holds(place))
    return np.fromiter(kept, np.int64)
