"""What a certificate says of one axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from shiftjax._checks import one_of
from shiftjax.certifier._witnesses.witness import KnownWitnesses, Witness

KINDS = ("minimal", "attained")


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
        exact: (start, stop) of the output pixels that equal those of an infinite image; for them all of the above
            holds.
        start: output pixels from here on equal those of an image that ends where this one does and goes on for ever to
            the left: what the function does at the left end of the image does not reach them. The same pixels of two
            sizes agree, counted from the end, where `same_map(other, borders=True)`; likewise, counted from the
            beginning, those before `stop`.
        stop: output pixels before this one equal those of an image that begins where this one does and goes on for ever
            to the right.
        size: input pixels of the certified image.
        out: output pixels of the certified image.
        input_axis: which axis of the input array.
        output_axis: which axis of the output array.
        search: gives the witness of a kind, or None.
    """

    period: int
    phases: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]
    exact: tuple[int, int]
    start: int
    stop: int
    size: int
    out: int
    input_axis: int
    output_axis: int
    search: Callable[[str], Witness | None] = dataclasses.field(default=KnownWitnesses(), repr=False, compare=False)

    @property
    def minimal(self) -> bool:
        """Whether a witness shows that no smaller shift moves the output by whole pixels.

        The witness is looked for when this is first asked, which may take seconds; False says "not shown". The claim is
        about the function with the parameter values that it holds; where it holds a `jax.ShapeDtypeStruct`, about some
        values of that parameter.
        """
        return self.period == 1 or self.search("minimal") is not None

    @property
    def attained(self) -> bool:
        """Whether a witness shows that every phase reads both ends of its field; False says "not shown", as above."""
        return self.search("attained") is not None

    def witness(self, kind: str) -> Witness:
        """The images that show that this axis is "minimal" or "attained".

        Raises:
            ValueError: none was found, or `kind` is neither of the two.
        """
        one_of("kind", kind, KINDS)
        found = self.search(kind)
        if found is None:
            raise ValueError(f"it was not shown that axis {self.input_axis} is {kind}: no witness was found.")
        return found

    def plain(self, witnesses: bool) -> dict[str, Any]:
        """The numbers as JSON takes them; with `witnesses` also the witnesses, which are then looked for."""
        numbers = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "search"}
        found = [self.search(kind) for kind in KINDS] if witnesses else []
        return {**numbers, "witnesses": [dataclasses.asdict(witness) for witness in found if witness]}

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> AxisCertificate:
        """The inverse of `plain`, where lists have become tuples."""
        numbers = {name: value for name, value in data.items() if name != "witnesses"}
        return cls(**numbers, search=KnownWitnesses(tuple(map(Witness.from_plain, data["witnesses"]))))

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
    def covered(self) -> bool:
        """Whether each output pixel is exact, lies before `stop`, or from `start` on: nothing is known of others."""
        at = 0
        for start, stop in sorted([(0, self.stop), (self.start, self.out), self.exact]):
            if start < stop:
                if start > at:
                    return False
                at = max(at, stop)
        return at >= self.out

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
        """How many input pixels an output reads, at most, before and after its own place, `offset + stride * index`."""
        at = [self.offset + floor(self.stride * r) for r in range(self.phases)]
        before = max(a - lo for a, lo in zip(at, self.lo, strict=True))
        after = max(hi - a for a, hi in zip(at, self.hi, strict=True))
        return max(0, before), max(0, after)

    def reads(self, start: int, stop: int) -> tuple[int, int]:
        """The input pixels (start, stop) that the output pixels `start .. stop - 1` read."""
        fields = [(self.period * (i // self.phases), i % self.phases) for i in self._ends(start, stop)]
        return min(at + self.lo[r] for at, r in fields), max(at + self.hi[r] for at, r in fields) + 1

    def _ends(self, start: int, stop: int) -> list[int]:
        """Indices among which the extremes lie: one of each phase from either side."""
        if stop - start <= 2 * self.phases:
            return list(range(start, stop))
        return [*range(start, start + self.phases), *range(stop - self.phases, stop)]
