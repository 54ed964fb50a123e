"""The plan: where tiles lie, what they read and deliver, and whether that is proved to be the whole image's output."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from shiftjax import theory
from shiftjax._arithmetic import ceil_div
from shiftjax._checks import fail
from shiftjax.certifier import Certificate
from shiftjax.tiling._compiled import Crop
from shiftjax.tiling._consistent import consistent
from shiftjax.tiling._explained import explained
from shiftjax.tiling._geometry.axis_tiles import AxisTiles, border_tiles, padded_tiles
from shiftjax.tiling._geometry.exact_window import Window, borders, exact_throughout, windows
from shiftjax.tiling._geometry.stream_axis import streamed
from shiftjax.tiling._geometry.tile_output import Index, TileOutput, tile_outputs
from shiftjax.tiling._padding import Read, read_window
from shiftjax.tiling._plain import as_tuple, plain

FORMAT = 1  # of the JSON
DERIVED = ["dtype", "period", "tile_input", "tile_stride", "origin", "grid", "pad_width", "redundancy", "outputs"]
DERIVED += ["legal", "in_phase", "equals_whole"]

TileIndex = tuple[int, ...]  # the number of a tile along each spatial axis, from 0


@dataclass(frozen=True)
class TilePlan:
    """How to predict an image tile by tile. Made by `plan_tiles`.

    Sizes are in pixels of the image, which are those of an output of stride 1; tuples have an entry per spatial axis.

    Attributes:
        image_shape: `(batch, *space, channel)` of the image.
        tile_output: pixels whose output a tile delivers; an output of stride 2 has half as many.
        pad: how the image continues beyond its border: "reflect", "edge" or "constant" (zeros); None where it does not,
            and the outer tiles touch the border.
        output_dtypes: one per output array of the function.
        why: why tiling is not proved to equal the function on the padded image; empty where it is.
        batchwise: whether the function is proved to treat each image of a batch alone, so that tiles may share a call.
        batch_size: tiles per call.
        memory: bytes that predicting takes with one tile per call, where `memory_bytes` was given.
        certificate: of the function at a tile's shape.
        stream: the spatial axis, from 0, along which the image is computed step by step with no halo; `tile_output` is
            then that of one step. None where all axes are tiled.
        leads: per output, the pixel with which a stream's first step begins it, counted as in a tile's output; mostly
            negative, since a step gives what lies behind the pixels that it reads. Empty without a stream.
        unstreamed: why the image is not streamed, where that was considered.
    """

    image_shape: tuple[int, ...]
    tile_output: tuple[int, ...]
    pad: str | None
    output_dtypes: tuple[str, ...]
    why: str
    batchwise: bool
    batch_size: int
    memory: int | None
    certificate: Certificate = field(repr=False)
    stream: int | None = None
    leads: tuple[int, ...] = ()
    unstreamed: str = ""

    @property
    def dtype(self) -> str:
        """Name of the image's type."""
        return self.certificate.dtype

    @property
    def period(self) -> tuple[int, ...]:
        """Period of the function for all its outputs together: the least common multiple of theirs."""
        return tuple(window.period for window in self._windows)

    @property
    def tile_input(self) -> tuple[int, ...]:
        """Input pixels of a tile; along the axis of a stream, those of a step."""
        sizes = zip(self.certificate.shape[1:-1], self.tile_output, strict=True)
        return tuple(step if k == self.stream else n for k, (n, step) in enumerate(sizes))

    @property
    def tile_stride(self) -> tuple[int, ...]:
        """Pixels from one tile to the next; equals `tile_output`."""
        return self.tile_output

    @property
    def origin(self) -> tuple[int, ...]:
        """Image pixel where the first tile's output begins; for an output of fewer pixels, its pixel 0 is meant."""
        return (0,) * len(self.tile_output)

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(along.count for along in self.axes)

    @property
    def padded_space(self) -> tuple[int, ...]:
        """Pixels of the padded image, which all tiles together read."""
        if self.pad is None:
            return self._space
        return tuple(along.padded_size for along in self.axes)

    @cached_property
    def pad_width(self) -> tuple[tuple[int, int], ...]:
        """Pixels padded before and after, for all axes of the image, as `jnp.pad` takes them."""
        if self.pad is None:
            return ((0, 0),) * len(self.image_shape)
        before = [along.before for along in self.axes]
        sizes = zip(self.padded_space, before, self._space, strict=True)
        return ((0, 0), *((start, padded - start - n) for padded, start, n in sizes), (0, 0))

    @cached_property
    def outputs(self) -> tuple[TileOutput, ...]:
        """One entry per output array of the function, in the order of the pytree's leaves."""
        return tile_outputs(self.certificate, self.output_dtypes, self.axes)

    @cached_property
    def axes(self) -> tuple[AxisTiles, ...]:
        """The tiles along each spatial axis."""
        if self.pad is None:
            tiled = border_tiles(borders(self.certificate), self._space, self.tile_output)
        else:
            sizes = list(zip(*(leaf.shape[1:-1] for leaf in self.certificate.leaves), strict=True))
            tiled = padded_tiles(self._windows, sizes, self._space, self.tile_output)
        if (k := self.stream) is None:
            return tiled
        along = streamed(tiled[k], self.tile_output[k], self.leads, self._windows[k])
        return (*tiled[:k], along, *tiled[k + 1 :])

    @property
    def crop(self) -> Index:
        """What is kept of a tile's output, as an index of `(batch, *space, channel)`. For several, see `outputs`.

        Raises:
            AttributeError: the function has several outputs.
        """
        return self._single.crop

    @property
    def whole_crop(self) -> Index:
        """Which part of the function's output for the whole padded image lies over the image, as an index.

        Where `equals_whole`, `predict_tiled(fn, image, plan)` equals
        `fn(jnp.pad(image, plan.pad_width, mode=plan.pad))[plan.whole_crop]`, and `fn(image)` where nothing is padded.
        Only for a single output, as `crop`.
        """
        return self._single.whole_crop

    @property
    def crops(self) -> tuple[Crop, ...]:
        """What is kept of a tile's outputs: per output and spatial axis, the first pixel and one past the last."""
        return tuple(tuple((at.start, at.stop) for at in output.crop[1:-1]) for output in self.outputs)

    @property
    def legal(self) -> bool:
        """Whether tiles are multiples of the period, so that any number of them lie at one phase."""
        return theory.legal_tile(self.tile_stride, self.period)

    @property
    def in_phase(self) -> bool:
        """Whether the tiles of this plan lie at one phase; a single tile does, whatever its size."""
        return theory.share_one_phase(self.tile_stride, self.period, self.grid)

    @property
    def equals_whole(self) -> bool:
        """Whether tiling is proved to equal the function on the (padded) image; if not, `why` says why."""
        return not self.why

    @property
    def redundancy(self) -> float:
        """Input pixels computed per image pixel, with the tiles that fill up the last call and the start of streams."""
        grid = [n + along.filling for n, along in zip(self.grid, self.axes, strict=True)]
        tiles = self.batch_size * ceil_div(math.prod(grid), self.batch_size)
        return tiles * math.prod(self.tile_input) / math.prod(self._space)

    @property
    def filling(self) -> int:
        """Steps at the beginning of a strip that give nothing yet; 0 without a stream."""
        return sum(along.filling for along in self.axes)

    @property
    def streamed_ends(self) -> int | None:
        """Image pixels along the axis of a stream, where the function's own padding is added at the image's ends.

        None where it is not: there is no stream, the image is padded, or the function pads nothing along this axis.
        """
        if self.stream is None or self.pad is not None or exact_throughout(self.certificate, self.stream):
            return None
        return self._space[self.stream]

    @property
    def _space(self) -> tuple[int, ...]:
        return self.image_shape[1:-1]

    @cached_property
    def _windows(self) -> tuple[Window, ...]:
        return windows(self.certificate)

    @property
    def _single(self) -> TileOutput:
        if len(self.outputs) != 1:
            raise AttributeError(f"the function has {len(self.outputs)} outputs: use `outputs[i]`")
        return self.outputs[0]

    def tiles(self) -> Iterator[TileIndex]:
        """All tiles, in raster order."""
        return product(*map(range, self.grid))

    def input_start(self, tile: TileIndex) -> tuple[int, ...]:
        """Image pixel where the input of a tile begins; negative beyond the border."""
        return tuple(along.origin(i) for i, along in zip(tile, self.axes, strict=True))

    def output_slices(self, tile: TileIndex) -> tuple[slice, ...]:
        """The image pixels whose output a tile delivers, per spatial axis, cut at the image's end."""
        return tuple(along.pixels(i) for i, along in zip(tile, self.axes, strict=True))

    def delivered(self, tile: TileIndex) -> tuple[tuple[slice, ...], ...]:
        """For each output, the pixels of the result that a tile delivers, per spatial axis."""
        return tuple(
            tuple(along.delivered(i, k) for i, along in zip(tile, self.axes, strict=True))
            for k in range(len(self.outputs))
        )

    def inside(self, tile: TileIndex) -> tuple[Index, ...]:
        """For each output, where the pixels that a tile delivers lie in the array fetched for it, as an index."""
        return tuple(
            (slice(None), *(along.inside(i, k) for i, along in zip(tile, self.axes, strict=True)))
            for k in range(len(self.outputs))
        )

    def crop_starts(self, tile: TileIndex) -> tuple[tuple[int, ...], ...]:
        """For each output, the first pixel of the tile's output that is kept, per spatial axis."""
        return tuple(
            tuple(along.kept_from(i, k) for i, along in zip(tile, self.axes, strict=True))
            for k in range(len(self.outputs))
        )

    def read_input(self, tile: TileIndex, read: Read) -> np.ndarray:
        """The input of a tile, `(batch, *tile_input, channel)`, with the image continued beyond its border.

        Args:
            tile: its number, per axis.
            read: gives the pixels `(batch, *space, channel)` of the image for slices within it, one per spatial axis.
        """
        return read_window(read, self._space, self.input_start(tile), self.tile_input, self.pad or "edge")

    def plot(self) -> Any:
        """A picture: image, padding, tiles, what one reads and keeps; a `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib, of the extra `plot`, is missing.
        """
        from shiftjax.tiling._plot import draw

        return draw(self)

    def explain(self) -> str:
        """The plan in words."""
        return explained(self)

    def to_json(self) -> str:
        """The plan as JSON, certificate included.

        What follows from other entries (grid, padding, crops as [start, stop], verdicts...) is written for readers;
        `from_json` derives it again.
        """
        entries = {name: getattr(self, name) for name in _facts() + DERIVED}
        certificate = json.loads(self.certificate.to_json(witnesses=False))
        return json.dumps({"format": FORMAT, **entries, "certificate": certificate}, default=plain)

    @classmethod
    def from_json(cls, text: str) -> TilePlan:
        """Reads what `to_json` wrote; the plan read back equals the one that was written.

        Raises:
            ValueError: the text is no plan of this version, or its entries do not fit together.
        """
        try:
            data = json.loads(text)
            certificate = Certificate.from_json(json.dumps(data["certificate"]))
            facts: dict[str, Any] = {name: as_tuple(data[name]) for name in _facts()}
            plan = cls(**facts, certificate=certificate)
            readable = data["format"] == FORMAT and consistent(plan)
        except (AttributeError, KeyError, TypeError, ValueError):
            readable = False
        if not readable:
            fail("text", f"a tile plan of format {FORMAT}, as `to_json` writes it", "something else", "plan again")
        return plan


def _facts() -> list[str]:
    """The fields that are plain values."""
    return [field.name for field in dataclasses.fields(TilePlan) if field.name != "certificate"]
