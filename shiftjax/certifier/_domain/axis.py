"""The abstract domain: which image pixels an axis of an array reads, phase by phase. No JAX here.

An axis stands for an infinite one: index `i = m * phases + r` reads only the image pixels
`period * m + lo[r] .. period * m + hi[r]`, and moving the image by `period` moves the array by `phases`. The array at
hand shows a finite part of it, and the indices in `start .. stop - 1` equal the infinite one. An index that reads
nothing has the field (inf, -inf).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, inf, lcm

Bound = int | float  # float only for the infinities
MAX_PHASES = 1 << 16


class Mismatch(Exception):
    """Two axes cannot be joined, or an axis grows beyond what can be tracked."""


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
        return Fraction(self.period, self.phases)

    def field(self, index: int) -> tuple[Bound, Bound]:
        """First and last image pixel that one index may read."""
        turns, phase = divmod(index, self.phases)
        return self.period * turns + self.lo[phase], self.period * turns + self.hi[phase]

    def fields(self, phases: int) -> tuple[tuple[Bound, ...], tuple[Bound, ...]]:
        """The bounds written out for a multiple of the phases."""
        lo, hi = zip(*map(self.field, range(phases)), strict=True)
        return lo, hi


@dataclass(frozen=True, slots=True)
class Flat:
    """Several axes flattened into one, slowest first: pieces of (size, axis or None)."""

    pieces: tuple[tuple[int, Axis | None], ...]


@dataclass(frozen=True, slots=True)
class Void:
    """An image axis whose indices no longer follow the image: only a concatenation may bury it at a border."""

    image: int
    why: BaseException


Tag = Axis | Flat | Void | None


def fresh(image: int, size: int) -> Axis:
    """The image's own axis: every pixel reads itself."""
    return Axis(image, 1, 1, (0,), (0,), 0, size)


