"""The abstract domain: which image pixels an axis of an array reads, phase by phase.

An axis describes an infinite array: index `i = m * phases + r` reads only the image pixels
`period * m + lo[r] .. period * m + hi[r]`, and moving the image by `period` pixels moves the array by `phases` indices.
The array at hand is a finite part of it; its indices `start .. stop - 1` equal those of the infinite array. An index
that reads nothing has the field (inf, -inf). The period of a mirrored axis, which reads backwards, is negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, inf, lcm

Bound = int | float  # float only for the infinities
Run = tuple[int, int]  # indices from the first up to, but not including, the second
MAX_PHASES = 1 << 16  # beyond this, the bounds of a single axis take megabytes


class Mismatch(Exception):
    """Two axes cannot be joined, or an axis has more phases than can be tracked."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an array that runs along one image axis."""

    image: int
    period: int
    phases: int
    lo: tuple[Bound, ...]
    hi: tuple[Bound, ...]
    start: int
    stop: int

    @property
    def stride(self) -> Fraction:
        """Image pixels per index."""
        return Fraction(self.period, self.phases)

    def field(self, index: int) -> tuple[Bound, Bound]:
        """First and last image pixel that one index may read."""
        turns, phase = divmod(index, self.phases)
        return self.period * turns + self.lo[phase], self.period * turns + self.hi[phase]


