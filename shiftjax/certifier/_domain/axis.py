"""The abstract domain: which image pixels an axis of an array reads, phase by phase.

An axis describes an infinite array: index `i = m * phases + r` reads only the image pixels
`period * m + lo[r] .. period * m + hi[r]`, and moving the image by `period` pixels moves the array by `phases` indices.
The array at hand is a finite part of it, and near the image's two ends it may hold something else, such as zeros that
were padded. Three windows say where it does not:

- `exact`: indices that equal those of the infinite array.
- `start`: indices from here on equal those of the array for an image that ends where this one does and goes on for ever
  to the left. Only what lies at the left end can spoil them.
- `stop`: indices before it equal those for an image that begins where this one does and goes on to the right.

The last two are about other images, so they hold between two sizes only where the ends are treated alike: `border`
names how they are treated, at the left end with all places counted from there, and at the right end likewise. An index
that reads nothing has the field (inf, -inf). The period of a mirrored axis, which reads backwards, is negative.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import gcd, inf, lcm
from typing import Any, NamedTuple

from shiftjax.certifier._domain.naming import digest

Bound = int | float  # float only for the infinities
Run = tuple[int, int]  # indices from the first up to, but not including, the second
MAX_PHASES = 1 << 16  # beyond this, the bounds of a single axis take megabytes


class End(NamedTuple):
    """How one end of an axis is treated, and where, counted from that end.

    What the name says is an array of its own, which index `i` of the axis finds at `i - shift`. So slices of one array
    have its name and their own shifts, and so has what is computed from each of them in the same way: a volume that is
    computed slab by slab has one name at its end, however it was cut.

    Attributes:
        name: equal names mean equal arrays; an empty one equals no other.
        shift: by how many indices the axis begins after that array; before it, if negative.
    """

    name: str
    shift: int = 0

    def after(self, step: str) -> End:
        """The end after a step that commutes with moving the array by an index; an unknown end stays unknown."""
        return End(_after(self.name, step), self.shift)

    def settled(self) -> End:
        """The same end with its place in the name, for steps that depend on where they are done."""
        return End(_after(self.name, digest("at", self.shift))) if self.shift else self

    def placed(self, by: int) -> End:
        """The same end in an array that begins so many indices before this one."""
        return self._replace(shift=self.shift + by) if self.name else self


Border = tuple[End, End]
UNKNOWN: Border = (End(""), End(""))


class Mismatch(Exception):
    """Two axes cannot be joined, or an axis has more phases than can be tracked."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an array, of `size` indices, that runs along one image axis, of `pixels` pixels."""

    image: int
    pixels: int
    size: int
    period: int
    phases: int
    lo: tuple[Bound, ...]
    hi: tuple[Bound, ...]
    exact: Run
    start: int
    stop: int
    border: Border = field(compare=False)

    @property
    def stride(self) -> Fraction:
        """Image pixels per index."""
        return Fraction(self.period, self.phases)

    def field(self, index: int) -> tuple[Bound, Bound]:
        """First and last image pixel that one index may read."""
        turns, phase = divmod(index, self.phases)
        return self.period * turns + self.lo[phase], self.period * turns + self.hi[phase]

    def named(self, *by: Any) -> Axis:
        """The same axis after a step that treats both ends alike."""
        name = digest(*by)
        return self.bordered(name, name)

    def bordered(self, left: str, right: str) -> Axis:
        """The same axis after a step that does at either end what these names say, wherever the array begins."""
        return replace(self, border=(self.border[0].after(left), self.border[1].after(right)))

    def settled(self) -> Axis:
        """The same axis before a step that depends on where it is done: its ends have their places in their names."""
        if not self.border[0].shift and not self.border[1].shift:
            return self
        return replace(self, border=(self.border[0].settled(), self.border[1].settled()))

    def without_borders(self) -> Axis:
        """The same axis, with nothing said of an image that goes on to one side only."""
        return replace(self, start=self.size, stop=0, border=UNKNOWN)


@functools.lru_cache(maxsize=4096)  # the same ends and steps come up again and again
def _after(border: str, step: str) -> str:
    """The name of an end after a step; an unknown end stays unknown."""
    return digest("after", border, step) if border else ""


def tracked(phases: int) -> int:
    if phases > MAX_PHASES:
        raise Mismatch(f"the number of phases grows to {phases}")
    return phases


