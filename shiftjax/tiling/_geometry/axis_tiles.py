"""Where tiles lie along one image axis, what they read, and what of their outputs goes where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from shiftjax._arithmetic import ceil_div
from shiftjax.tiling._geometry.exact_window import Borders, Window


@dataclass(frozen=True)
class OutputAxis:
    """One output along one image axis, in pixels of the output unless said.

    Attributes:
        stride: image pixels per output pixel.
        size: pixels of the result.
        whole: pixels of a tile's output, before it is cropped.
        first: the pixel of a tile's output over the first image pixel that the tile delivers; None where tiles touch
            the image's border, so that it depends on the tile.
    """

    stride: Fraction
    size: int
    whole: int
    first: int | None


@dataclass(frozen=True)
class AxisTiles:
    """The tiles along one image axis, in image pixels.

    Attributes:
        image: pixels of the image.
        tile: pixels that a tile reads.
        step: from one tile to the next.
        before: pixels that a tile reads before those that it delivers; the first tiles of an image that is not padded
            begin at its border instead, and the last ones end there.
        outputs: one entry per output.
    """

    image: int
    tile: int
    step: int
    before: int
    outputs: tuple[OutputAxis, ...]

    @property
    def padded(self) -> bool:
        """Whether the image is continued beyond its border."""
        return self.outputs[0].first is not None

    @property
    def count(self) -> int:
        """Number of tiles."""
        if self.padded:
            return ceil_div(self.image, self.step)
        return max(1, *(math.ceil(out.size * out.stride / self.step) for out in self.outputs))

    @property
    def filling(self) -> int:
        """Steps at the beginning of a strip that give nothing: 0, since this is no stream."""
        return 0

    @property
    def padded_size(self) -> int:
        """Pixels that all tiles together read: those of the padded image."""
        return (self.count - 1) * self.step + self.tile

    def origin(self, i: int) -> int:
        """Image pixel where the input of a tile begins; negative beyond the border."""
        start = i * self.step - self.before
        return start if self.padded else max(0, min(start, self.image - self.tile))

    def pixels(self, i: int) -> slice:
        """Image pixels that a tile stands for: it delivers the outputs that lie over them."""
        stop = self.image if i == self.count - 1 else min((i + 1) * self.step, self.image)
        return slice(min(i * self.step, stop), stop)

    def delivered(self, i: int, k: int) -> slice:
        """Pixels of output `k` that a tile delivers, cut at the end of the result."""
        out = self.outputs[k]
        start, stop = (math.floor(n * self.step / out.stride) for n in (i, i + 1))
        return slice(min(start, out.size), min(stop, out.size))

    def kept(self, k: int) -> int:
        """Pixels of output `k` that are taken from the device, the same number of every tile."""
        out = self.outputs[k]
        return min(math.ceil(self.step / out.stride), out.whole)

    def kept_from(self, i: int, k: int) -> int:
        """The first of them, in the tile's output."""
        return min(self._place(i, k), self.outputs[k].whole - self.kept(k))

    def inside(self, i: int, k: int) -> slice:
        """What the tile delivers, within what is taken from the device."""
        part, start = self.delivered(i, k), self._place(i, k) - self.kept_from(i, k)
        return slice(start, start + part.stop - part.start)

    def _place(self, i: int, k: int) -> int:
        """Where in a tile's output the first pixel lies that it delivers."""
        out = self.outputs[k]
        if out.first is not None:
            return out.first
        return self.delivered(i, k).start - math.floor(self.origin(i) / out.stride)


def padded_tiles(
    windows: Sequence[Window], sizes: Sequence[Sequence[int]], space: Sequence[int], step: Sequence[int]
) -> tuple[AxisTiles, ...]:
    """Tiles over a padded image.

    Args:
        windows: per axis, at a tile's size.
        sizes: per axis, pixels of a tile's outputs.
        space: pixels of the image.
        step: image pixels that a tile delivers, per axis.
    """
    axes = []
    for window, whole, n, delivered in zip(windows, sizes, space, step, strict=True):
        outputs = tuple(
            OutputAxis(stride, math.ceil(n / stride), m, first)
            for stride, m, first in zip(window.strides, whole, window.firsts, strict=True)
        )
        axes.append(AxisTiles(n, window.size, delivered, window.start, outputs))
    return tuple(axes)


def border_tiles(borders: Sequence[Borders], space: Sequence[int], step: Sequence[int]) -> tuple[AxisTiles, ...]:
    """Tiles of which the outer ones touch the image's border, which is not padded.

    Every origin is a multiple of the period, also that of the last tile, which ends with the image: the sizes of image
    and tile differ by whole periods.

    Args:
        borders: per axis, at a tile's size.
        space: pixels of the image.
        step: image pixels from one tile to the next, per axis.
    """
    axes = []
    for border, n, delivered in zip(borders, space, step, strict=True):
        more = n - border.size
        outputs = tuple(
            OutputAxis(stride, m + math.floor(more / stride), m, None)
            for stride, m in zip(border.strides, border.sizes, strict=True)
        )
        axes.append(AxisTiles(n, border.size, delivered, border.before, outputs))
    return tuple(axes)
