"""Where tiles lie: all origins in one phase, the image padded at its border, the output cropped to n periods."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from shiftjax._checks import fail, one_of, per_axis
from shiftjax.certify import AxisCertificate, Certificate, CertificationError, batchwise, certify
from shiftjax.tiling.search import first_certificate, smallest_input

PADS = ("reflect", "edge", "constant")
DEFAULT_TILE = 128  # output px per axis of a 2-D tile; cubes of about as many pixels otherwise


@dataclass(frozen=True)
class TilePlan:
    """How to predict an image tile by tile. Sizes are in pixels, per spatial axis; tuples are in the order of the axes.

    Attributes:
        image_shape: `(batch, *space, channel)` of the image.
        period: of the function, from its certificate.
        tile_input: input pixels of a tile.
        tile_output: output pixels of a tile that are kept.
        tile_stride: pixels from one tile to the next; equals `tile_output`.
        origin: image pixel where the first tile's output begins.
        grid: number of tiles.
        pad: how the image continues beyond its border.
        pad_width: pixels padded before and after, for all axes of the image, as `jnp.pad` takes them.
        crop: of a tile's output, as an index.
        whole_crop: of the output of the function on the padded image, as an index.
        legal: whether the tile stride is a multiple of the period.
        equals_whole: whether tiling is proved to equal the function on the padded image; if not, `why` tells.
        batchwise: whether the function is proved to treat each image of a batch alone, so that tiles may share a call.
        certificate: of the function at a tile's shape.
    """

    image_shape: tuple[int, ...]
    period: tuple[int, ...]
    tile_input: tuple[int, ...]
    tile_output: tuple[int, ...]
    grid: tuple[int, ...]
    pad: str
    pad_width: tuple[tuple[int, int], ...]
    crop: tuple[slice, ...]
    whole_crop: tuple[slice, ...]
    equals_whole: bool
    why: str
    batchwise: bool
    certificate: Certificate = field(repr=False)

    @property
    def tile_stride(self) -> tuple[int, ...]:
        """Pixels from one tile to the next."""
        return self.tile_output

    @property
    def origin(self) -> tuple[int, ...]:
        """Image pixel where the first tile's output begins."""
        return (0,) * len(self.period)

    @property
    def legal(self) -> bool:
        """Whether tiles are multiples of the period, so that all of them lie at the same phase."""
        return all(t % p == 0 for t, p in zip(self.tile_stride, self.period, strict=True))

    @property
    def redundancy(self) -> float:
        """Input pixels computed over output pixels delivered."""
        computed = math.prod(n * size for n, size in zip(self.grid, self.tile_input, strict=True))
        return computed / math.prod(self.image_shape[1:-1])

    def explain(self) -> str:
        """The plan in words."""
        space = self.image_shape[1:-1]
        phases = "share one phase" if self.legal else "differ in phase"
        return "\n".join(
            [
                f"{math.prod(self.grid)} tiles ({_times(self.grid)}) over an image of {_times(space)} px.",
                f"Each reads {_times(self.tile_input)} px of the image, keeps {_times(self.tile_output)} px of output;",
                f"the period is {_times(self.period)} px, so tile origins {phases}.",
                f"The image is padded ({self.pad}) by "
                + ", ".join(f"{before} and {after}" for before, after in self.pad_width[1:-1])
                + " px before and after, per axis.",
                f"Every output pixel costs {self.redundancy:.2f} input pixels.",
                "Stitching equals the whole image in one piece, exactly."
                if self.equals_whole
                else f"Stitching differs from the whole image in one piece: {self.why}.",
            ]
        )

    def to_json(self) -> str:
        """The plan as JSON, certificate included."""
        names = ("image_shape", "period", "tile_input", "tile_output", "tile_stride", "origin", "grid", "pad")
        flags = ("pad_width", "legal", "equals_whole", "why", "batchwise", "redundancy")
        fields = {name: getattr(self, name) for name in names + flags}
        return json.dumps({**fields, "certificate": json.loads(self.certificate.to_json())})


