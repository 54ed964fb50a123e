"""Where tiles lie: all origins in one phase, the image padded at its border, the output cropped to n periods."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import jax.numpy as jnp

from shiftjax.certifier import Certificate
from shiftjax.tiling._compiled import Crop

Index = tuple[slice, ...]
Place = tuple[int, ...]  # the number of a tile, per axis


@dataclass(frozen=True)
class TileOutput:
    """One output array of the function.

    Attributes:
        name: its place in the pytree; empty where the function returns one array.
        channels: size of its last axis.
        dtype: name of its type.
        crop: of a tile's output, as an index.
        whole_crop: of the output of the function on the padded image, as an index.
    """

    name: str
    channels: int
    dtype: str
    crop: Index
    whole_crop: Index


@dataclass(frozen=True)
class TilePlan:
    """How to predict an image tile by tile. Sizes are in pixels, per spatial axis; tuples are in the order of the axes.

    Attributes:
        image_shape: `(batch, *space, channel)` of the image.
        dtype: of the image.
        period: of the function, from its certificate; of all its outputs together.
        tile_input: input pixels of a tile.
        tile_output: output pixels of a tile that are kept.
        grid: number of tiles.
        pad: how the image continues beyond its border: "reflect", "edge" or "constant" (zeros).
        pad_width: pixels padded before and after, for all axes of the image, as `jnp.pad` takes them.
        outputs: one entry per output array of the function.
        equals_whole: whether tiling is proved to equal the function on the padded image; if not, `why` tells.
        batchwise: whether the function is proved to treat each image of a batch alone, so that tiles may share a call.
        batch_size: tiles per call.
        memory: bytes that predicting takes with one tile per call, where `memory_bytes` was given.
        certificate: of the function at a tile's shape.
    """

    image_shape: tuple[int, ...]
    dtype: str
    period: tuple[int, ...]
    tile_input: tuple[int, ...]
    tile_output: tuple[int, ...]
    grid: tuple[int, ...]
    pad: str
    pad_width: tuple[tuple[int, int], ...]
    outputs: tuple[TileOutput, ...]
    equals_whole: bool
    why: str
    batchwise: bool
    batch_size: int
    memory: int | None
    certificate: Certificate = field(repr=False)

    @property
    def tile_stride(self) -> tuple[int, ...]:
        """Pixels from one tile to the next; equals `tile_output`."""
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
        """Input pixels computed over output pixels delivered, with the tiles that fill up the last call."""
        tiles = self.batch_size * -(-math.prod(self.grid) // self.batch_size)
        return tiles * math.prod(self.tile_input) / math.prod(self.image_shape[1:-1])

    @property
    def crop(self) -> Index:
        """Of a tile's output, as an index. Only for a single output: use `outputs` otherwise."""
        return self._single.crop

    @property
    def whole_crop(self) -> Index:
        """Of the output on the padded image, as an index. Only for a single output: use `outputs` otherwise."""
        return self._single.whole_crop

    @property
    def crops(self) -> tuple[Crop, ...]:
        """Of a tile's outputs: per output and spatial axis, the first pixel kept and one past the last."""
        return tuple(tuple((at.start, at.stop) for at in output.crop[1:-1]) for output in self.outputs)

    @property
    def _single(self) -> TileOutput:
        if len(self.outputs) != 1:
            raise AttributeError(f"the function has {len(self.outputs)} outputs: use `outputs[i]`")
        return self.outputs[0]

    def places(self) -> Iterator[Place]:
        """All tiles, in raster order."""
        return product(*map(range, self.grid))

    def input_start(self, place: Place) -> tuple[int, ...]:
        """Image pixel where the input of the tile at `place` begins; negative beyond the border."""
        before = (width[0] for width in self.pad_width[1:-1])
        return tuple(i * t - b for i, t, b in zip(place, self.tile_stride, before, strict=True))

    def output_slices(self, place: Place) -> tuple[slice, ...]:
        """The image pixels that the tile at `place` delivers, per spatial axis, cut at the image's end."""
        starts = [i * t for i, t in zip(place, self.tile_stride, strict=True)]
        ends = zip(starts, self.tile_output, self.image_shape[1:-1], strict=True)
        return tuple(slice(a, min(a + t, n)) for a, t, n in ends)

    def explain(self) -> str:
        """The plan in words."""
        space = self.image_shape[1:-1]
        phases = "share one phase" if share_one_phase(self.tile_output, self.period, self.grid) else "differ in phase"
        memory = "" if self.memory is None else f" They take {_bytes(self.memory)} at a time."
        return "\n".join(
            [
                f"{math.prod(self.grid)} tiles ({times(self.grid)}) over an image of {times(space)} px, "
                f"{self.batch_size} per call.{memory}",
                f"Each reads {times(self.tile_input)} px of the image, keeps {times(self.tile_output)} px of output;",
                f"the period is {times(self.period)} px, so tile origins {phases}.",
                f"The image is padded ({self.pad}) by "
                + ", ".join(f"{before} and {after}" for before, after in self.pad_width[1:-1])
                + " px before and after, per axis.",
                f"Every output pixel costs {self.redundancy:.2f} input pixels; the result takes {self._size()}.",
                "Stitching equals the whole image in one piece, exactly."
                if self.equals_whole
                else f"Stitching differs from the whole image in one piece: {self.why}.",
            ]
        )

    def _size(self) -> str:
        pixels = self.image_shape[0] * math.prod(self.image_shape[1:-1])
        width = {output.dtype: _itemsize(output.dtype) for output in self.outputs}
        total = sum(pixels * output.channels * width[output.dtype] for output in self.outputs)
        return f"{_bytes(total)} uncompressed"

    def to_json(self) -> str:
        """The plan as JSON, certificate included, without witnesses."""
        names = ("image_shape", "dtype", "period", "tile_input", "tile_output", "tile_stride", "origin", "grid", "pad")
        flags = ("pad_width", "legal", "equals_whole", "why", "batchwise", "batch_size", "memory", "redundancy")
        fields = {name: getattr(self, name) for name in names + flags}
        outputs = [{"name": o.name, "channels": o.channels, "dtype": o.dtype, **_starts(o)} for o in self.outputs]
        return json.dumps(
            {**fields, "outputs": outputs, "certificate": json.loads(self.certificate.to_json(witnesses=False))}
        )


def _starts(output: TileOutput) -> dict[str, list[int]]:
    return {
        "crop": [index.start for index in output.crop[1:-1]],
        "whole_crop": [index.start for index in output.whole_crop[1:-1]],
    }


def share_one_phase(stride: Sequence[int], period: Sequence[int], grid: Sequence[int]) -> bool:
    """Whether all tiles lie at one phase: where there are several along an axis, their stride is whole periods."""
    return all(t % p == 0 or n == 1 for t, p, n in zip(stride, period, grid, strict=True))


def times(numbers: Sequence[Any]) -> str:
    """Sizes for people: `3 x 4`."""
    return " x ".join(str(n) for n in numbers)


def _itemsize(dtype: str) -> int:
    return jnp.dtype(dtype).itemsize


def _bytes(count: int) -> str:
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{count} bytes" if units[0] == "bytes" else f"{value:.1f} {units[0]}"
