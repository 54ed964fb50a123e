"""The front door: from a function and an image to the function with the image's statistics."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import Undivided, fail, one_of, shown, switch
from shiftjax._extras import require
from shiftjax._network import network
from shiftjax.certifier import CertificationError, Cut
from shiftjax.freezing._frozen import Frozen, Operands, unmeasured
from shiftjax.freezing._journal import Journal
from shiftjax.freezing._pass import Work, measure
from shiftjax.freezing._picture import Picture, picture
from shiftjax.freezing._preprocess import preprocessed
from shiftjax.freezing._summary import Summary, over_channels, squares_about, total, variance
from shiftjax.freezing._workers import on_workers
from shiftjax.tiling import PADS, TilePlan, plan_tiles
from shiftjax.volume import Cluster

Fn = Callable[[Any], Any]
MULTIPLES = 2, 4, 8, 16, 32, 64  # to which sizes are rounded up until the function takes one
FEW = 2**20  # pixels, for which a program of every pass takes longer to compile than one that measures all to run


def freeze_statistics(
    fn: Fn,
    image: Any,
    *,
    plan: TilePlan | None = None,
    tile: int | Sequence[int] | np.ndarray | None = None,
    memory_bytes: int | str | None = None,
    pad: str | None = None,
    region: Sequence[slice] | None = None,
    axes: str | None = None,
    channel: int | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    journal: str | Path | None = None,
    progress: bool = True,
    client: Any = None,
) -> Frozen:
    """Measures what a function reduces over the whole image, and returns the function with these numbers as parameters.

    Instance and group norms, global pooling and squeeze-and-excite reduce over space and spread the result over it
    again. Between two such statistics the function is local: so they are measured tile by tile, in as many passes as
    the longest chain of them has statistics (mean and variance of a norm count as one), and what is left certifies,
    plans and tiles like any other function. Where it divides by the number of pixels, that of the measured image
    counts, whatever it is called on; where it divides the image by it, images of other sizes are refused.

    Sums of integers, and maxima, are bit for bit those of the whole image. Sums and variances of floats are added up in
    blocks about the mean of each tile and merged in float64, so that they are nearer to the truth than those of one
    call.

    Args:
        fn: any function of one image `(batch, *space, channel)`.
        image: such an array; or path or URI of a volume, or an array of zarr, dask or h5py: what
            `shiftjax.volume.open_source` takes, as one image `(1, *space, channel)`. Each image of a batch gets its own
            statistics. Chunks that a Zarr array lacks count as its fill value; give what `open_source` returns with
            `missing="error"` to refuse them.
        plan: from `plan_tiles`: its tiles, type and padding are used instead of the next three.
        tile: wished image pixels that a tile stands for, as `plan_tiles` takes them; by default, a small image is one.
        memory_bytes: as `plan_tiles` takes it.
        pad: None: the statistics of `fn(image)`. "reflect", "edge" or "constant": those of
            `fn(jnp.pad(image, plan.pad_width, mode=pad))`, which tiles of such a plan compute; give the plan where it
            is not made with the same `tile` and `memory_bytes`.
        region: slices in pixels, one per spatial axis: the statistics of this part, as a sample, are taken for those of
            the whole image; `frozen.sample` says so.
        axes: of a volume: a letter for each axis, as `predict_volume` takes them.
        channel: of a volume: the only one that the function sees, from 0.
        preprocess: as `predict_volume` takes it: a JAX function that acts on each pixel alone, applied first.
        journal: path of a file in which finished passes are kept: the same call resumes after the last of them. In the
            end the file is what `Frozen.save` writes.
        progress: whether to show a bar, where tqdm is installed.
        client: of `dask.distributed`, or None for this process: its workers read and compute the tiles of each pass,
            with the same result, bit for bit. They have to reach the image by the same name.

    Returns:
        A function like `fn`; its `statistics` say what was measured.

    Raises:
        CertificationError: a statistic that is not spread over the image again, or something between the statistics
            that has no proof; it names the line.
        ValueError: bad arguments; pixels that are NaN or infinite, and where; pixels that change between passes, as 16
            sampled blocks show; a layer without any variance; or sizes at which the function takes other statistics.

    Example:
        >>> import jax.numpy as jnp
        >>> image = jnp.arange(12.0).reshape(1, 6, 2, 1)
        >>> frozen = freeze_statistics(lambda x: x - x.mean((1, 2), keepdims=True), image, tile=2, progress=False)
        >>> bool((frozen(image[:, :2]) == image[:, :2] - 5.5).all()), frozen.statistics[0].value.tolist()
        (True, [[66.0]])
    """
    fn = network("fn", fn)
    switch("progress", progress)
    if client is not None:
        Cluster(client)
    if plan is not None and not isinstance(plan, TilePlan):
        fail("plan", "a plan from `plan_tiles`", shown(plan))
    if pad is not None:
        one_of("pad", pad, PADS)
    dtype = None if preprocess is not None else jnp.dtype(plan.dtype if plan else "float32")
    whole = picture(image, dtype, axes, channel)
    if preprocess is not None:
        whole = preprocessed(whole, preprocess)
    sample = ""
    if region is not None:
        whole, sample = _part(whole, region)
    if plan is not None:
        tile, pad, memory_bytes = _tile(plan), plan.pad, None
        if plan.image_shape != whole.shape or jnp.dtype(plan.dtype) != whole.dtype:
            fail(
                "plan",
                f"a plan for {whole.dtype} of shape {whole.shape}",
                f"one for {plan.dtype} of {plan.image_shape}",
            )
    choice: dict[str, Any] = {"tile": tile, "memory_bytes": memory_bytes, "dtype": whole.dtype, "stream": False}
    if pad is not None:
        if plan is None:
            plan = plan_tiles(unmeasured(fn, _cut_nearby(fn, whole)), whole.shape, pad=pad, **choice)
        whole = whole.padded(plan.pad_width, pad)
        choice = {**choice, "tile": _tile(plan), "memory_bytes": None}
    return _measured(fn, whole, sample, choice, journal, progress, client)


def _tile(plan: TilePlan) -> tuple[int, ...]:
    """What a tile stands for; in place of a step of a stream, a tile of about as many pixels, as long as it is wide."""
    if (axis := plan.stream) is None:
        return plan.tile_output
    side = max(1, int(math.prod(plan.tile_output) ** (1 / len(plan.tile_output))))
    return tuple(max(n, side) if k == axis else min(n, side) for k, n in enumerate(plan.tile_output))


def _part(whole: Picture, region: Any) -> tuple[Picture, str]:
    """A part of the image, and what to call it."""
    ndim = len(whole.space)
    listed = tuple(region) if isinstance(region, list | tuple) else ()
    if len(listed) != ndim or not all(isinstance(r, slice) for r in listed):
        fail("region", f"{ndim} slices, one per spatial axis", shown(region))
    cut = [slice(*r.indices(n)[:2]) for r, n in zip(listed, whole.space, strict=True)]
    if any(r.step not in (None, 1) for r in listed) or any(r.stop <= r.start for r in cut):
        fail("region", f"slices of {whole.space} pixels, without steps, that are not empty", shown(region))
    return whole.part(cut), f"pixels [{', '.join(f'{r.start}:{r.stop}' for r in cut)}]"


def _cut(fn: Fn, whole: Picture) -> Cut:
    return Cut(fn, jax.ShapeDtypeStruct(whole.shape, whole.dtype))


def _cut_nearby(fn: Fn, whole: Picture) -> Cut:
    """The function cut at the image's size or, where it does not take that before it is padded, at a larger one.

    The first size that it takes may leave a single pixel in the deepest layer, and be refused for that; then the next.
    """
    rounded = [tuple(ceil_div(n, m) * m for n in whole.space) for m in MULTIPLES]
    longer = [tuple(n + by for n in whole.space) for by in range(1, MULTIPLES[-1])]
    # Sizes that differ may never become legal together; what an axis takes, the others take as well, mostly.
    alike = [(max(whole.space) + by,) * len(whole.space) for by in range(MULTIPLES[-1])]
    refused: Exception | None = None
    not_proved: CertificationError | None = None
    for space in (whole.space, *rounded, *longer, *alike):
        try:
            return Cut(fn, jax.ShapeDtypeStruct((whole.shape[0], *space, whole.shape[-1]), whole.dtype))
        except CertificationError as refusal:
            if not_proved is not None:
                raise not_proved from None
            not_proved = refusal
        except Exception as error:  # whatever the function raises where it does not take a size
            refused = refused or error
    raise not_proved or refused or AssertionError("no size was tried")


def _measured(
    fn: Fn, whole: Picture, sample: str, choice: dict[str, Any], journal: Any, progress: bool, client: Any
) -> Frozen:
    """All passes over an image that is not padded any more."""
    cut = _cut(fn, whole)
    frozen = unmeasured(fn, cut, sample=sample)
    pixels = whole.sample()
    kept = Journal(frozen, journal, f"{whole.identity}, of which {pixels}")
    before, values = kept.finished()
    kept.write(before, _placeholders(values))  # that this fails is better seen before the first pass
    if not cut.statistics:
        return frozen
    if choice["memory_bytes"] is not None:
        # Tiles that the function itself fits; its inner layers, all of them at once, would not.
        choice = {
            **choice,
            "tile": plan_tiles(frozen, whole.shape, pad=None, **choice).tile_output,
            "memory_bytes": None,
        }
    every = Operands(frozen, tuple(range(len(cut.measures))))
    try:
        plan = plan_tiles(every, whole.shape, pad=None, **choice)
    except Undivided:  # it advises to pad, which is no help here: the padded image is measured as it is, too
        expected = "as much as the image takes in one piece, since no smaller tiles are proved to give its statistics"
        fail("memory_bytes", expected, None)
    except CertificationError as refusal:
        raise _unproved(cut, 0, str(refusal)) from None
    for missing in plan.certificate.left_out:
        raise _unproved(cut, missing.place, missing.why)
    few = math.prod(plan.grid) * math.prod(plan.tile_input) <= FEW
    for stage in range(before + 1, cut.passes + 1):
        which = every.which if few else _measured_in(cut, stage)
        with _bar(plan, stage, cut.passes, progress) as finished:
            work = Work(Operands(frozen.given(_placeholders(values)), which), plan, which, whole)
            tell = work.told if client is None else partial(on_workers, client, work)
            found = measure(work, tell, finished)
        if whole.sample() != pixels:
            fail("image", "one that stays as it is", f"other pixels after pass {stage} than before", "measure it anew")
        summaries = dict(zip(which, found, strict=True))
        for k, one in enumerate(cut.statistics):
            if one.stage == stage:
                values[k] = _value(frozen.given(values), k, summaries)
        kept.write(stage, _placeholders(values))
    done = unmeasured(fn, cut, sample=sample, remark=plan.why).given(values)
    _check_finite(done)
    return done


def _unproved(cut: Cut, measure: int, why: str) -> CertificationError:
    """The refusal of what is measured, with the line that takes a statistic of it where no other line is to blame."""
    _, nowhere, reason = why.partition(" at unknown: ")
    source = next(one.source for one in cut.statistics if one.measure == measure)
    text = (reason if nowhere else why).rstrip(".")
    return CertificationError(
        "statistic", source, f"nothing is proved of what it reduces: {text}", "Reduce it otherwise."
    )


def _measured_in(cut: Cut, stage: int) -> tuple[int, ...]:
    return tuple(k for k, one in enumerate(cut.measures) if one.stage == stage)


def _placeholders(values: Sequence[Any]) -> list[Any]:
    """Values of which those not yet measured are 0: nothing that is computed depends on them."""
    return [jnp.zeros(v.shape, v.dtype) if isinstance(v, jax.ShapeDtypeStruct) else v for v in values]


def _value(frozen: Frozen, k: int, summaries: dict[int, Summary]) -> Any:
    """A statistic, from what was measured for it and from earlier ones."""
    one = frozen.cut.statistics[k]
    about = frozen.cut.measures[one.measure]
    how = about.layout
    summary = over_channels(about.kind, summaries[one.measure], how.others, how.reduced)
    if summary.count != how.count:
        raise RuntimeError(f"{summary.count} positions were counted of {how.count}: please report this")
    if summary.squares is not None and (one.operation == "variance" or one.centre is not None):
        _check_varies(one.source, summary)
    if one.operation == "variance":
        value = variance(summary)
    elif one.operation == "sum of squares":
        centre: Any = 0.0
        if one.centre is not None:
            known = [None if isinstance(v, jax.ShapeDtypeStruct) else v for v in frozen.values]
            centre = np.asarray(frozen.cut.centre(frozen.fn, known, one), np.float64).reshape(summary.value.shape)
        value = squares_about(summary, centre)
    else:
        value = total(summary) if about.kind == "sum" else summary.value
    return jnp.asarray(value.reshape(one.shape).astype(one.dtype))


def _check_varies(source: str, summary: Summary) -> None:
    flat = [k for k, image in enumerate(summary.squares) if not image.any()]  # type: ignore[arg-type]
    if flat:
        fail("image", "one that varies", f"zero variance in image {flat[0]} of the batch where {source} takes it")


def _check_finite(frozen: Frozen) -> None:
    for one, value in zip(frozen.statistics, frozen.values, strict=True):
        if not _finite(value):
            fail("image", "finite statistics", f"{one.operation} at {one.source} that is NaN or infinite")
    for value in frozen.cut.derived(frozen.fn, frozen.values):
        if not _finite(value):
            sources = ", ".join(dict.fromkeys(one.source for one in frozen.statistics))
            fail("image", "statistics that can be divided by", f"NaN or infinity derived from those at {sources}")


def _finite(value: Any) -> bool:
    host = np.asarray(value)
    return bool(np.isfinite(host if np.iscomplexobj(host) else host.astype(np.float64)).all())


@contextlib.contextmanager
def _bar(plan: TilePlan, stage: int, passes: int, wanted: bool) -> Iterator[Callable[[], Any]]:
    """A bar over the tiles of one pass, with the time left; none where tqdm is not installed."""
    try:
        tqdm = require("tqdm", "volume").tqdm if wanted else None
    except ImportError:
        tqdm = None
    if tqdm is None:
        yield lambda: None
        return
    with tqdm(total=int(np.prod(plan.grid)), desc=f"pass {stage} of {passes}", unit=" tiles") as bar:
        yield bar.update
