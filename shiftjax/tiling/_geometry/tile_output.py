"""What is kept of the outputs of a function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from shiftjax.certifier import AxisCertificate, Certificate
from shiftjax.tiling._geometry.axis_tiles import AxisTiles, OutputAxis

Index = tuple[slice, ...]


@dataclass(frozen=True)
class TileOutput:
    """One output array of the function.

    Attributes:
        name: its name in the pytree that the function returns; empty where that is one array.
        channels: size of its last axis.
        dtype: name of its type.
        stride: image pixels per output pixel, per spatial axis.
        size: output pixels of the result, per spatial axis.
        place: where the middle of output pixel 0 lies, in image pixels from the middle of pixel 0, per spatial axis.
        tile: output pixels that a tile delivers, per spatial axis; fewer at the end of the result.
        crop: what is kept of a tile's output, as an index of `(batch, *space, channel)`. Where the image is not padded,
            tiles that touch its border keep as many pixels, but others.
        whole_crop: the pixels over the image in the output for the whole padded image, as such an index.
    """

    name: str
    channels: int
    dtype: str
    stride: tuple[Fraction, ...]
    size: tuple[int, ...]
    place: tuple[Fraction, ...]
    tile: tuple[int, ...]
    crop: Index
    whole_crop: Index


def tile_outputs(certificate: Certificate, dtypes: Sequence[str], axes: Sequence[AxisTiles]) -> tuple[TileOutput, ...]:
    """One entry per output array.

    Args:
        certificate: of the function at a tile's shape.
        dtypes: of the outputs.
        axes: the tiles along each spatial axis.
    """
    outputs = []
    for k, (output, dtype) in enumerate(zip(certificate.outputs, dtypes, strict=True)):
        leaf = output.leaves[0]
        own = [along.outputs[k] for along in axes]
        kept = [along.kept(k) for along in axes]
        inner = [along.kept_from(along.count // 2, k) for along in axes]
        whole = [out.first or 0 for out in own]
        size = tuple(out.size for out in own)
        outputs.append(
            TileOutput(
                name=leaf.name,
                channels=leaf.shape[-1],
                dtype=dtype,
                stride=tuple(out.stride for out in own),
                size=size,
                place=tuple(map(_place, axes, own, output.axes)),
                tile=tuple(kept),
                crop=_index(inner, kept),
                whole_crop=_index(whole, size),
            )
        )
    return tuple(outputs)


def _place(along: AxisTiles, own: OutputAxis, axis: AxisCertificate) -> Fraction:
    """A coarse pixel lies in the middle of the image pixels that it stands for; further in where the border is lost."""
    if along.padded or own.size == math.ceil(along.image / own.stride):
        return (own.stride - 1) / 2
    return Fraction(axis.offset)


def _index(start: Sequence[int], size: Sequence[int]) -> Index:
    return (slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)), slice(None))
