"""Instances of a volume: one codebook, fragments of one code tile by tile, joined across tile faces."""

from __future__ import annotations

import operator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from shiftjax._checks import array, fail, finite, integer, length, shown, single_key
from shiftjax._typing import ArrayLike, PRNGKeyArray
from shiftjax.tiling import TilePlan
from shiftjax.volume._arguments import announce, check_arguments, check_verify
from shiftjax.volume._jobs.run import Options
from shiftjax.volume._jobs.workers import check_reachable
from shiftjax.volume._segmentation.codebook import seed_of
from shiftjax.volume._segmentation.embedding import open_embedding
from shiftjax.volume._segmentation.foreground import Channels, MaskedEmbedding, open_foreground
from shiftjax.volume._segmentation.stages import Segmentation, Settings
from shiftjax.volume._sources.source import Source
from shiftjax.volume._targets.label_image import begin_labels, check_name, image_in, list_labels, over_image
from shiftjax.volume._targets.layout import Layout, layout
from shiftjax.volume._targets.new_target import NewTarget
from shiftjax.volume._targets.provenance import digest
from shiftjax.volume._targets.pyramid import Coarser, Pyramid, halvings


class Segmented(NamedTuple):
    """The result of `segment_volume`.

    Attributes:
        labels: the target's zarr array, uint64, 0 = background, of axes t (where the embedding has it), z, y, x.
        objects: how many there are. Their ids are 1, 2, 3... by first pixel, time points one after the other.
        codes: the codebook, float32 `(code, channel)`.
    """

    labels: Any
    objects: int
    codes: np.ndarray


def segment_volume(
    embedding: Any,
    target: str | Path | NewTarget,
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
    missing: str = "fill",
    verify: bool | None = None,
    accept_versions: bool = False,
) -> Segmented:
    """Labels the objects of a volume that need not fit in memory, as if it were labelled in one piece.

    A network repeats its embeddings from one period to the next, so that a code stands for many objects. One codebook
    is found by mean shift on pixels drawn from the whole volume. Every pixel takes its nearest code, and an object is a
    connected region of one code (pixels that share a face), joined wherever it crosses from tile to tile. Given the
    codebook, the labels do not depend on the tiles. Stopped at any moment, even by `kill -9`, the same call resumes
    where it stopped, and the result is that of an undisturbed run.

    Args:
        embedding: a stored volume, seen as images `(1, *space, channel)`, as `predict_volume` reads and writes it
            (what `shiftjax.volume.open_source` takes or returns), or a `Recompute`, whose network then runs twice over
            the image. With a plan for images `(1, y, x, channel)`, planes of a stack are images of their own, and so
            are their objects.
        target: path or fsspec URI of an OME-Zarr group, made if there is none: the labels become `labels/<name>` in it,
            which viewers lay over the group's image. Another format than the default, or a file system that needs
            options: `shiftjax.volume.new_target`, without a dtype. Over an image they have its axes and its levels.
        plan: from `plan_tiles`; its tiles are those of the embedding.
        bandwidth: as `mean_shift` takes it, in units of the embedding.
        foreground: None for all pixels; a mask (array, path, URI or source of the image's size, nonzero in objects, for
            all time points or for each); or a JAX function of the embedding `(1, *space, channel)`, all its channels,
            that gives booleans `(1, *space)`, each from its pixel alone: `lambda y: y[..., 0] > 0`.
        min_size: pixels of the smallest object that is kept.
        key: decides which pixels are drawn.
        channels: which channels are the embedding: a slice, or a list of numbers from 0.
        codebook: codes `(code, channel)` to use instead of looking for them.
        samples: the most pixels that are drawn; they stay in memory.
        seeds: of mean shift; several times the number of codes, or some will be missed.
        axes: of a stored embedding, as `predict_volume` takes them; by default those that its metadata name.
        name: of the labels.
        resume: whether to resume labels that the same call began; otherwise existing ones are refused.
        progress: whether to show a bar for each pass.
        client: of `dask.distributed`: its workers draw the sample and find the fragments, and this process joins them.
            All of them must reach embedding, foreground and target by the same names.
        missing: as `predict_volume` takes it; but once chunks that were missing are there, the same call is refused,
            since its codes were found without them.
        verify: as `predict_volume` takes it.
        accept_versions: as `predict_volume` takes it.

    Returns:
        The labels, the number of objects, and the codebook.

    Raises:
        VolumeError: storage that fails (finished tiles are kept); labels that were made from something else or by
            other versions of jax or shiftjax, or that another process writes; or an embedding that has changed, or is
            a prediction that is not finished.
        ValueError: a plan, embedding, foreground or option that does not fit the others.
    """
    new = check_arguments(plan, target, resume=resume, progress=progress, accept_versions=accept_versions)
    check_verify(verify)
    if new.dtype is not None:
        fail("target", "no dtype for labels, which are uint64", new.dtype, "leave it out of `new_target`")
    check_name(name)
    opened = open_embedding(embedding, plan, axes, missing)
    source = opened.volume.source
    if client is not None:
        check_reachable(client, source, new.path)
    inside = open_foreground(foreground, opened, missing)
    masked = MaskedEmbedding(opened, inside, _check_channels(channels, opened.channels))
    codes = None if codebook is None else _check_codebook(codebook, masked.width)
    single_key(key)
    seed = seed_of(key)
    settings = Settings(
        length("bandwidth", bandwidth),
        integer("min_size", min_size, least=0),
        integer("samples", samples, least=1),
        integer("seeds", seeds, least=1),
    )
    planned, coarser = _labels_layout(new, source, plan)
    begun = begin_labels(
        new,
        name,
        planned,
        provenance={**masked.provenance(), **settings._asdict(), "key": digest(seed), "codebook": digest(codes)},
        resume=resume,
        accept_versions=accept_versions,
        grid=opened.volume.grid,
        tile=plan.tile_output,
    )
    options = Options(progress, client, None, verify, accept_versions)
    pyramid = Pyramid(
        replace(new, path=f"{new.path.rstrip('/')}/labels/{name}"), "", planned.axes, coarser, labels=True
    )
    announce(source, plan, progress)
    with begun.claim() as claim:
        begun.remove_leftovers()
        objects, codes = Segmentation(masked, begun, settings, claim, options, pyramid.unlist).run(codes, seed)
        pyramid.write(verify=verify)
        list_labels(new, name)
    return Segmented(begun.arrays[""], objects, codes)


