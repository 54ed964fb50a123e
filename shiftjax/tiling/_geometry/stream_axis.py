"""A stream along one image axis: what each step reads, what of its outputs goes where, and how long it fills.

What a step gives lies some pixels behind what it reads. It is put together into the same tiles as without a stream:
tile i is all outputs over the image pixels from `i * step` on. A strip can begin at any tile, since all begin at one
phase.

Where the image is not padded, steps are numbered in the same way. The first ones would lie before the image, where
there is nothing to compute, and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shiftjax._arithmetic import ceil_div
from shiftjax.tiling._geometry.axis_tiles import AxisTiles
from shiftjax.tiling._geometry.exact_window import Window


@dataclass(frozen=True)
class StreamAxis(AxisTiles):
    """Tiles along the streamed axis, as many pixels each as a step reads.

    Attributes:
        leads: per output, the pixel with which the first step begins it, counted as in a tile's output; mostly
            negative.
        whole: pixels of the padded image; the last steps may read beyond it, of which nothing is delivered.
    """

    leads: tuple[int, ...]
    whole: int

    @property
    def padded_size(self) -> int:
        """Pixels of the padded image."""
        return self.whole

    @property
    def count(self) -> int:
        """Number of tiles."""
        return max(1, *(math.ceil(out.size * out.stride / self.step) for out in self.outputs))

    @property
    def latency(self) -> int:
        """Tile i is complete after step `i + latency`."""
        return max(ceil_div(self.behind(k), self.kept(k)) for k in range(len(self.outputs)))

    @property
    def idle(self) -> int:
        """Steps that are left out, since they would lie before an image that is not padded."""
        return 0 if self.padded else self.before // self.step

    @property
    def filling(self) -> int:
        """Steps at the beginning of a strip that give nothing, and only fill what the stream holds."""
        return self.latency - self.idle

    def steps(self, first: int, last: int) -> range:
        """The steps that tiles `first` to `last` need."""
        return range(max(first, self.idle), last + self.latency + 1)

    def behind(self, k: int) -> int:
        """How many pixels of output `k` lie between the first that step i gives and the first of tile i."""
        out = self.outputs[k]
        return (math.floor(self.before / out.stride) if out.first is None else out.first) - self.leads[k]

    def origin(self, i: int) -> int:
        """Image pixel where the input of step i begins; negative, or too large, beyond the border."""
        return i * self.step - self.before

    def kept(self, k: int) -> int:
        """Pixels of output `k` that a step gives."""
        return math.floor(self.step / self.outputs[k].stride)

    def kept_from(self, i: int, k: int) -> int:
        """The first of them, in the step's output: 0, since all are kept."""
        return 0

    def inside(self, i: int, k: int) -> slice:
        """What a tile delivers, within the pixels that are put together for it."""
        part = self.delivered(i, k)
        return slice(0, part.stop - part.start)


def streamed(along: AxisTiles, step: int, leads: Sequence[int], window: Window) -> StreamAxis:
    """The stream along an axis, from the tiles that there would be without it.

    Args:
        along: these tiles.
        step: pixels that a step reads.
        leads: per output, as in `StreamAxis`.
        window: of a tile; the padded image has its size and whole steps more, as with tiles.
    """
    before = along.before if along.padded else ceil_div(along.before, step) * step  # so that one step begins with it
    outputs = tuple(replace(out, whole=math.floor(step / out.stride)) for out in along.outputs)
    padded = window.size + (ceil_div(along.image, step) - 1) * step
    return StreamAxis(along.image, step, step, before, outputs, tuple(leads), padded)
