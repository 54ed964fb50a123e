"""What a tile delivers along one image axis, in image pixels, for all outputs of a function together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shiftjax.certifier import AxisCertificate, Certificate


class LayoutError(ValueError):
    """An output that does not have the image's pixels."""


@dataclass(frozen=True)
class Window:
    """The exact window of all outputs along one image axis, at one input size.

    Attributes:
        size: input pixels.
        period: of all outputs together, the least common multiple of theirs.
        start: first input pixel at which every output is exact.
        stop: one past the last; below `start` where the input is too small.
        offsets: per output, the input pixel over which its pixel 0 lies.
    """

    size: int
    period: int
    start: int
    stop: int
    offsets: tuple[int, ...]

    @property
    def width(self) -> int:
        """Pixels that every output delivers exactly; negative where the input lacks so many."""
        return self.stop - self.start

    @property
    def overhead(self) -> int:
        """Input pixels beyond the whole periods of output that they give."""
        return self.size - self.width // self.period * self.period


def windows(certificate: Certificate) -> tuple[Window, ...]:
    """One window per image axis.

    Raises:
        LayoutError: outputs that do not have the image's pixels: other axes, or a stride that is not 1.
    """
    _check_layout(certificate)
    outputs = [output.axes for output in certificate.outputs]
    return tuple(_window(axes) for axes in zip(*outputs, strict=True))


def _window(axes: tuple[AxisCertificate, ...]) -> Window:
    offsets = tuple(map(_offset, axes))
    starts = [offset + axis.exact[0] for offset, axis in zip(offsets, axes, strict=True)]
    stops = [offset + axis.exact[1] for offset, axis in zip(offsets, axes, strict=True)]
    size, period = axes[0].size, math.lcm(*(axis.period for axis in axes))
    # An output may reach beyond its input, as that of a map that moves the image; what lies there is not needed.
    return Window(size, period, max(0, *starts), min(size, *stops), offsets)


def _offset(axis: AxisCertificate) -> int:
    """Where output pixel 0 lies: at the centre of its receptive field, or at pixel 0 where the size is kept."""
    return 0 if axis.out == axis.size else axis.offset


def _check_layout(certificate: Certificate) -> None:
    for output, leaf in zip(certificate.outputs, certificate.leaves, strict=True):
        name = f"output {leaf.name}" if leaf.name else "an output"
        image_axes = [axis.output_axis for axis in output.axes]
        if len(leaf.shape) != len(certificate.shape) or image_axes != [axis.input_axis for axis in output.axes]:
            raise LayoutError(
                f"`fn`: expected {name} (batch, *space, channel) with the image's axes in place, found shape "
                f"{leaf.shape} whose axes {image_axes} are those of the image; put the axes back in order, channels "
                "last."
            )
        if leaf.shape[0] != certificate.shape[0]:
            raise LayoutError(
                f"`fn`: expected {name} of as many images as it is given, {certificate.shape[0]}, found "
                f"{leaf.shape[0]}; give each image its own output."
            )
        strides = [axis.stride for axis in output.axes]
        if any(stride != 1 for stride in strides):
            raise LayoutError(
                f"`fn`: expected {name} of stride 1, found stride {' x '.join(map(str, strides))}; upsample it to the "
                "input's pixels, or leave it out."
            )