def _labels_layout(new: NewTarget, source: Source, plan: TilePlan) -> tuple[Layout, list[Coarser]]:
    """How labels are stored: over an image as that has its levels, else in as many as the target asks for."""
    alone = layout(source, plan.tile_output, None, "uint64", new.zarr_format)
    image = image_in(new)
    if image is not None:
        return over_image(alone, image)
    return alone, halvings(alone.axes, alone.shape, source.space_axes, alone.geometry, new.levels or 1)


def _check_channels(channels: Any, count: int) -> Channels:
    """An index of at least one channel that keeps the axis."""
    expected = f"a slice or a list of channels from 0 to {count - 1}"
    try:
        listed = channels if isinstance(channels, slice) else [operator.index(channel) for channel in channels]
        chosen = np.arange(count)[listed]
    except (TypeError, IndexError, ValueError, OverflowError):
        fail("channels", expected, shown(channels))
    named = listed if isinstance(listed, list) else chosen.tolist()
    if not chosen.size or len(set(chosen.tolist())) < chosen.size or min(named) < 0:
        fail("channels", f"{expected}, each once", shown(channels))
    return channels if isinstance(channels, slice) else [int(channel) for channel in chosen]


def _check_codebook(codebook: ArrayLike, width: int) -> np.ndarray:
    given = array("codebook", codebook)
    if jnp.issubdtype(given.dtype, jnp.complexfloating):
        fail("codebook", "real numbers", given.dtype)
    codes = np.asarray(given, np.float32)
    if codes.ndim != 2 or codes.shape[1] != width:
        fail("codebook", f"an array (code, {width})", f"shape {codes.shape}")
    finite("codebook", codes)
    return codes
