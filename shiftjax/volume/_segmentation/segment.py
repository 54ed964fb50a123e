"""Instances of a volume: one codebook, pieces of one code tile by tile, joined across tile faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shiftjax._checks import fail, finite, integer, number, single_key
from shiftjax._typing import ArrayLike, PRNGKeyArray
from shiftjax.tiling._plan import TilePlan
from shiftjax.volume._arguments import check_arguments
from shiftjax.volume._jobs.job import Item
from shiftjax.volume._jobs.run import Run, lost
from shiftjax.volume._jobs.workers import check_reachable, group_size, run_on_workers
from shiftjax.volume._segmentation.codebook import find_codes, seed_of
from shiftjax.volume._segmentation.embedding import open_embedding
from shiftjax.volume._segmentation.foreground import open_foreground
from shiftjax.volume._segmentation.merge import merge
from shiftjax.volume._segmentation.passes import (
    Channels,
    Labeller,
    Pass,
    PieceFinder,
    Pixels,
    Sampler,
    run_pass,
    tables,
)
from shiftjax.volume._storage.errors import VolumeError, reason
from shiftjax.volume._storage.intermediates import Scratch
from shiftjax.volume._storage.label_image import begin_labels, check_name
from shiftjax.volume._storage.provenance import digest
from shiftjax.volume._storage.target import Target, layout


class Segmented(NamedTuple):
    """What was found.

    Attributes:
        labels: the target's zarr array, uint64, 0 = background, of axes t (where the embedding has it), z, y, x.
        objects: how many there are. Their ids are 1, 2, 3... by first pixel, time points one after the other.
        codes: the codebook, float32 `(code, channel)`.
    """

    labels: Any
    objects: int
    codes: np.ndarray


class Settings(NamedTuple):
    """Numbers that decide the result."""

    bandwidth: float
    min_size: int
    samples: int
    seeds: int


def segment_volume(
    embedding: Any,
    target: str | Path,
    plan: TilePlan,
    *,
    bandwidth: int | float,
    foreground: Any = None,
    min_size: int = 0,
    key: PRNGKeyArray,
    channels: Channels = slice(None),
    codebook: ArrayLike | None = None,
    samples: int = 2**16,
    seeds: int = 2**12,
    axes: str | None = None,
    name: str = "instances",
    resume: bool = True,
    progress: bool = True,
    client: Any = None,
    zarr_format: int | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Segmented:
    """Labels the objects of a volume that need not fit in memory; across tiles they are what they are in one piece.

    A network repeats its embeddings from one period to the next, so that a code stands for many objects. One codebook
    is found by mean shift on pixels drawn from the whole volume. Every pixel takes its nearest code, and an object is a
    connected region of one code (pixels that share a face), joined wherever it crosses from tile to tile. Given the
    codebook, the labels do not depend on the tiles. Stopped at any moment, even by `kill -9`, the same call goes on
    where it was, and the result is that of an undisturbed run.

    Args:
        embedding: a stored volume as `predict_volume` reads and writes it (path or URI of Zarr or OME-Zarr, or any
            array), or a `Recompute`, whose network then runs twice over the image.
        target: path or fsspec URI of an OME-Zarr group, made if it is not there: the labels become `labels/<name>` in
            it, which viewers lay over the group's image.
        plan: from `plan_tiles`; its tiles are those of the embedding.
        bandwidth: as `mean_shift` takes it, in units of the embedding.
        foreground: None for all pixels; a mask (array, path or URI of the image's size, nonzero in objects); or a
            JAX function of the embedding `(1, *space, channel)`, all its channels, that gives booleans `(1, *space)`,
            each from its pixel alone: `lambda y: y[..., 0] > 0`.
        min_size: pixels of the smallest object that is kept.
        key: decides which pixels are drawn.
        channels: those that are the embedding, as an index.
        codebook: codes `(code, channel)` to use instead of looking for them.
        samples: pixels drawn at most; they stay in memory.
        seeds: of mean shift; several times the number of codes, or some will be missed.
        axes: of a stored embedding, as `predict_volume` takes them; by default those that its metadata name.
        name: of the labels.
        resume: whether to go on with labels that the same call began; otherwise existing ones are refused.
        progress: whether to show a bar for each pass.
        client: of `dask.distributed`: its workers draw the sample and find the pieces, and this process joins them. All
            of them must reach embedding, foreground and target by the same names.
        zarr_format: of a target that is made: 2 (OME-Zarr 0.4) or 3 (OME-Zarr 0.5); by default the source's, else 3.
        storage_options: for the target's file system, as fsspec takes them.

    Returns:
        The labels, the number of objects, and the codebook.

    Raises:
        VolumeError: storage that fails (finished tiles are kept), or labels that were made from something else.
        ValueError: a plan, embedding, foreground or option that does not fit the others.
    """
    target = check_arguments(
        plan, target, zarr_format=zarr_format, storage_options=storage_options, resume=resume, progress=progress
    )
    check_name(name)
    opened = open_embedding(embedding, plan, axes)
    if client is not None:
        check_reachable(client, opened.work.source, target, None, None)
    inside, identified = open_foreground(foreground, opened)
    pixels = Pixels(opened, inside, _check_channels(channels, opened.channels))
    given = None if codebook is None else _check_codebook(codebook, pixels.width())
    seed = _seed(key)
    settings = Settings(
        number("bandwidth", bandwidth, above=0.0),
        integer("min_size", min_size, least=0),
        integer("samples", samples, least=1),
        integer("seeds", seeds, least=1),
    )
    source = opened.work.source
    more = {"foreground": identified, "key": digest(seed), "channels": str(channels), "codebook": digest(given)}
    begun = begin_labels(
        target,
        name,
        layout(source, plan.tile_output, channels=None, dtype="uint64"),
        identity={**opened.identity(), **settings._asdict(), **more},
        resume=resume,
        zarr_format=zarr_format or source.zarr_format or 3,
        storage_options=storage_options,
    )
    return _Segmentation(pixels, begun, settings, progress, client).run(given, seed)


def _seed(key: PRNGKeyArray) -> int:
    single_key(key)
    return seed_of(key)


def _check_channels(channels: Any, count: int) -> Channels:
    """An index of at least one channel that keeps the axis."""
    wanted = f"a slice or a list of channels from 0 to {count - 1}"
    try:
        found = np.arange(count)[channels if isinstance(channels, slice) else list(channels)]
    except (TypeError, IndexError, ValueError):
        fail("channels", wanted, repr(channels))
    if found.ndim != 1 or not found.size:
        fail("channels", wanted, repr(channels))
    return channels if isinstance(channels, slice) else [int(channel) for channel in found]


def _check_codebook(codebook: ArrayLike, width: int) -> np.ndarray:
    codes = np.asarray(codebook, np.float32)
    if codes.ndim != 2 or codes.shape[1] != width:
        fail("codebook", f"an array (code, {width})", f"shape {codes.shape}")
    finite("codebook", codes)
    return codes


class _Segmentation:
    """The passes over a volume, each of which goes on where its journal says."""

    def __init__(self, pixels: Pixels, target: Target, settings: Settings, progress: bool, client: Any) -> None:
        self._pixels, self._work, self._target = pixels, pixels.embedding.work, target
        self._settings, self._progress, self._client = settings, progress, client
        self._scratch = Scratch(f"{target.uri}/0/scratch", target.storage_options)
        self._result = Scratch(f"{target.uri}/0/result", target.storage_options)  # small, stays
        self._stages = target.journal("stages", seconds=0.0)

    def run(self, codebook: np.ndarray | None, seed: int) -> Segmented:
        """All that is left to do."""
        self._once("codes", lambda: {"codes": self._find_codes(seed) if codebook is None else codebook})
        codes = self._result.get("codes")["codes"]
        self._check_labels()
        self._once("objects", lambda: {"objects": np.array(self._label(codes))})
        self._scratch.clear()
        return Segmented(self._target.arrays[""], int(self._result.get("objects")["objects"]), codes)

    def _once(self, stage: str, compute: Callable[[], dict[str, np.ndarray]]) -> None:
        """Keeps what a stage gives, unless an earlier run has."""
        if stage in self._stages.finished:
            return
        self._result.put(stage, compute())
        try:
            self._stages.add(stage)
        except OSError as error:
            raise VolumeError(f"cannot write the journal of {self._target.uri} ({reason(error)})") from error

    def _check_labels(self) -> None:
        """Where labels have been removed since they were finished, finds the pieces again, which are not kept."""
        numbers = range(self._work.source.times * int(np.prod(self._work.plan.grid)))
        if "objects" in self._stages.finished and lost(self._work, self._target, numbers):
            self._scratch.clear()
            try:
                self._target.journal("pieces").clear()
            except OSError as error:
                raise VolumeError(f"cannot clear the journal of {self._target.uri} ({reason(error)})") from error
            self._stages.finished.discard("objects")

    def _find_codes(self, seed: int) -> np.ndarray:
        """First pass and mean shift."""
        sampler = Sampler(self._pixels, self._scratch, seed, self._settings.samples)
        self._pass("codebook", sampler, self._client)
        sample = sampler.sample(self._items())
        return find_codes(sample, bandwidth=self._settings.bandwidth, seeds=self._settings.seeds)

    def _label(self, codes: np.ndarray) -> int:
        """Second and third pass; how many objects there are."""
        finder = PieceFinder(self._pixels, codes, self._settings.bandwidth, self._scratch)
        self._pass("pieces", finder, self._client)
        found = tables(self._items(), self._scratch)
        merged = merge(found, grid=self._work.plan.grid, min_size=self._settings.min_size)
        self._pass("labels", Labeller(self._work, self._scratch, merged, self._target))
        return len(merged.size)

    def _pass(self, name: str, compute: Pass, client: Any = None) -> None:
        tiles = np.arange(np.prod(self._work.plan.grid))
        run = Run(self._work, self._target, tiles, self._progress, name=name, writes=name == "labels")
        if client is None:
            run(lambda items: compute(items, run.finish))
            return
        options: dict[str, Any] = {"size": group_size(self._work), "describe": self._work.describe}
        run(
            lambda items: run_on_workers(
                client, run_pass, compute, self._target, items, run.finish, run.skip, **options
            )
        )

    def _items(self) -> Iterator[Item]:
        return product(range(self._work.source.times), *map(range, self._work.plan.grid))
