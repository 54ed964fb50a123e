"""What a certificate says of one axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor


@dataclass(frozen=True)
class AxisCertificate:
    """How one output axis reads one image axis, in exact arithmetic.

    Moving the image by `period` input pixels moves the output by `phases` output pixels. Output pixel
    `m * phases + r` reads no input pixel outside `period * m + lo[r] .. period * m + hi[r]`.

    Attributes:
        period: input pixels.
        phases: output pixels.
        lo: first input pixel read, for each phase.
        hi: last input pixel read, for each phase; `lo - 1` where a phase reads nothing.
        exact: (start, stop) of the output pixels that equal those of an infinite image; all of this holds there.
        attained: whether the proof shows that, for generic parameters, both ends of every phase's field are read.
        minimal: whether it shows that no smaller period holds for generic parameters.
        size: input pixels of the certified image.
        out: output pixels of the certified image.
        input_axis: which axis of the input array.
        output_axis: which axis of the output array.
    """

    period: int
    phases: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]
    exact: tuple[int, int]
    attained: bool
    minimal: bool
    size: int
    out: int
    input_axis: int
    output_axis: int

    @property
    def stride(self) -> Fraction:
        """Input pixels per output pixel."""
        return Fraction(self.period, self.phases)

    @property
    def offset(self) -> int:
        """The input pixel at the centre of output 0's receptive field: the mean over the phases, rounded down."""
        ends = sum(self.lo) + sum(self.hi)
        return floor(Fraction(ends, 2 * self.phases) - self.stride * (self.phases - 1) / 2)

    @property
    def pointwise(self) -> bool:
        """Whether output pixel `i` reads input pixel `i` and no other."""
        return (self.period, self.phases, self.lo, self.hi) == (1, 1, (0,), (0,))

    @property
    def field(self) -> int:
        """Width of the widest receptive field, in input pixels."""
        return max(hi - lo + 1 for lo, hi in zip(self.lo, self.hi, strict=True))

    @property
    def halo(self) -> tuple[int, int]:
        """Input pixels that some output reads before and after its own place, `offset + stride * index`."""
        at = [self.offset + floor(self.stride * r) for r in range(self.phases)]
        before = max(a - lo for a, lo in zip(at, self.lo, strict=True))
        after = max(hi - a for a, hi in zip(at, self.hi, strict=True))
        return max(0, before), max(0, after)

    def reads(self, start: int, stop: int) -> tuple[int, int]:
        """The input pixels (start, stop) that the output pixels `start .. stop - 1` read."""
        fields = [(self.period * (i // self.phases), i % self.phases) for i in self._ends(start, stop)]
        return min(at + self.lo[r] for at, r in fields), max(at + self.hi[r] for at, r in fields) + 1

    def _ends(self, start: int, stop: int) -> list[int]:
        """Indices that hold both ends: a full turn of phases from either side."""
        if stop - start <= 2 * self.phases:
            return list(range(start, stop))
        return [*range(start, start + self.phases), *range(stop - self.phases, stop)]
