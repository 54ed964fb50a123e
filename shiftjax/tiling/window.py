"""What a tile delivers along one image axis, in image pixels, for all outputs of a function together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shiftjax._checks import fail
from shiftjax.certify import AxisCertificate, Certificate


@dataclass(frozen=True)
class Window:
    """One image axis, at one input size.

    Attributes:
        size: input pixels.
        period: of all outputs together, the least common multiple of theirs.
        start: first input pixel at which every output is exact.
        stop: one past the last.
        places: per output, the input pixel of its pixel 0.
    """

    size: int
    period: int
    start: int
    stop: int
    places: tuple[int, ...]

    @property
    def width(self) -> int:
        """Pixels that every output delivers exactly."""
        return max(0, self.stop - self.start)

    @property
    def halo(self) -> int:
        """Input pixels more than are delivered, both sides together."""
        return self.size - self.width


def windows(certificate: Certificate) -> tuple[Window, ...]:
    """One window per image axis.

    Raises:
        ValueError: outputs that do not have the image's pixels: other axes, or a stride that is not 1.
    """
    _check(certificate)
    outputs = [output.axes for output in certificate.outputs]
    return tuple(_window(axes) for axes in zip(*outputs, strict=True))


def _window(axes: tuple[AxisCertificate, ...]) -> Window:
    places = tuple(map(_place, axes))
    starts = [place + axis.exact[0] for place, axis in zip(places, axes, strict=True)]
    stops = [place + axis.exact[1] for place, axis in zip(places, axes, strict=True)]
    period = math.lcm(*(axis.period for axis in axes))
    return Window(axes[0].size, period, max(starts), min(stops), places)


def _place(axis: AxisCertificate) -> int:
    """Input pixel of output pixel 0: the centre of its receptive field, or itself where the size is kept."""
    return 0 if axis.out == axis.size else axis.offset


def _check(certificate: Certificate) -> None:
    for output, leaf in zip(certificate.outputs, certificate.leaves, strict=True):
        name = f"output {leaf.name}" if leaf.name else "an output"
        places = [axis.output_axis for axis in output.axes]
        if len(leaf.shape) != len(certificate.shape) or places != [axis.input_axis for axis in output.axes]:
            mend = "put the axes back in order, with the channels last"
            found = f"shape {leaf.shape} whose axes {places} are those of the image"
            fail("fn", f"{name} (batch, *space, channel) with the image's axes in place", found, mend)
        strides = [axis.stride for axis in output.axes]
        if any(stride != 1 for stride in strides):
            found = "stride " + " x ".join(map(str, strides))
            fail("fn", f"{name} of stride 1", found, "upsample it to the input's pixels, or leave it out")