def whole(image: int, size: int) -> Axis:
    """The image's own axis: every pixel reads itself."""
    return Axis(image, size, size, 1, 1, (0,), (0,), (0, size), 0, size, (End("image"), End("image")))


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
    phases = tracked(axis.phases * turns * base // stride)
    lo, hi = hulls(axis, (_elements(j, size, stride, dilation, base, left) for j in range(phases)))

    def outputs(first: int, end: int) -> Run:
        """The outputs that read no element before `first` and none from `end` on."""
        start, stop = _reached(first, end, size, stride, dilation, base, left)
        return int(min(max(start, 0), out)), int(min(max(stop, 0), out))

    begins, ends = outputs(*axis.exact)
    start, stop = outputs(axis.start, axis.stop)
    how = (size, stride, dilation, base)
    # Seen from the right end, the window is the mirrored one, and begins with so many holes.
    from_right = stride * (out - 1) + (size - 1) * dilation - base * (axis.size - 1) - left
    border = _windowed(axis.border[0], how, left), _windowed(axis.border[1], how, from_right)
    return Axis(
        axis.image,
        axis.pixels,
        out,
        axis.period * turns,
        phases,
        lo,
        hi,
        (begins, max(begins, ends)),
        start,
        stop,
        border,
    )


def _windowed(end: End, how: tuple[int, int, int, int], holes: int) -> End:
    """An end after a window that begins so many base positions before the first element.

    Where there are none, all that is read are elements, and the window commutes with moving them: output `j` reads from
    the base position `stride * j - holes` of the axis on, which is `- shift * base` further along in the array that the
    name says; of that the whole strides are the new shift. A slice is the same array, and only moved.
    """
    size, stride, _, base = how
    if holes > 0:
        return end.settled().after(digest("window", how, holes))
    if size == stride == base == 1:
        return end.placed(holes)
    turns, rest = divmod(-holes - end.shift * base, stride)
    return End(_after(end.name, digest("window", how, -rest)), -turns) if end.name else end


def _elements(j: int, size: int, stride: int, dilation: int, base: int, left: int) -> list[int]:
    """The elements that output `j` of a window reads."""
    first = j * stride - left
    return [m // base for m in range(first, first + size * dilation, dilation) if m % base == 0]


def hulls(axis: Axis, reads: Iterable[Iterable[int]]) -> tuple[tuple[Bound, ...], tuple[Bound, ...]]:
    """The bounds of outputs that read these elements."""
    fields = [[axis.field(i) for i in elements] for elements in reads]
    lo = tuple(min((first for first, _ in field), default=inf) for field in fields)
    hi = tuple(max((last for _, last in field), default=-inf) for field in fields)
    return lo, hi


def _reached(first: int, end: int, size: int, stride: int, dilation: int, base: int, left: int) -> tuple[Bound, Bound]:
    """The first output from which on none reads an element before `first`, and the first that reads one from `end` on.

    Which taps of the window meet elements, and not holes, depends on the output modulo `classes`. So each class is
    asked for its last output that reads an element before `first`, and for its first that reads one from `end` on.
    """
    classes = base // gcd(base, stride)
    start, stop = -inf, inf
    for j in range(classes):
        taps = [k * dilation - left for k in range(size) if (j * stride - left + k * dilation) % base == 0]
        if not taps:
            continue
        early = -((taps[0] - first * base) // stride) - 1  # the last j whose first element comes too early
        late = ((end - 1) * base - taps[-1]) // stride + 1  # the first j whose last element comes too late
        start = max(start, early - (early - j) % classes + 1)
        stop = min(stop, late + (j - late) % classes)
    return start, stop


def join(axes: Sequence[Axis]) -> Axis:
    """The axis of an array whose index `i` reads index `i` of all of these.

    Its field is the hull of theirs. Its period is the smallest shift of the image that is whole periods of all of them.
    """
    first = axes[0]
    for other in axes[1:]:
        if other.image != first.image:
            raise Mismatch(f"image axis {first.image} meets image axis {other.image}")
        if other.stride == -first.stride:
            raise Mismatch("an array meets its mirror image, which moves the other way")
        if other.stride != first.stride:
            raise Mismatch(f"stride {first.stride} meets stride {other.stride}")
    if len(axes) == 1:
        return first
    phases = lcm(*(axis.phases for axis in axes))
    same = [with_phases(axis, phases) for axis in axes]
    begins = max(axis.exact[0] for axis in axes)
    lefts, rights = zip(*(axis.border for axis in axes), strict=True)
    return replace(
        same[0],
        lo=tuple(map(min, *(axis.lo for axis in same))),
        hi=tuple(map(max, *(axis.hi for axis in same))),
        exact=(begins, max(begins, min(axis.exact[1] for axis in axes))),
        start=max(axis.start for axis in axes),
        stop=min(axis.stop for axis in axes),
        border=(joined(lefts), joined(rights)),
    )


def joined(ends: Sequence[End], how: Any = "joined") -> End:
    """The end of an array whose index `i` is made of index `i` of several others, which may be moved together."""
    if not all(end.name for end in ends):
        return UNKNOWN[0]
    shift = ends[0].shift
    return End(digest(how, [(end.name, end.shift - shift) for end in ends]), shift)


def with_phases(axis: Axis, phases: int) -> Axis:
    """The same axis written out with a multiple of `phases` phases, for a pattern of that length laid over it."""
    count = tracked(lcm(axis.phases, phases))
    if count == axis.phases:
        return axis
    lo, hi = zip(*map(axis.field, range(count)), strict=True)
    return replace(axis, period=int(count * axis.stride), phases=count, lo=lo, hi=hi)


def narrowed(axis: Axis, left: int, right: int, name: str) -> Axis:
    """The same axis with so many indices at the left and right end replaced by something else, of this name."""
    begins = max(axis.exact[0], left)
    new = replace(
        axis,
        exact=(begins, max(begins, min(axis.exact[1], axis.size - right))),
        start=max(axis.start, left),
        stop=min(axis.stop, axis.size - right),
    )
    return new.settled().named("narrowed", name)


def mirrored(axis: Axis, size: int) -> Axis:
    """The axis of out[i] = a[size - 1 - i].

    Sound, because index i + phases reads what a's index size - 1 - i - phases reads: one period earlier in the image.
    """
    lo, hi = hulls(axis, ([size - 1 - i] for i in range(axis.phases)))
    return replace(
        axis,
        period=-axis.period,
        lo=lo,
        hi=hi,
        exact=(size - axis.exact[1], size - axis.exact[0]),
        start=size - axis.stop,
        stop=size - axis.start,
        border=(axis.border[1], axis.border[0]),
    )


def split(axis: Axis, size: int, factor: int) -> Axis:
    """The outer axis of (size / factor, factor): out[i] is the block of elements i * factor .. i * factor + factor - 1.

    The inner axis becomes a channel, so the field is the hull of the block.
    """
    return window(axis, size // factor, size=factor, stride=factor)


def merge(axis: Axis, factor: int) -> Axis:
    """The axis (n, factor) read as one of n * factor: out[i * factor + c] is channel c of element i."""
    merged = replace(
        axis,
        size=axis.size * factor,
        phases=tracked(axis.phases * factor),
        lo=tuple(bound for bound in axis.lo for _ in range(factor)),
        hi=tuple(bound for bound in axis.hi for _ in range(factor)),
        exact=(axis.exact[0] * factor, axis.exact[1] * factor),
        start=axis.start * factor,
        stop=axis.stop * factor,
        border=(_stretched(axis.border[0], factor), _stretched(axis.border[1], factor)),
    )
    return merged.named("merged", factor)


def _stretched(end: End, factor: int) -> End:
    return end._replace(shift=end.shift * factor)


def longest_run(runs: Sequence[Run]) -> Run:
    """The longest of ascending runs that do not overlap, once neighbours are joined."""
    longest = current = (0, 0)
    for start, stop in runs:
        current = (current[0] if current[1] == start else start, stop)
        longest = max(longest, current, key=lambda run: run[1] - run[0])
    return longest


def centre(axis: Axis) -> Fraction | None:
    """The image pixel at the centre of index 0's field, averaged over the phases; None if a phase reads nothing."""
    if any(lo > hi for lo, hi in zip(axis.lo, axis.hi, strict=True)):
        return None
    total = sum(int(lo) + int(hi) for lo, hi in zip(axis.lo, axis.hi, strict=True))
    return Fraction(total, 2 * axis.phases) - axis.stride * (axis.phases - 1) / 2
