"""Prediction of a volume that need not fit in memory, from storage to storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from shiftjax._checks import fail
from shiftjax._network import network
from shiftjax.tiling import TilePlan
from shiftjax.volume._arguments import announce, check_arguments, check_verify, fitting
from shiftjax.volume._jobs.code_digest import code_digest
from shiftjax.volume._jobs.job import Job
from shiftjax.volume._jobs.pointwise import check_preprocess
from shiftjax.volume._jobs.run import Options, Run
from shiftjax.volume._jobs.tile_selection import select_tiles
from shiftjax.volume._jobs.tiles import Progress, TileAtTime, VolumeTiles
from shiftjax.volume._jobs.workers import check_reachable
from shiftjax.volume._jobs.writer import Writer
from shiftjax.volume._sources.opening import open_source, with_missing
from shiftjax.volume._sources.source import Source
from shiftjax.volume._storage.casting import check_holds
from shiftjax.volume._targets.layout import Layout, Pixels, layout
from shiftjax.volume._targets.new_target import NewTarget
from shiftjax.volume._targets.provenance import Provenance
from shiftjax.volume._targets.pyramid import Pyramid, halvings
from shiftjax.volume._targets.target import Target, begin_target


def predict_volume(
    fn: Callable[[Any], Any],
    source: Any,
    target: str | Path | NewTarget,
    plan: TilePlan,
    *,
    axes: str | None = None,
    channel: int | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    where: Any = None,
    region: Sequence[slice] | None = None,
    resume: bool = True,
    progress: bool = True,
    client: Any = None,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    mesh: Mesh | None = None,
    missing: str = "fill",
    verify: bool | None = None,
    accept_versions: bool = False,
) -> Any:
    """Predicts a volume tile by tile, from storage to storage, in memory bounded by the plan.

    Stopped at any moment, even by `kill -9`, the same call resumes with the tiles that are not finished, and the result
    is that of an undisturbed run, bit for bit. One process at a time writes a target, which it claims; the target
    belongs for good to the work that began it. A tile is entered in the journal once its pixels are on the disk, with
    digests of what was read and written.

    Args:
        fn: the network that was planned for, a function of an image `(1, *space, channel)`.
        source: path or fsspec URI of Zarr, OME-Zarr, TIFF, HDF5 or N5; an object of zarr or TensorStore; or any array
            (numpy, memmap, h5py, dask): what `shiftjax.volume.open_source` takes, or what it returns, for another level
            than the finest or a file system that needs options.
        target: path or fsspec URI. It becomes an OME-Zarr image whose array `0` has the axes t (where the source has
            it), c, z, y, x; or one such image for each output of `fn`, in groups named after them. For another type or
            format than the default, coarser levels, or a file system that needs options: `shiftjax.volume.new_target`.
        plan: from `plan_tiles`, for images `(1, *space, channel)` with space in the order z, y, x and the source's c as
            channels. A plan for images `(1, y, x, channel)` of a source with z takes each plane as an image of its own.
        axes: a letter for each axis of the source, t, c, z, y and x in any order. By default those that its metadata
            name, else "zyx" or "yx", which is said in the first line printed. Every time point is predicted.
        channel: the only one that the network sees, counted from 0; by default all.
        preprocess: a JAX function of an image that acts on each pixel alone and gives the plan's dtype, such as
            `shiftjax.volume.normalize` returns. It is given the source's dtype, and runs on the host's processor.
            Pixels that are NaN or infinite after it stop the run; it may replace them, as with `jnp.nan_to_num`.
            Without it the source's dtype must fit into the plan's.
        where: only the tiles that this holds for: a mask (array, path or source) that is nonzero there, of the image's
            size or downsampled by an integer factor per axis (if several factors fit its size, a tile is computed when
            any of them marks it), for all time points or for each; or a function of a tile's input as stored,
            `(1, *tile_input, channel)`, that gives True or False, but not with a plan of a stream. Other tiles stay 0.
        region: slices in image pixels, one per spatial axis (z, y, x): only the tiles that meet them. The target has
            the whole image's size all the same, and further calls may name other regions and masks.
        resume: whether to resume a target that the same call began; otherwise an existing one is refused.
        progress: whether to show a bar with tiles per second and the time left.
        client: of `dask.distributed`: its workers compute and write the tiles, and this process keeps the journal. All
            of them must reach source and target by the same names.
        batch_size: tiles per call; by default the plan's.
        devices: of this process, as `jax.devices()` lists them; by default all.
        mesh: of this process's devices, to share out each tile instead.
        missing: what to do where a Zarr source or mask lacks a chunk: "fill" takes the array's fill value (the tiles
            that read such chunks are counted, and computed again once the chunks are there), "error" stops. A mask that
            `open_source` opened does as it was told there.
        verify: what a resumed run checks again. None: the stored target, and the source of some of the finished tiles.
            True: the source of all of them. False: only whether the target's chunks exist. Lost and damaged tiles are
            computed again, and so are coarser levels of the target that are not what the finer ones make of them.
        accept_versions: whether to resume a target that other versions of jax or shiftjax began, and to let workers
            with others take part; it is recorded in the target. The last bits of results may differ between versions.

    Returns:
        The target's zarr array; a dictionary of them by name where `fn` has several outputs.

    Raises:
        VolumeError: storage that fails, or pixels that are not finite or do not fit the target, with the tile and its
            pixels (finished tiles are kept); a target that was made with another plan, network, source or
            preprocessing, by other versions of jax or shiftjax, or not by shiftjax, or that another process writes; a
            source that has changed, or is itself a prediction that is not finished; or workers that are lost or compute
            something else.
        ValueError: a plan, source, function or option that does not fit the others.
    """
    new = check_arguments(plan, target, resume=resume, progress=progress, accept_versions=accept_versions)
    check_verify(verify)
    opened = fitting(with_missing(open_source(source, axes=axes, channel=channel), missing), plan)
    proved = check_preprocess(preprocess, plan, opened.dtype)
    tiles = VolumeTiles(plan, opened)
    tile_test = where if callable(where) and not hasattr(where, "shape") else None
    if tile_test is not None and plan.stream is not None:
        fail(
            "where",
            "a mask, as the plan is that of a stream",
            "a function of a tile's input",
            "plan with `stream=False`",
        )
    numbers, left_out = select_tiles(tiles, region, None if where is tile_test else where, missing)
    if client is not None:
        check_reachable(client, opened, new.path)
        if devices is not None or mesh is not None:
            fail("devices", "nothing beside `client`", "a choice", "each worker uses its own devices")
    job = Job(network("fn", fn), tiles, proved, tile_test, batch_size)
    layouts = _layouts(job, new)
    begun = begin_target(
        new,
        layouts,
        provenance=job.provenance(),
        resume=resume,
        accept_versions=accept_versions,
        grid=tiles.grid,
        tile=dict(zip(job.output_names, (output.tile for output in plan.outputs), strict=True)),
    )
    options = Options(progress, client, batch_size, verify, accept_versions)
    pyramids = _pyramids(begun, new, opened, layouts)
    announce(opened, plan, progress)
    with begun.claim() as claim:
        begun.remove_leftovers()

        def before() -> None:
            for pyramid in pyramids:
                pyramid.unlist()

        chosen: dict[str, Any] = {"numbers": numbers, "left_out": left_out, "before": before}
        run = Run(tiles, begun, claim, options, **chosen, reread=job.reading, places=job.delivered)
        run(PredictionPass(job, begun, devices, mesh))
        for pyramid in pyramids:
            pyramid.write(verify=verify)
    return begun.arrays[""] if job.output_names == ("",) else dict(begun.arrays)


@dataclass(frozen=True)
class PredictionPass:
    """Computes tiles and stores them."""

    job: Job
    target: Target
    devices: Sequence[jax.Device] | None = None
    mesh: Mesh | None = None

    def __call__(self, tiles: Iterable[TileAtTime], progress: Progress) -> None:
        outputs = self.job.outputs(tiles, skip=progress.skip, devices=self.devices, mesh=self.mesh)
        with Writer(self.job.tiles, self.target, progress.finish, self.job.delivered) as writer:
            for computed in outputs:
                writer.put(*computed)

    def identity(self) -> Provenance:
        """What decides the pixels, and which tiles are computed."""
        test = self.job.tile_test
        return {**self.job.provenance(), "where": "all" if test is None else code_digest(test)}


def _pyramids(target: Target, new: NewTarget, source: Source, layouts: Mapping[str, Layout]) -> list[Pyramid]:
    """The coarser levels of each output; while tiles are written, none is listed."""
    made = []
    for name, array in target.arrays.items():
        levels = halvings(target.axes, array.shape, source.space_axes, layouts[name].geometry, new.levels or 1)
        made.append(Pyramid(new, name, target.axes, levels, labels=False))
    return made


def _layouts(job: Job, new: NewTarget) -> dict[str, Layout]:
    """One for each output, whose values its type must hold."""
    source, plan, layouts = job.tiles.source, job.tiles.plan, {}
    for name, output in zip(job.output_names, plan.outputs, strict=True):
        dtype = new.dtype or output.dtype
        pixels = Pixels(output.size, tuple(map(float, output.stride)), tuple(map(float, output.place)))
        layouts[name] = layout(source, output.tile, output.channels, dtype, new.zarr_format, pixels)
        check_holds(layouts[name].dtype, output.dtype)
    return layouts