def window(
    axis: Axis, out: int, *, size: int = 1, stride: int = 1, dilation: int = 1, base: int = 1, left: int = 0
) -> Axis:
    """The one rule of convolution, pooling, padding, slicing, striding, dilation and transposed convolution.

    Output `j` reads the base positions `m = j * stride - left + k * dilation` for `0 <= k < size`; position `m` is
    element `m / base` where `base` divides `m`, and a hole otherwise.
    """
    turns = stride // gcd(axis.phases * base, stride)
    phases = axis.phases * turns * base // stride
    if phases > MAX_PHASES:
        raise Mismatch(f"the number of phases grows to {phases}")
    lo: list[Bound] = []
    hi: list[Bound] = []
    for j in range(phases):
        first = j * stride - left
        reads = [axis.field(m // base) for m in range(first, first + size * dilation, dilation) if m % base == 0]
        lo.append(min((r[0] for r in reads), default=inf))
        hi.append(max((r[1] for r in reads), default=-inf))
    start, stop = _exact(axis, size, stride, dilation, base, left)
    start = int(min(max(start, 0), out))
    stop = int(max(start, min(stop, out)))
    return Axis(axis.image, axis.period * turns, phases, tuple(lo), tuple(hi), start, stop)


def _exact(axis: Axis, size: int, stride: int, dilation: int, base: int, left: int) -> tuple[Bound, Bound]:
    """The run of outputs all of whose elements are exact: after the last one cut at the start, before the first cut
    at the end. Which taps meet elements repeats with the outputs, hence the classes.
    """
    classes = base // gcd(base, stride)
    start, stop = -inf, inf
    for j in range(classes):
        taps = [k * dilation - left for k in range(size) if (j * stride - left + k * dilation) % base == 0]
        if not taps:
            continue
        below = -((taps[0] - axis.start * base) // stride) - 1  # the last j whose first element comes too early
        above = ((axis.stop - 1) * base - taps[-1]) // stride + 1  # the first j whose last element comes too late
        start = max(start, below - (below - j) % classes + 1)
        stop = min(stop, above + (j - above) % classes)
    return start, stop


def join(axes: Sequence[Axis]) -> Axis:
    """The axis of an array that reads all of these at the same index."""
    first = axes[0]
    for other in axes[1:]:
        if other.image != first.image:
            raise Mismatch(f"image axis {first.image} meets image axis {other.image}")
        if other.stride != first.stride:
            raise Mismatch(f"stride {first.stride} meets stride {other.stride}")
    if len(set(axes)) == 1:
        return first
    phases = lcm(*(axis.phases for axis in axes))
    if phases > MAX_PHASES:
        raise Mismatch(f"the number of phases grows to {phases}")
    bounds = [axis.fields(phases) for axis in axes]
    return Axis(
        first.image,
        int(phases * first.stride),
        phases,
        tuple(map(min, *(lo for lo, _ in bounds))),
        tuple(map(max, *(hi for _, hi in bounds))),
        start := max(axis.start for axis in axes),
        max(start, min(axis.stop for axis in axes)),
    )


def with_phases(axis: Axis, phases: int) -> Axis:
    """The same axis told apart by a multiple of `phases`, for a pattern of that length laid over it."""
    count = lcm(axis.phases, phases)
    if count > MAX_PHASES:
        raise Mismatch(f"the number of phases grows to {count}")
    lo, hi = axis.fields(count)
    return replace(axis, period=int(count * axis.stride), phases=count, lo=lo, hi=hi)


def split(axis: Axis, size: int, factor: int) -> Axis:
    """The outer axis of (size / factor, factor); the inner one becomes a channel, so the field is the hull."""
    return window(axis, size // factor, size=factor, stride=factor)


def merge(axis: Axis, factor: int) -> Axis:
    """The axis (n, factor) read as one of n * factor; the inner one was a channel."""
    phases = axis.phases * factor
    if phases > MAX_PHASES:
        raise Mismatch(f"the number of phases grows to {phases}")
    return replace(
        axis,
        phases=phases,
        lo=tuple(b for b in axis.lo for _ in range(factor)),
        hi=tuple(b for b in axis.hi for _ in range(factor)),
        start=axis.start * factor,
        stop=axis.stop * factor,
    )


def select(axis: Axis, reads: Sequence[tuple[int, int]], step: int, out: int, start: int, stop: int) -> Axis:
    """A gather or a sparse product: output `m * len(reads) + r` reads elements `reads[r] + m * step`, first to last.

    Outputs from `start` to `stop` follow this pattern, the others need not.
    """
    turns = axis.phases // gcd(axis.phases, step)
    phases = len(reads) * turns
    if phases > MAX_PHASES:
        raise Mismatch(f"the number of phases grows to {phases}")

    def elements(j: int) -> range:
        turn, phase = divmod(j, len(reads))
        return range(reads[phase][0] + turn * step, reads[phase][1] + turn * step + 1)

    fields = [[axis.field(i) for i in elements(j)] for j in range(phases)]
    lo = tuple(min((f[0] for f in field), default=inf) for field in fields)
    hi = tuple(max((f[1] for f in field), default=-inf) for field in fields)
    exact = [j for j in range(start, stop) if all(axis.start <= i < axis.stop for i in elements(j))]
    first, last = _longest(exact)
    return Axis(axis.image, axis.period * step * turns // axis.phases, phases, lo, hi, first, min(last, out))


def _longest(indices: Sequence[int]) -> tuple[int, int]:
    """The longest run among ascending indices."""
    best = (0, 0)
    begin = 0
    for k, index in enumerate(indices):
        if k and index != indices[k - 1] + 1:
            begin = k
        if k - begin + 1 > best[1] - best[0]:
            best = (indices[begin], index + 1)
    return best


def images(tags: Iterable[Tag]) -> list[int]:
    """The image axes that these array axes run along."""
    return [part.image for tag in tags for part in _parts(tag)]


def plain(tags: Iterable[Tag]) -> list[Axis]:
    """Those of them whose indices follow the image."""
    return [part for tag in tags for part in _parts(tag) if isinstance(part, Axis)]


def _parts(tag: Tag) -> list[Axis | Void]:
    if isinstance(tag, Flat):
        return [piece for _, piece in tag.pieces if piece is not None]
    return [] if tag is None else [tag]


def empty(axis: Axis) -> bool:
    """Whether some phase reads nothing at all."""
    return any(lo > hi for lo, hi in zip(axis.lo, axis.hi, strict=True))


def centre(axis: Axis) -> Fraction | None:
    """The image pixel at the centre of index 0's field, averaged over the phases; None if some read nothing."""
    if empty(axis):
        return None
    total = sum(int(lo) + int(hi) for lo, hi in zip(axis.lo, axis.hi, strict=True))
    return Fraction(total, 2 * axis.phases) - axis.stride * (axis.phases - 1) / 2
