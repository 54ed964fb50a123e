"""Tile-and-stitch in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from shiftjax._checks import array, fail, finite, shown
from shiftjax._network import network
from shiftjax._patience import patience
from shiftjax._typing import Array, Shaped
from shiftjax.tiling._pipeline import run_tiles
from shiftjax.tiling._plan import TileIndex, TilePlan
from shiftjax.tiling._streaming.strips import in_strips
from shiftjax.tiling._words import times


def predict_tiled(
    fn: Callable[[Any], Any],
    image: Shaped[Array, "batch *space channel"] | Shaped[np.ndarray, "batch *space channel"],
    plan: TilePlan,
    *,
    batch_size: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    mesh: Mesh | None = None,
) -> Any:
    """Predicts an image tile by tile and stitches the outputs.

    Only tiles travel to the device; the image and the result stay on the host.

    Args:
        fn: the function that was planned for.
        image: `(batch, *space, channel)`, of the shape that was planned for.
        plan: from `plan_tiles`.
        batch_size: tiles per call of `fn`, stacked along its batch axis; by default the plan's, which is 1 where `fn`
            may mix the images of a batch, and for a stream.
        devices: tiles are spread over these; by default all that this process has. A stream runs on one.
        mesh: a mesh of devices that shares out every single tile instead, one spatial axis per axis of the mesh.

    Returns:
        `(batch, *space, channel)`, a NumPy array on the host; a pytree of such where `fn` returns one, with None for an
        output that the certificate leaves out. An output of stride a has `ceil(n / a)` pixels for n of the image; where
        nothing is padded, as many as that of `fn(image)`. Where `plan.equals_whole`, the result equals
        `fn(jnp.pad(image, plan.pad_width, mode=plan.pad))[plan.whole_crop]`, or `fn(image)` if `plan.pad` is None: bit
        for bit in integer arithmetic, up to rounding in floating point.

    Raises:
        ValueError: the image has another shape, or holds NaN or infinity; `fn` is another function; or `batch_size` is
            above 1 where the plan forbids it.
    """
    if not isinstance(plan, TilePlan):
        fail("plan", "a plan from `plan_tiles`", shown(plan))
    fn = network("fn", fn)
    image = array("image", image)
    if tuple(image.shape) != plan.image_shape:
        fail("image", f"the planned shape {plan.image_shape}", f"shape {image.shape}", "make a plan for this image")
    finite("image", image)
    host = _as_planned(np.asarray(image), plan.dtype)

    def read_tile(tile: TileIndex) -> np.ndarray:
        return plan.read_input(tile, lambda slices: host[(slice(None), *slices)])

    def index(tile: TileIndex) -> TileIndex:
        return tile

    stitched: Any = None
    options: dict[str, Any] = {"batch_size": batch_size, "devices": devices, "mesh": mesh}
    outputs = run_tiles(fn, plan, read_tile, in_strips(plan, plan.tiles()), index, **options)
    with patience(f"compiling the network for tiles of {times(plan.tile_input)} px, and computing the first"):
        first = list(islice(outputs, 1))
    for tile, output in chain(first, outputs):
        if stitched is None:  # only now the tree of the outputs is known
            leaves, tree = jax.tree.flatten(output)
            sizes = [one.size for one in plan.outputs]
            empty = [
                np.empty((plan.image_shape[0], *size, y.shape[-1]), y.dtype)
                for size, y in zip(sizes, leaves, strict=True)
            ]
            stitched = jax.tree.unflatten(tree, empty)
        parts = zip(jax.tree.leaves(stitched), jax.tree.leaves(output), plan.delivered(tile), strict=True)
        for whole, part, slices in parts:
            whole[(slice(None), *slices)] = part
    return stitched


def _as_planned(image: np.ndarray, dtype: str) -> np.ndarray:
    """The image in the planned type, if that holds its values; half precision rounds them."""
    planned = jnp.dtype(dtype)
    real = not jnp.issubdtype(image.dtype, jnp.complexfloating)
    if not ((real and jnp.issubdtype(planned, jnp.floating)) or np.can_cast(image.dtype, planned, "safe")):
        own = jax.dtypes.canonicalize_dtype(image.dtype)
        mend = (
            f"plan with dtype={str(own)!r}" if own == image.dtype else f"convert it to {own}, if that holds its values"
        )
        fail("image", f"values that the planned {dtype} holds", image.dtype, mend)
    if jnp.issubdtype(image.dtype, jnp.integer) and jnp.issubdtype(planned, jnp.floating) and planned.itemsize > 2:
        largest = max(-int(image.min(initial=0)), int(image.max(initial=0)))
        if largest > 2 ** (jnp.finfo(planned).nmant + 1):
            mend = "plan with the image's dtype, or convert it to floats, rounded or scaled as you want them"
            fail("image", f"whole numbers that the planned {dtype} holds", largest, mend)
    with np.errstate(over="ignore"):  # looked for below
        converted = image.astype(planned, copy=False)
    if converted is not image and jnp.issubdtype(planned, jnp.inexact):
        beyond = ~np.isfinite(converted)  # the image itself is finite
        if beyond.any():
            mend = "scale it first, or plan with a wider dtype"
            fail("image", f"values that the planned {dtype} holds", str(image[beyond][0]), mend)
    return converted
