"""From a function and an image's shape to a plan, by certificates alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import fail, nbytes, one_of, per_axis, shown, switch, told, type_of_numbers
from shiftjax._network import network
from shiftjax._streams import NotStreamable
from shiftjax.certifier import Certificate
from shiftjax.tiling._compiled import CompiledFunction, Fn
from shiftjax.tiling._geometry.exact_window import exact_throughout, windows
from shiftjax.tiling._padding import PADS
from shiftjax.tiling._pipeline import keeps_images_apart
from shiftjax.tiling._plan import TilePlan
from shiftjax.tiling._planning.border_plan import between_borders
from shiftjax.tiling._planning.cheapest import Sizes, candidates, whole_periods
from shiftjax.tiling._planning.legal_inputs import first_certificate, least_overhead, on_the_grid_of, smallest_input
from shiftjax.tiling._planning.problem import Problem
from shiftjax.tiling._planning.stream_plan import over_image_as_it_is, over_padded_image
from shiftjax.tiling._planning.tiles_or_strips import cheaper_of
from shiftjax.tiling._words import times

MOST_PIXELS = 2**40  # along an axis: 64-bit numbers count all of them
BATCH_PIXELS = 2**18  # input pixels that make a call worthwhile: smaller tiles share one


def plan_tiles(
    fn: Fn,
    image_shape: Sequence[int] | np.ndarray,
    *,
    tile: int | Sequence[int] | np.ndarray | None = None,
    memory_bytes: int | str | None = None,
    pad: str | None = "reflect",
    spatial_axes: tuple[int, ...] | None = None,
    dtype: Any = jnp.float32,
    illegal_tile: bool = False,
    stream: int | bool | None = None,
) -> TilePlan:
    """Plans exact tile-and-stitch of `fn` over an image, from the certificate of `fn`.

    The tile is the legal one that computes the fewest input pixels in all: among tiles that fit `memory_bytes`, or else
    among those that read at most a million pixels, or 8 times as many as the smallest where that is more.

    Args:
        fn: any function of one image; it is traced abstractly at a few sizes, never run. Its outputs may have any
            stride.
        image_shape: `(batch, *space, channel)`.
        tile: wished image pixels whose output a tile delivers, one integer or one per axis; rounded down to a multiple
            of the period, at least one period.
        memory_bytes: the most that predicting may take on a device, a number of bytes or a text like "2GiB". It counts
            the parameters, the temporaries of one call, and the tiles and outputs of two, as XLA estimates them in at
            most 8 trial compilations; on a CPU the tiles and outputs of one call, and what XLA leaves out of its
            estimate of convolutions. What a CPU reads and writes meanwhile may take up to 0.3 times as much again.
            Image and result are not counted.
        pad: "reflect", "edge" or "constant" (zeros), for the border of the image. None: nothing is padded. The outer
            tiles touch the image's border, which the function meets with its own padding, and the result is
            `fn(image)` itself; an image smaller than a tile is one tile.
        spatial_axes: the axes that are tiled. Only all axes between batch and channel can be, `(1, ..., ndim)`, which
            is the default; for other layouts, move the axes.
        dtype: of the image.
        illegal_tile: keep `tile` as wished, whole periods or not, to study seams.
        stream: a spatial axis, from 0, along which nothing is computed twice: the image is computed in strips along it,
            step by step, and every layer keeps what the next step needs of it. The other axes are tiled. Along the axis
            `tile` is then what a step delivers. True: the axis that saves most, where that is possible and takes at
            most 0.9 of the work of tiles. None: the same, but only on one CPU, where it was measured, with
            `memory_bytes` and without `tile`; `plan.unstreamed` says why not. False: all axes are tiled.

    Returns:
        The plan; `predict_tiled` and `predict_volume` follow it.

    Raises:
        CertificationError: `fn` cannot be tiled; it names the operation to blame.
        ValueError: bad arguments; `memory_bytes` that no tile fits in; an axis along which `fn` cannot be streamed,
            with the reason; or, where nothing is padded, an image size that `fn` does not take or that does not tile,
            with the nearest that it takes.

    Example:
        >>> plan = plan_tiles(lambda x: x[:, 1:-1], (1, 100, 3), tile=32)
        >>> plan.tile_input, plan.grid, plan.pad_width
        ((34,), (4,), ((0, 0), (1, 29), (0, 0)))
    """
    fn = network("fn", fn)
    switch("illegal_tile", illegal_tile)
    shape = _checked_shape(image_shape)
    dtype = type_of_numbers("dtype", dtype)
    if dtype != jax.dtypes.canonicalize_dtype(dtype):
        fail("dtype", "a type that JAX has", dtype, f"say {jax.dtypes.canonicalize_dtype(dtype)}")
    ndim = len(shape) - 2
    every = tuple(range(1, ndim + 1))
    if spatial_axes is not None and not (isinstance(spatial_axes, tuple | list) and tuple(spatial_axes) == every):
        fail("spatial_axes", f"{every}, all between batch and channel", shown(spatial_axes), "move the axes")
    if pad is not None:
        one_of("pad", pad, PADS)
    elif illegal_tile:
        fail("pad", "a padding, with `illegal_tile`", pad, "tiles of an image that is not padded have to fit it")
    limit = None if memory_bytes is None else nbytes("memory_bytes", memory_bytes)
    wish = None if tile is None else per_axis("tile", tile, ndim)
    if wish is None and illegal_tile:
        fail("tile", "a size to keep as wished, with `illegal_tile`", None)
    problem = Problem(fn, CompiledFunction.of(fn), shape, dtype, pad is not None)
    if stream is None or stream is True:
        _checked_axis(0 if stream else None, ndim, illegal_tile=illegal_tile)
        tiled = _planned(problem, None, wish, limit, pad, illegal_tile=illegal_tile)
        if stream is None and (limit is None or wish is not None):
            return tiled
        return cheaper_of(problem, tiled, lambda axis: _planned(problem, axis, wish, limit, pad), asked=stream is True)
    axis = _checked_axis(stream, ndim, illegal_tile=illegal_tile)
    try:
        return _planned(problem, axis, wish, limit, pad, illegal_tile=illegal_tile)
    except NotStreamable as reason:
        expected = "an axis along which the function can be computed step by step"
        fail("stream", expected, f"{axis}, where it cannot ({reason})", "give another axis, or leave it out")


def _planned(
    problem: Problem,
    axis: int | None,
    wish: Sizes | None,
    limit: int | None,
    pad: str | None,
    *,
    illegal_tile: bool = False,
) -> TilePlan:
    """The plan in tiles, or in strips along an axis.

    Raises:
        NotStreamable: the function cannot be streamed along the axis.
    """
    why, leads, ends = "", tuple[int, ...](), None
    if axis is not None:
        if pad is None:
            output, size, certificate, why = over_image_as_it_is(problem, axis, wish, limit)
            ends = None if exact_throughout(certificate, axis) else problem.shape[1 + axis]
        else:
            output, size, certificate, why = over_padded_image(problem, axis, wish, limit, _start(problem, wish))
        leads = problem.stream(size, certificate, axis, ends).leads
    elif pad is None:
        output, size, certificate, why = between_borders(problem, wish, limit)
    else:
        output, size, certificate = _over_padded_image(problem, wish, limit, illegal_tile=illegal_tile)
    memory = None if limit is None else problem.memory_of(size, axis, output, ends)
    if limit is not None and memory is not None and memory > limit:
        fail("memory_bytes", f"at least {memory}, which a tile of {times(output)} px takes", limit, "leave `tile` out")
    returned = problem.compiled.outputs(problem.image(size))
    plan = TilePlan(
        image_shape=problem.shape,
        tile_output=output,
        pad=pad,
        output_dtypes=tuple(str(returned[k].dtype) for k in certificate.places),
        why="",
        batchwise=False,
        batch_size=1,
        memory=memory,
        certificate=certificate,
        stream=axis,
        leads=leads,
    )
    if axis is None:
        count = _batch_size(problem, plan, limit)
        apart = keeps_images_apart(problem.fn, plan, max(count, 2))
        plan = replace(plan, batchwise=apart, batch_size=count if apart else 1)
    return replace(plan, why=why if pad is None else _difference(problem, plan))


def _over_padded_image(
    problem: Problem, wish: Sizes | None, limit: int | None, *, illegal_tile: bool
) -> tuple[Sizes, Sizes, Certificate]:
    """What a tile delivers, what it reads, and the certificate there."""
    shape = problem.shape
    size, certificate = _start(problem, wish)
    period, overhead = zip(*((window.period, window.overhead) for window in windows(certificate)), strict=True)
    if wish is None:
        output = problem.cheapest(candidates(shape[1:-1], period, overhead), limit)
    else:
        output = wish if illegal_tile else whole_periods(wish, period, shape[1:-1])
    size, certificate = smallest_input(problem.certificate, output, size, certificate)
    return output, size, certificate


def _start(problem: Problem, wish: Sizes | None) -> tuple[Sizes, Certificate]:
    """A size from which all others are found by whole periods, and the certificate there."""
    space = problem.shape[1:-1]
    size, certificate = first_certificate(problem.certificate, wish or (1,) * len(space))
    on_grid = on_the_grid_of(problem.certificate, space, size)
    return on_grid or least_overhead(problem.certificate, size, certificate)


def _checked_axis(stream: Any, ndim: int, *, illegal_tile: bool) -> int | None:
    """The streamed axis, if there is one."""
    if stream is None or stream is False:
        return None
    if isinstance(stream, bool) or not isinstance(stream, int | np.integer) or not 0 <= stream < ndim:
        every = "0" if ndim == 1 else f"0 to {ndim - 1}"
        fail("stream", f"a spatial axis counted from 0 ({every}), True, False or None", shown(stream))
    if illegal_tile:
        fail("stream", "None, with `illegal_tile`", shown(stream), "a stream has no seams along its axis to study")
    return int(stream)


def _checked_shape(image_shape: Any) -> tuple[int, ...]:
    if hasattr(image_shape, "dtype") and getattr(image_shape, "ndim", 1) > 1:
        fail("image_shape", "(batch, *space, channel)", f"an array of shape {image_shape.shape}", "give its shape")
    shape = image_shape.tolist() if isinstance(image_shape, np.ndarray) else image_shape
    if not isinstance(shape, Sequence) or isinstance(shape, str | bytes) or len(shape) < 3:
        mend = "an image of one channel has `(1, *space, 1)`, a volume `(1, *volume.space, volume.channels)`"
        fail("image_shape", "(batch, *space, channel)", shown(image_shape), mend)
    sizes = per_axis("image_shape", shape, len(shape))
    if max(sizes) > MOST_PIXELS:
        fail("image_shape", f"at most {MOST_PIXELS} pixels along an axis", sizes)
    return sizes


def _batch_size(problem: Problem, plan: TilePlan, limit: int | None) -> int:
    """Tiles per call, if images of a batch stay apart.

    Enough to make a call worthwhile, and about as many in every call, so that few fill up the last.
    """
    tiles = math.prod(plan.grid)
    most = BATCH_PIXELS // (problem.shape[0] * math.prod(plan.tile_input))
    if plan.memory is not None and limit is not None:
        fixed = problem.compiled.nbytes
        most = min(most, (limit - fixed) // max(1, plan.memory - fixed))
    calls = ceil_div(tiles, max(1, most))
    return ceil_div(tiles, calls)


def _difference(problem: Problem, plan: TilePlan) -> str:
    """Why the plan's tiles give another map than the function on the padded image; empty where proved to be the same.

    The same map of an infinite image, computed at the same phase, and exact wherever the image is: then both give the
    same pixels.
    """
    if not plan.in_phase:
        return f"a tile stride of {times(plan.tile_stride)} px is no multiple of the period, {times(plan.period)} px"
    padded = plan.padded_space
    try:
        whole = problem.certificate(padded)
    except Exception as error:  # whatever the function raises
        return f"the function does not take the padded image in one piece ({told(error)})"
    if approximate := plan.certificate.approximations or whole.approximations:
        return "; ".join(approximate)
    if not plan.certificate.same_map(whole):
        return f"at {times(padded)} px the function is computed in another way than on a tile"
    # An output of stride a covers all of the image, also where its size is no multiple of a.
    needed = (
        max(math.ceil(n / a) * a for a in window.strides)
        for window, n in zip(windows(whole), problem.shape[1:-1], strict=True)
    )
    if any(
        (large.start, large.offsets) != (small.start, small.offsets) or large.width < n
        for large, small, n in zip(windows(whole), windows(plan.certificate), needed, strict=True)
    ):
        return "the exact output of the padded image in one piece does not cover the image"
    return ""
