"""What a tile delivers along one image axis, in image pixels, for all outputs of a function together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from shiftjax._arithmetic import ceil_div
from shiftjax.certifier import AxisCertificate, Certificate


class LayoutError(ValueError):
    """An output that does not have the image's axes."""


@dataclass(frozen=True)
class Window:
    """The exact window of all outputs along one image axis, at one input size.

    Attributes:
        size: input pixels.
        period: of all outputs together, the least common multiple of theirs.
        start: first input pixel, in whole periods, at which every output is exact.
        stop: one past the last; below `start` where the input is too small.
        offsets: per output, the input pixel over which its pixel 0 lies.
        firsts: per output, its pixel over input pixel `start`, or the next one where it has none there.
        strides: per output, input pixels per output pixel.
    """

    size: int
    period: int
    start: int
    stop: int
    offsets: tuple[int, ...]
    firsts: tuple[int, ...]
    strides: tuple[Fraction, ...]

    @property
    def width(self) -> int:
        """Input pixels whose outputs are all delivered exactly; negative where the input is smaller by so many."""
        return self.stop - self.start

    @property
    def overhead(self) -> int:
        """Input pixels beyond the whole periods of output that they give."""
        return self.size - self.width // self.period * self.period


@dataclass(frozen=True)
class Borders:
    """Which outputs along one image axis equal those of a larger image, at one input size, for all outputs together.

    Attributes:
        size: input pixels.
        period: of all outputs together.
        before: outputs over input pixels from this one on, in whole periods, equal those of an image that goes on to
            the left.
        after: outputs further than so many input pixels from the end equal those of an image that goes on to the right.
        sizes: per output, its pixels.
        strides: per output, input pixels per output pixel.
        covered: whether each output pixel is exact, or equals that of an image that goes on to the left or to the
            right. Only at such pixels do the windows of the other axes hold.
    """

    size: int
    period: int
    before: int
    after: int
    sizes: tuple[int, ...]
    strides: tuple[Fraction, ...]
    covered: bool

    @property
    def extent(self) -> int:
        """Input pixels over which the outputs lie, end to end."""
        return max(math.ceil(n * stride) for n, stride in zip(self.sizes, self.strides, strict=True))

    @property
    def known(self) -> bool:
        """Whether anything is known of an image that goes on to either side."""
        return self.before < self.extent and self.after < self.size


def windows(certificate: Certificate) -> tuple[Window, ...]:
    """One window per image axis.

    Raises:
        LayoutError: outputs that do not have the image's axes.
    """
    return tuple(map(_window, _by_axis(certificate)))


def borders(certificate: Certificate) -> tuple[Borders, ...]:
    """The border windows per image axis.

    Raises:
        LayoutError: outputs that do not have the image's axes.
    """
    return tuple(map(_borders, _by_axis(certificate)))


def exact_throughout(certificate: Certificate, axis: int) -> bool:
    """Whether every output pixel along a spatial axis, from 0, is exact: none reads padding inside the function.

    At the ends of the other axes too: where these are treated alike all along this one, they are known.
    """
    exact = all(output.axes[axis].exact == (0, output.axes[axis].out) for output in certificate.outputs)
    return exact and certificate.knows_its_ends


def _by_axis(certificate: Certificate) -> list[tuple[AxisCertificate, ...]]:
    """For each image axis, that axis of every output."""
    _check_layout(certificate)
    return list(zip(*(output.axes for output in certificate.outputs), strict=True))


def _window(axes: tuple[AxisCertificate, ...]) -> Window:
    size, period = axes[0].size, math.lcm(*(axis.period for axis in axes))
    offsets, strides = tuple(map(_offset, axes)), tuple(axis.stride for axis in axes)
    exact = max(0, *(math.ceil(at + a.exact[0] * a.stride) for at, a in zip(offsets, axes, strict=True)))
    start = ceil_div(exact, period) * period  # whole periods, so that padding does not change the image's phase
    firsts = tuple(math.ceil((start - at) / a.stride) for at, a in zip(offsets, axes, strict=True))
    widths = [math.floor((a.exact[1] - first) * a.stride) for first, a in zip(firsts, axes, strict=True)]
    # An output may lie beyond its input, as that of a function that moves the image; what lies there is not needed.
    return Window(size, period, start, min(size, start + min(widths)), offsets, firsts, strides)


def _borders(axes: tuple[AxisCertificate, ...]) -> Borders:
    size, period = axes[0].size, math.lcm(*(axis.period for axis in axes))
    # Inner tiles need exact outputs: those in both windows, unless padding from one end reaches into the other's.
    before = max(max(a.start, a.exact[0]) * a.stride for a in axes)
    after = max(size - min(a.stop, a.exact[1]) * a.stride for a in axes)
    whole_periods = math.ceil(before / period) * period
    sizes, strides = tuple(axis.out for axis in axes), tuple(axis.stride for axis in axes)
    return Borders(size, period, whole_periods, math.ceil(after), sizes, strides, all(axis.covered for axis in axes))


def _offset(axis: AxisCertificate) -> int:
    """Where output pixel 0 lies: at the centre of its receptive field, or at pixel 0 where the size is kept."""
    return 0 if axis.out == math.ceil(axis.size / axis.stride) else axis.offset


def _check_layout(certificate: Certificate) -> None:
    for output, leaf in zip(certificate.outputs, certificate.leaves, strict=True):
        name = f"output {leaf.name}" if leaf.name else "an output"
        image_axes = [axis.output_axis for axis in output.axes]
        if len(leaf.shape) != len(certificate.shape) or image_axes != [axis.input_axis for axis in output.axes]:
            mend = "put the axes back in order, channels last (a PyTorch module: channels first)"
            if len(leaf.shape) == len(certificate.shape) - 1:
                mend = "keep an axis for channels, `y[..., None]` (a PyTorch module: `argmax(1, keepdim=True)`)"
            raise LayoutError(
                f"`fn`: expected {name} (batch, *space, channel) with the image's axes in place, found shape "
                f"{leaf.shape} whose axes {image_axes} are those of the image; {mend}."
            )
        if leaf.shape[0] != certificate.shape[0]:
            raise LayoutError(
                f"`fn`: expected {name} of as many images as it is given, {certificate.shape[0]}, found "
                f"{leaf.shape[0]}; give each image its own output."
            )
