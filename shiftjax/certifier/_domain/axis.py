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
from typing import Any

from shiftjax.certifier._domain.naming import digest

Bound = int | float  # float only for the infinities
Run = tuple[int, int]  # indices from the first up to, but not including, the second
Border = tuple[str, str]  # names of the two ends; equal names mean equal treatment; an empty one equals no other
UNKNOWN: Border = ("", "")
MAX_PHASES = 1 << 16  # beyond this, the bounds of a single axis take megabytes


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
        """The same axis after a step that does at either end what these names say."""
        return replace(self, border=(_after(self.border[0], left), _after(self.border[1], right)))

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
    return Axis(image, size, size, 1, 1, (0,), (0,), (0, size), 0, size, ("image", "image"))


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
    # Counted from the right, what an output reads is that far from the end: the same at every size.
    from_right = base * axis.size - stride * out + left
    new = Axis(
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
        axis.border,
    )
    return new.bordered(digest("window", how, left), digest("window", how, from_right))


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


def joined(names: Sequence[str]) -> str:
    """The name of an end of an array that several others make up."""
    return digest("joined", names) if all(names) else ""


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
    return new.named("narrowed", name)


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
    )
    return merged.named("merged", factor)


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
