"""The steps of a stream along one image axis: what each reads, and what of its outputs goes where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shiftjax._arithmetic import ceil_div
from shiftjax.tiling._axis_tiles import AxisTiles
from shiftjax.tiling._exact_window import Window


@dataclass(frozen=True)
class StreamAxis(AxisTiles):
    """The steps along the streamed axis, with the interface of tiles.

    Attributes:
        leads: per output, its pixel that the first step gives first, where pixel 0 is that of a tile's output; before
            the image's own pixels come out, some steps only fill what the stream holds.
    """

    leads: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of steps, up to the last pixel of every output."""
        return max(ceil_div(out.size - self._at(0, k), self.kept(k)) for k, out in enumerate(self.outputs))

    def origin(self, i: int) -> int:
        """Image pixel where the input of a step begins; negative beyond the border."""
        return i * self.step - self.before

    def pixels(self, i: int) -> slice:
        """Image pixels that a step stands for, by its first output."""
        part, stride = self.delivered(i, 0), self.outputs[0].stride
        return slice(min(self.image, math.floor(part.start * stride)), min(self.image, math.floor(part.stop * stride)))

    def delivered(self, i: int, k: int) -> slice:
        """Pixels of output `k` that a step delivers: none while the stream fills."""
        size, start = self.outputs[k].size, self._at(i, k)
        return slice(min(max(start, 0), size), min(max(start + self.kept(k), 0), size))

    def kept(self, k: int) -> int:
        """Pixels of output `k` that a step gives."""
        return math.floor(self.step / self.outputs[k].stride)

    def kept_from(self, i: int, k: int) -> int:
        """The first of them: all are kept."""
        return 0

    def inside(self, i: int, k: int) -> slice:
        """What the step delivers, within what it gives."""
        part, start = self.delivered(i, k), self._at(i, k)
        if part.start == part.stop:
            return slice(0, 0)
        return slice(part.start - start, part.stop - start)

    def _at(self, i: int, k: int) -> int:
        """The pixel of the result that a step gives first."""
        return i * self.kept(k) + self.leads[k] - (self.outputs[k].first or 0)


def streamed(along: AxisTiles, step: int, leads: Sequence[int]) -> StreamAxis:
    """The steps along an axis on which tiles would be as told, whose outputs begin at a known place."""
    outputs = tuple(replace(out, whole=math.floor(step / out.stride)) for out in along.outputs)
    return StreamAxis(along.image, step, step, along.before, outputs, tuple(leads))


def padded_to(window: Window, image: int) -> int:
    """Pixels of the padded image: of a size that tiles have, and whole periods more, enough for all of the image."""
    return window.size + max(0, ceil_div(image - window.width, window.period)) * window.period