def plan_tiles(
    fn: Callable[[Any], Any],
    image_shape: Sequence[int],
    *,
    tile: int | Sequence[int] | None = None,
    pad: str = "reflect",
    spatial_axes: Sequence[int] | None = None,
    dtype: Any = jnp.float32,
    illegal_tile: bool = False,
) -> TilePlan:
    """Plans exact tile-and-stitch of `fn` over an image, from the certificate of `fn`.

    Args:
        fn: any function of one image whose output has stride 1; it is traced abstractly at a few sizes, never run.
        image_shape: `(batch, *space, channel)`.
        tile: wished output pixels of a tile, one integer or one per axis; rounded down to a multiple of the period,
            at least one period.
        pad: "reflect", "edge" or "constant" (zeros), for the border of the image.
        dtype: of the image.
        illegal_tile: keep `tile` as wished, to study seams.

    Returns:
        The plan; `predict_tiled` follows it.

    Raises:
        CertificationError: `fn` cannot be tiled, and which operation is to blame.
        ValueError: bad arguments.
    """
    if not isinstance(image_shape, Sequence) or len(image_shape) < 3:
        fail("image_shape", "(batch, *space, channel)", repr(image_shape))
    shape = per_axis("image_shape", image_shape, len(image_shape))
    ndim = len(shape) - 2
    if spatial_axes is not None and tuple(spatial_axes) != tuple(range(1, ndim + 1)):
        fail("spatial_axes", "all axes between batch and channel", tuple(spatial_axes), "move the axes of the image")
    one_of("pad", pad, PADS)
    wish = per_axis("tile", _default_tile(ndim) if tile is None else tile, ndim)

    def certificate_at(space: Sequence[int]) -> Certificate:
        image = jax.ShapeDtypeStruct((shape[0], *space, shape[-1]), dtype)
        try:
            return certify(fn, image)
        except CertificationError:
            if any(0 in leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(fn, image))):
                raise ValueError(f"an input of {_times(space)} px leaves no output") from None
            raise

    size, first = first_certificate(certificate_at, wish)
    _check_layout(first, len(shape))
    output = wish if illegal_tile else _legal_tile(wish, first.period, shape[1:-1])
    size, certificate = smallest_input(certificate_at, output, size, first)
    alone = batchwise(fn, jax.ShapeDtypeStruct((1, *size, shape[-1]), dtype))
    return _plan(certificate_at, certificate, shape, size, output, pad, alone)


def _default_tile(ndim: int) -> int:
    return round(DEFAULT_TILE ** (2 / ndim))


def _check_layout(certificate: Certificate, rank: int) -> None:
    if len(certificate.outputs) != 1:
        fail("fn", "a function with one output", f"{len(certificate.outputs)} outputs", "plan for one of them")
    axes = [axis.output_axis for axis in certificate.axes]
    if len(certificate.output_shape) != rank or axes != [axis.input_axis for axis in certificate.axes]:
        mend = "put the axes back in order, with the channels last"
        found = f"shape {certificate.output_shape} whose axes {axes} are those of the image"
        fail("fn", "an output (batch, *space, channel) with the image's axes in place", found, mend)
    strides = [axis.stride for axis in certificate.axes]
    if any(stride != 1 for stride in strides):
        fail("fn", "an output of stride 1", "stride " + _times(strides), "upsample its output to the input's pixels")


def _legal_tile(wish: Sequence[int], period: Sequence[int], space: Sequence[int]) -> tuple[int, ...]:
    # A tile wider than the image would compute padding only.
    return tuple(p * max(1, min(w // p, -(-n // p))) for w, p, n in zip(wish, period, space, strict=True))


def _plan(
    certificate_at: Callable[[Sequence[int]], Certificate],
    certificate: Certificate,
    shape: tuple[int, ...],
    size: tuple[int, ...],
    output: tuple[int, ...],
    pad: str,
    alone: bool,
) -> TilePlan:
    space = shape[1:-1]
    grid = tuple(-(-n // t) for n, t in zip(space, output, strict=True))
    start = tuple(axis.exact[0] for axis in certificate.axes)
    before = tuple(axis.exact[0] + _place(axis) for axis in certificate.axes)
    padded = tuple((n - 1) * t + s for n, t, s in zip(grid, output, size, strict=True))
    after = tuple(whole - b - n for whole, b, n in zip(padded, before, space, strict=True))
    one_phase = all(t % p == 0 or n == 1 for t, p, n in zip(output, certificate.period, grid, strict=True))
    why = (
        _difference(certificate_at, certificate, padded, space)
        if one_phase
        else (f"a tile stride of {_times(output)} px is no multiple of the period, {_times(certificate.period)} px")
    )
    return TilePlan(
        image_shape=shape,
        period=certificate.period,
        tile_input=size,
        tile_output=output,
        grid=grid,
        pad=pad,
        pad_width=((0, 0), *zip(before, after, strict=True), (0, 0)),
        crop=_index(start, output),
        whole_crop=_index(start, space),
        equals_whole=not why,
        why=why,
        batchwise=alone,
        certificate=certificate,
    )


def _place(axis: AxisCertificate) -> int:
    """Input pixel of output pixel 0: the centre of its receptive field, or itself where the size is kept."""
    return 0 if axis.out == axis.size else axis.offset


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
        return f"at {_times(padded)} px the function is computed in another way than on a tile"
    if any(
        axis.exact[0] != tile.exact[0] or axis.exact[1] - axis.exact[0] < n
        for axis, tile, n in zip(whole.axes, certificate.axes, space, strict=True)
    ):
        return "the exact output of the padded image in one piece does not cover the image"
    return ""


def _index(start: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    return (slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)), slice(None))


def _times(numbers: Sequence[Any]) -> str:
    return " x ".join(str(n) for n in numbers)
