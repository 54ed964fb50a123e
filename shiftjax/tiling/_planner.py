"""From a function and an image's shape to a plan, by certificates alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, integer, one_of, per_axis
from shiftjax.certifier import Certificate, CertificationError, batchwise, certify
from shiftjax.tiling._cheapest import Candidates, Sizes, candidates, within_bytes, within_pixels
from shiftjax.tiling._compiled import Callee, Fn
from shiftjax.tiling._exact_window import windows
from shiftjax.tiling._legal_inputs import first_certificate, leanest, smallest_input
from shiftjax.tiling._padding import PADS
from shiftjax.tiling._plan import Index, TileOutput, TilePlan, share_one_phase, times

TILE_PIXELS = 2**20  # input pixels of a tile when neither a tile nor a memory is given
OVER = 1.3  # resident memory against the account, on a CPU
BATCH_PIXELS = 2**18  # input pixels that make a call worth while: smaller tiles share one


def plan_tiles(
    fn: Fn,
    image_shape: Sequence[int] | np.ndarray,
    *,
    tile: int | Sequence[int] | np.ndarray | None = None,
    memory_bytes: int | None = None,
    pad: str = "reflect",
    spatial_axes: tuple[int, ...] | None = None,
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
        memory_bytes: the most that predicting may take on a device: by XLA's account the parameters, the temporaries
            of one call, and the tiles and outputs of two, found by at most 8 trial compilations. On a CPU those of one,
            and what its convolutions take beside that account; what is read and written meanwhile may take up to
            0.3 times as much again. Image and result are not counted.
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
    shape = _checked(image_shape)
    ndim = len(shape) - 2
    if spatial_axes is not None and spatial_axes != tuple(range(1, ndim + 1)):
        fail(
            "spatial_axes", f"{tuple(range(1, ndim + 1))}, all between batch and channel", spatial_axes, "move the axes"
        )
    one_of("pad", pad, PADS)
    most = None if memory_bytes is None else integer("memory_bytes", memory_bytes, least=1)
    wish = None if tile is None else per_axis("tile", tile, ndim)
    if wish is None and illegal_tile:
        fail("tile", "a size to keep as wished, with `illegal_tile`", None)
    problem = Problem(fn, shape, dtype)

    size, first = first_certificate(problem.certificate, wish or (1,) * ndim)
    size, first = leanest(problem.certificate, size, first)
    found = windows(first)
    period = tuple(window.period for window in found)
    if wish is None:
        halo = [window.halo + window.width % window.period for window in found]
        output = problem.cheapest(candidates(shape[1:-1], period, halo), most)
    else:
        output = wish if illegal_tile else _legal_tile(wish, period, shape[1:-1])
    size, certificate = smallest_input(problem.certificate, output, size, first)
    taken = None if most is None else problem.account(size)
    if most is not None and taken is not None and taken > most:
        fail("memory_bytes", f"at least {taken}, which a tile of {times(output)} px takes", most, "leave `tile` out")
    return _plan(problem, certificate, size, output, pad, taken, most)


def _checked(image_shape: Any) -> tuple[int, ...]:
    if hasattr(image_shape, "dtype") and getattr(image_shape, "ndim", 1) > 1:
        fail("image_shape", "(batch, *space, channel)", f"an array of shape {image_shape.shape}", "give its shape")
    shape = tuple(np.asarray(image_shape).tolist()) if isinstance(image_shape, Sequence | np.ndarray) else ()
    if len(shape) < 3:
        fail("image_shape", "(batch, *space, channel)", repr(image_shape))
    return per_axis("image_shape", shape, len(shape))


@dataclass(frozen=True)
class Problem:
    """A function, and the shape and type of its image: what can be asked about inputs of other sizes."""

    fn: Fn
    shape: tuple[int, ...]
    dtype: Any

    def image(self, space: Sequence[int]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.shape[0], *space, self.shape[-1]), self.dtype)

    def certificate(self, space: Sequence[int]) -> Certificate:
        """At an input of this size; a size that leaves no output is an error of another kind."""
        try:
            return certify(self.fn, self.image(space))
        except CertificationError:
            if any(0 in y.shape for y in Callee(self.fn).outputs(self.image(space))):
                raise ValueError(f"an input of {times(space)} px leaves no output") from None
            raise

    def account(self, size: Sizes) -> int:
        """Bytes that a run with one tile per call is held to; the crop is left out, it makes the outputs no larger.

        A device holds two calls' tiles and outputs: one computed, one sent or fetched. A CPU shares its memory with the
        host, where one tile is read ahead and the caller has two outputs; that may go beyond the account of the call,
        but by no more than `OVER`.
        """
        parameters, tiles, outputs, temporary = Callee(self.fn).account(self.image(size))
        once = parameters + tiles + outputs + temporary
        if jax.default_backend() != "cpu":
            return once + tiles + outputs
        return max(once, int((once + 2 * tiles + 2 * outputs) / OVER))

    def batchwise(self, size: Sizes) -> bool:
        return batchwise(self.fn, jax.ShapeDtypeStruct((1, *size, self.shape[-1]), self.dtype))

    def cheapest(self, some: Candidates, most: int | None) -> Sizes:
        if most is None:
            return within_pixels(some, TILE_PIXELS // self.shape[0])
        return within_bytes(some, self.account, Callee(self.fn).nbytes, most)


def _legal_tile(wish: Sequence[int], period: Sequence[int], space: Sequence[int]) -> tuple[int, ...]:
    # A tile wider than the image would compute padding only.
    return tuple(p * max(1, min(w // p, -(-n // p))) for w, p, n in zip(wish, period, space, strict=True))


def _plan(
    problem: Problem,
    certificate: Certificate,
    size: Sizes,
    output: Sizes,
    pad: str,
    taken: int | None,
    most: int | None,
) -> TilePlan:
    space = problem.shape[1:-1]
    found = windows(certificate)
    period = tuple(window.period for window in found)
    grid = tuple(-(-n // t) for n, t in zip(space, output, strict=True))
    padded = tuple((n - 1) * t + s for n, t, s in zip(grid, output, size, strict=True))
    after = tuple(whole - w.start - n for whole, w, n in zip(padded, found, space, strict=True))
    why = (
        _difference(problem, certificate, padded)
        if share_one_phase(output, period, grid)
        else f"a tile stride of {times(output)} px is no multiple of the period, {times(period)} px"
    )
    alone = problem.batchwise(size)
    return TilePlan(
        image_shape=problem.shape,
        dtype=str(jnp.dtype(problem.dtype)),
        period=period,
        tile_input=size,
        tile_output=output,
        grid=grid,
        pad=pad,
        pad_width=((0, 0), *((w.start, a) for w, a in zip(found, after, strict=True)), (0, 0)),
        outputs=_outputs(problem, certificate, output),
        equals_whole=not why,
        why=why,
        batchwise=alone,
        batch_size=_batch_size(problem, size, grid, taken, most) if alone else 1,
        memory=taken,
        certificate=certificate,
    )


def _outputs(problem: Problem, certificate: Certificate, kept: Sizes) -> tuple[TileOutput, ...]:
    found = windows(certificate)
    avals = Callee(problem.fn).outputs(problem.image(certificate.shape[1:-1]))
    outputs = []
    for k, (leaf, aval) in enumerate(zip(certificate.leaves, avals, strict=True)):
        start = [window.start - window.places[k] for window in found]
        crops = _index(start, kept), _index(start, problem.shape[1:-1])
        outputs.append(TileOutput(leaf.name, leaf.shape[-1], str(aval.dtype), *crops))
    return tuple(outputs)


def _batch_size(problem: Problem, size: Sizes, grid: Sizes, taken: int | None, most: int | None) -> int:
    """Tiles per call: enough to make one worth while, as many in all calls, so that none is filled up."""
    tiles = math.prod(grid)
    room = max(1, BATCH_PIXELS // (problem.shape[0] * math.prod(size)))
    if taken is not None and most is not None:
        fixed = Callee(problem.fn).nbytes
        room = max(1, min(room, (most - fixed) // max(1, taken - fixed)))
    return -(-tiles // -(-tiles // room))


def _difference(problem: Problem, certificate: Certificate, padded: Sizes) -> str:
    """Why the function on the padded image is another map than on a tile; empty where it is proved to be the same."""
    try:
        whole = problem.certificate(padded)
    except Exception as error:  # whatever the function raises
        return f"the function does not take the padded image in one piece ({error})"
    if not certificate.same_map(whole):
        return f"at {times(padded)} px the function is computed in another way than on a tile"
    if any(
        (large.start, large.places) != (small.start, small.places) or large.width < n
        for large, small, n in zip(windows(whole), windows(certificate), problem.shape[1:-1], strict=True)
    ):
        return "the exact output of the padded image in one piece does not cover the image"
    return ""


def _index(start: Sequence[int], size: Sequence[int]) -> Index:
    return (slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)), slice(None))
