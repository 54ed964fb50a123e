"""From a function and an image's shape to a plan, by certificates alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from shiftjax._checks import fail, integer, one_of, per_axis
from shiftjax.certify import Certificate, CertificationError, batchwise, certify
from shiftjax.tiling.border import PADS
from shiftjax.tiling.call import Callee, Fn
from shiftjax.tiling.cheapest import Candidates, Sizes, candidates, within_bytes, within_pixels
from shiftjax.tiling.plan import Index, TileOutput, TilePlan, times
from shiftjax.tiling.search import first_certificate, smallest_input
from shiftjax.tiling.window import windows

TILE_PIXELS = 2**20  # input pixels of a tile when neither a tile nor a memory is given
BATCH_PIXELS = 2**18  # input pixels that make a call worth while: smaller tiles share one


def plan_tiles(
    fn: Fn,
    image_shape: Sequence[int],
    *,
    tile: int | Sequence[int] | None = None,
    memory_bytes: int | None = None,
    pad: str = "reflect",
    spatial_axes: Sequence[int] | None = None,
    dtype: Any = jnp.float32,
    illegal_tile: bool = False,
) -> TilePlan:
    """Plans exact tile-and-stitch of `fn` over an image, from the certificate of `fn`.

    The tile is the legal one that computes the fewest input pixels in all: among tiles that fit `memory_bytes`, or else
    among those that read at most a million pixels.

    Args:
        fn: any function of one image whose outputs have stride 1; it is traced abstractly at a few sizes, never run.
        image_shape: `(batch, *space, channel)`.
        tile: wished output pixels of a tile, one integer or one per axis; rounded down to a multiple of the period,
            at least one period.
        memory_bytes: the most that one call may take on the device: parameters, one tile, its outputs and temporaries
            by XLA's account, found by at most 8 trial compilations. The image and the result are not counted.
        pad: "reflect", "edge" or "constant" (zeros), for the border of the image.
        spatial_axes: must be all axes between batch and channel.
        dtype: of the image.
        illegal_tile: keep `tile` as wished, to study seams.

    Returns:
        The plan; `predict_tiled` and `predict_volume` follow it.

    Raises:
        CertificationError: `fn` cannot be tiled, and which operation is to blame.
        ValueError: bad arguments, or a memory that no tile fits.

    Example:
        >>> plan = plan_tiles(lambda x: x[:, 1:-1], (1, 100, 3), tile=32)
        >>> plan.tile_input, plan.grid, plan.pad_width
        ((34,), (4,), ((0, 0), (1, 29), (0, 0)))
    """
    if not isinstance(image_shape, Sequence) or len(image_shape) < 3:
        fail("image_shape", "(batch, *space, channel)", repr(image_shape))
    shape = per_axis("image_shape", image_shape, len(image_shape))
    ndim = len(shape) - 2
    if spatial_axes is not None and tuple(spatial_axes) != tuple(range(1, ndim + 1)):
        fail("spatial_axes", "all axes between batch and channel", tuple(spatial_axes), "move the axes of the image")
    one_of("pad", pad, PADS)
    most = None if memory_bytes is None else integer("memory_bytes", memory_bytes, least=1)
    wish = None if tile is None else per_axis("tile", tile, ndim)
    if wish is None and illegal_tile:
        fail("tile", "a size to keep as wished, with `illegal_tile`", None)
    certificate_at = partial(_certificate_at, fn, shape, dtype)

    size, first = first_certificate(certificate_at, wish or (1,) * ndim)
    found = windows(first)
    period = tuple(window.period for window in found)
    memory = partial(_account, fn, shape, dtype)
    if wish is None:
        size, first = smallest_input(certificate_at, period, size, first)
        some = candidates(shape[1:-1], period, [window.halo for window in windows(first)])
        output = _affordable(some, memory, Callee(fn).nbytes, most, shape[0])
    else:
        output = wish if illegal_tile else _legal_tile(wish, period, shape[1:-1])
    size, certificate = smallest_input(certificate_at, output, size, first)
    alone = batchwise(fn, jax.ShapeDtypeStruct((1, *size, shape[-1]), dtype))
    taken = None if most is None else memory(size)
    if most is not None and taken is not None and taken > most:
        fail("memory_bytes", f"at least {taken}, which a tile of {times(output)} px takes", most, "leave `tile` out")
    return _plan(fn, certificate_at, certificate, shape, dtype, size, output, pad, alone, taken, most)


def _certificate_at(fn: Fn, shape: Sequence[int], dtype: Any, space: Sequence[int]) -> Certificate:
    image = jax.ShapeDtypeStruct((shape[0], *space, shape[-1]), dtype)
    try:
        return certify(fn, image)
    except CertificationError:
        if any(0 in leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(fn, image))):
            raise ValueError(f"an input of {times(space)} px leaves no output") from None
        raise


def _affordable(
    some: Candidates, memory: Callable[[Sizes], int], fixed: int, most: int | None, batch: int
) -> tuple[int, ...]:
    if most is None:
        return within_pixels(some, TILE_PIXELS // batch)
    return within_bytes(some, memory, fixed, most)


def _account(fn: Fn, shape: Sequence[int], dtype: Any, size: Sizes) -> int:
    """Bytes of one call on one tile. The crop is left out: it makes the outputs no larger."""
    return Callee(fn).account(jax.ShapeDtypeStruct((shape[0], *size, shape[-1]), dtype))


def _legal_tile(wish: Sequence[int], period: Sequence[int], space: Sequence[int]) -> tuple[int, ...]:
    # A tile wider than the image would compute padding only.
    return tuple(p * max(1, min(w // p, -(-n // p))) for w, p, n in zip(wish, period, space, strict=True))


def _plan(
    fn: Fn,
    certificate_at: Callable[[Sequence[int]], Certificate],
    certificate: Certificate,
    shape: tuple[int, ...],
    dtype: Any,
    size: tuple[int, ...],
    output: tuple[int, ...],
    pad: str,
    alone: bool,
    taken: int | None,
    most: int | None,
) -> TilePlan:
    space = shape[1:-1]
    found = windows(certificate)
    period = tuple(window.period for window in found)
    grid = tuple(-(-n // t) for n, t in zip(space, output, strict=True))
    padded = tuple((n - 1) * t + s for n, t, s in zip(grid, output, size, strict=True))
    after = tuple(whole - w.start - n for whole, w, n in zip(padded, found, space, strict=True))
    one_phase = all(t % p == 0 or n == 1 for t, p, n in zip(output, period, grid, strict=True))
    why = (
        _difference(certificate_at, certificate, padded, space)
        if one_phase
        else (f"a tile stride of {times(output)} px is no multiple of the period, {times(period)} px")
    )
    return TilePlan(
        image_shape=shape,
        dtype=str(jnp.dtype(dtype)),
        period=period,
        tile_input=size,
        tile_output=output,
        grid=grid,
        pad=pad,
        pad_width=((0, 0), *((w.start, a) for w, a in zip(found, after, strict=True)), (0, 0)),
        outputs=_outputs(fn, certificate, shape, dtype, output),
        equals_whole=not why,
        why=why,
        batchwise=alone,
        batch_size=_batch_size(shape, size, grid, taken, most) if alone else 1,
        memory=taken,
        certificate=certificate,
    )


def _outputs(
    fn: Fn, certificate: Certificate, shape: Sequence[int], dtype: Any, kept: Sequence[int]
) -> tuple[TileOutput, ...]:
    leaves = jax.tree.leaves(jax.eval_shape(fn, jax.ShapeDtypeStruct(certificate.shape, dtype)))
    found = windows(certificate)
    outputs = []
    for k, (leaf, aval) in enumerate(zip(certificate.leaves, leaves, strict=True)):
        start = [window.start - window.places[k] for window in found]
        crops = _index(start, kept), _index(start, shape[1:-1])
        outputs.append(TileOutput(leaf.name, leaf.shape[-1], str(aval.dtype), *crops))
    return tuple(outputs)


def _batch_size(shape: Sequence[int], size: Sizes, grid: Sizes, taken: int | None, most: int | None) -> int:
    pixels = shape[0] * math.prod(size)
    worth = min(math.prod(grid), BATCH_PIXELS // pixels)
    room = worth if taken is None or most is None else min(worth, most // taken)
    return max(1, room)


def _difference(
    certificate_at: Callable[[Sequence[int]], Certificate],
    certificate: Certificate,
    padded: Sequence[int],
    space: Sequence[int],
) -> str:
    """Why the function on the padded image is another map than on a tile; empty where it is proved to be the same."""
    try:
        whole = certificate_at(padded)
    except (CertificationError, ValueError, TypeError) as error:
        return f"the function does not take the padded image in one piece ({error})"
    if not certificate.same_map(whole):
        return f"at {times(padded)} px the function is computed in another way than on a tile"
    if any(
        (large.start, large.places) != (small.start, small.places) or large.width < n
        for large, small, n in zip(windows(whole), windows(certificate), space, strict=True)
    ):
        return "the exact output of the padded image in one piece does not cover the image"
    return ""


def _index(start: Sequence[int], size: Sequence[int]) -> Index:
    return (slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)), slice(None))