@dataclass(frozen=True, slots=True)
class Flattened:
    """Several axes merged into one, slowest first: the size of each, and its axis or None for channels."""

    parts: tuple[tuple[int, Axis | None], ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """An image axis whose indices no longer follow the image.

    It may be put beside the image as a border, which is not exact anyway. Any other use raises `why`.
    """

    image: int
    why: BaseException


AxisTag = Axis | Flattened | Broken | None  # what an array axis runs along; None for channels


def _tracked(phases: int) -> int:
    if phases > MAX_PHASES:
        raise Mismatch(f"the number of phases grows to {phases}")
    return phases


def whole(image: int, size: int) -> Axis:
    """The image's own axis: every pixel reads itself."""
    return Axis(image, 1, 1, (0,), (0,), 0, size)


def window(
    axis: Axis, out: int, *, size: int = 1, stride: int = 1, dilation: int = 1, base: int = 1, left: int = 0
) -> Axis:
    """The one rule of convolution, pooling, padding, slicing, striding, dilation and transposed convolution.

    Output `j` reads the base positions `m = j * stride - left + k * dilation` for `0 <= k < size`; position `m` is
    element `m / base` where `base` divides `m`, and a hole otherwise.

    Sound, because `turns` periods of the image move the elements by `phases * turns`, the base positions by
    `phases * turns * base`, and so the outputs by that over `stride`, which `turns` makes an integer.
    """
    turns = stride // gcd(axis.phases * base, stride)
    phases = _tracked(axis.phases * turns * base // stride)
    lo, hi = _hulls(axis, (_elements(j, size, stride, dilation, base, left) for j in range(phases)))
    start, stop = _exact(axis, size, stride, dilation, base, left)
    start = int(min(max(start, 0), out))
    stop = int(max(start, min(stop, out)))
    return Axis(axis.image, axis.period * turns, phases, lo, hi, start, stop)


def _elements(j: int, size: int, stride: int, dilation: int, base: int, left: int) -> list[int]:
    """The elements that output `j` of a window reads."""
    first = j * stride - left
    return [m // base for m in range(first, first + size * dilation, dilation) if m % base == 0]


def _hulls(axis: Axis, reads: Iterable[Iterable[int]]) -> tuple[tuple[Bound, ...], tuple[Bound, ...]]:
    """The bounds of outputs that read these elements."""
    fields = [[axis.field(i) for i in elements] for elements in reads]
    lo = tuple(min((first for first, _ in field), default=inf) for field in fields)
    hi = tuple(max((last for _, last in field), default=-inf) for field in fields)
    return lo, hi


def _exact(axis: Axis, size: int, stride: int, dilation: int, base: int, left: int) -> tuple[Bound, Bound]:
    """The run of outputs all of whose elements are exact.

    Which taps of the window meet elements, and not holes, depends on the output modulo `classes`. The run starts after
    the last output of any class that reads too early an element, and stops before the first that reads too late a one.
    """
    classes = base // gcd(base, stride)
    start, stop = -inf, inf
    for j in range(classes):
        taps = [k * dilation - left for k in range(size) if (j * stride - left + k * dilation) % base == 0]
        if not taps:
            continue
        early = -((taps[0] - axis.start * base) // stride) - 1  # the last j whose first element comes too early
        late = ((axis.stop - 1) * base - taps[-1]) // stride + 1  # the first j whose last element comes too late
        start = max(start, early - (early - j) % classes + 1)
        stop = min(stop, late + (j - late) % classes)
    return start, stop


def join(axes: Sequence[Axis]) -> Axis:
    """The axis of an array whose index `i` reads index `i` of all of these.

    Its field is the hull of theirs. It follows the image at the shifts that all of them follow.
    """
    first = axes[0]
    for other in axes[1:]:
        if other.image != first.image:
            raise Mismatch(f"image axis {first.image} meets image axis {other.image}")
        if other.stride == -first.stride:
            raise Mismatch("an array meets its mirror image, which moves the other way")
        if other.stride != first.stride:
            raise Mismatch(f"stride {first.stride} meets stride {other.stride}")
    if len(set(axes)) == 1:
        return first
    phases = lcm(*(axis.phases for axis in axes))
    same = [with_phases(axis, phases) for axis in axes]
    start = max(axis.start for axis in axes)
    return replace(
        same[0],
        lo=tuple(map(min, *(axis.lo for axis in same))),
        hi=tuple(map(max, *(axis.hi for axis in same))),
        start=start,
        stop=max(start, min(axis.stop for axis in axes)),
    )


def with_phases(axis: Axis, phases: int) -> Axis:
    """The same axis written out with a multiple of `phases` phases, for a pattern of that length laid over it."""
    count = _tracked(lcm(axis.phases, phases))
    if count == axis.phases:
        return axis
    lo, hi = zip(*map(axis.field, range(count)), strict=True)
    return replace(axis, period=int(count * axis.stride), phases=count, lo=lo, hi=hi)


def mirrored(axis: Axis, size: int) -> Axis:
    """The axis of out[i] = a[size - 1 - i].

    Sound, because index i + phases reads what a's index size - 1 - i - phases reads: a period of the image before.
    """
    lo, hi = _hulls(axis, ([size - 1 - i] for i in range(axis.phases)))
    start, stop = size - axis.stop, size - axis.start
    return replace(axis, period=-axis.period, lo=lo, hi=hi, start=start, stop=stop)


def split(axis: Axis, size: int, factor: int) -> Axis:
    """The outer axis of (size / factor, factor): out[i] is the block of elements i * factor .. i * factor + factor - 1.

    The inner axis becomes a channel, so the field is the hull of the block.
    """
    return window(axis, size // factor, size=factor, stride=factor)


def merge(axis: Axis, factor: int) -> Axis:
    """The axis (n, factor) read as one of n * factor: out[i * factor + c] is channel c of element i."""
    return replace(
        axis,
        phases=_tracked(axis.phases * factor),
        lo=tuple(bound for bound in axis.lo for _ in range(factor)),
        hi=tuple(bound for bound in axis.hi for _ in range(factor)),
        start=axis.start * factor,
        stop=axis.stop * factor,
    )


def gathered(axis: Axis, reads: Sequence[Run], step: int, out: int, start: int, stop: int) -> Axis:
    """A gather, or a product with a banded matrix.

    Output `m * len(reads) + r` reads the elements from `reads[r][0] + m * step` to `reads[r][1] + m * step`, the last
    one included. Outputs `start .. stop - 1` follow this pattern; the others need not.
    """
    turns = axis.phases // gcd(axis.phases, step)
    phases = _tracked(len(reads) * turns)

    def elements(j: int) -> range:
        turn, phase = divmod(j, len(reads))
        return range(reads[phase][0] + turn * step, reads[phase][1] + turn * step + 1)

    lo, hi = _hulls(axis, map(elements, range(phases)))
    exact = [(j, j + 1) for j in range(start, stop) if all(axis.start <= i < axis.stop for i in elements(j))]
    first, last = longest_run(exact)
    return Axis(axis.image, axis.period * step * turns // axis.phases, phases, lo, hi, first, min(last, out))


def longest_run(runs: Sequence[Run]) -> Run:
    """The longest of ascending runs that do not overlap, once neighbours are joined."""
    longest = current = (0, 0)
    for start, stop in runs:
        current = (current[0] if current[1] == start else start, stop)
        longest = max(longest, current, key=lambda run: run[1] - run[0])
    return longest


def image_axes(tags: Iterable[AxisTag]) -> list[int]:
    """The image axes that these array axes run along."""
    return [axis.image for tag in tags for axis in _axes(tag)]


def following(tags: Iterable[AxisTag]) -> list[Axis]:
    """Those of them whose indices follow the image."""
    return [axis for tag in tags for axis in _axes(tag) if isinstance(axis, Axis)]


def _axes(tag: AxisTag) -> list[Axis | Broken]:
    if isinstance(tag, Flattened):
        return [axis for _, axis in tag.parts if axis is not None]
    return [] if tag is None else [tag]


def centre(axis: Axis) -> Fraction | None:
    """The image pixel at the centre of index 0's field, averaged over the phases; None if a phase reads nothing."""
    if any(lo > hi for lo, hi in zip(axis.lo, axis.hi, strict=True)):
        return None
    total = sum(int(lo) + int(hi) for lo, hi in zip(axis.lo, axis.hi, strict=True))
    return Fraction(total, 2 * axis.phases) - axis.stride * (axis.phases - 1) / 2
