"""The axis of a gather, or of a product with a banded matrix: a pattern that moves along, and its two ends."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from shiftjax.certifier._domain.axis import Axis, Run, hulls, longest_run, tracked
from shiftjax.certifier._domain.pattern import Pattern


def gathered(axis: Axis, pattern: Pattern) -> Axis:
    """The axis whose index `j` reads the elements that the pattern says.

    One-sided windows may hold outputs that follow no pattern: those at the left end where the image goes on to the
    right, and those at the right end where it goes on to the left.
    """
    turn = len(pattern.first)
    turns = axis.phases // gcd(axis.phases, pattern.step)
    phases = tracked(turn * turns)
    lo, hi = hulls(axis, (range(a, b + 1) for a, b in map(pattern.elements, range(phases))))
    run = range(pattern.start, pattern.stop)
    reads: dict[int, Run] = {j: pattern.elements(j) for j in run}
    exact = [(j, j + 1) for j, (a, b) in reads.items() if b < a or (axis.exact[0] <= a and b < axis.exact[1])]
    reads |= dict(enumerate(pattern.before)) | dict(enumerate(pattern.after, pattern.stop))
    some = {j: read for j, read in reads.items() if read[0] <= read[1]}
    early = [j for j, (a, _) in some.items() if j >= pattern.start and a < axis.start]
    late = [j for j, (_, b) in some.items() if j < pattern.stop and b >= axis.stop]
    out = pattern.stop + len(pattern.after)
    new = replace(
        axis,
        size=out,
        period=axis.period * pattern.step * turns // axis.phases,
        phases=phases,
        lo=lo,
        hi=hi,
        exact=longest_run(exact),
        start=max(early, default=pattern.start - 1) + 1,
        stop=min(late, default=pattern.stop),
    )
    from_right = [(axis.size - a, axis.size - b) for a, b in pattern.after]
    end = (turn * axis.size - pattern.step * out, out % turn)
    how = ("gathered", pattern.first, pattern.last, pattern.step)
    return new.bordered(((how, pattern.before, pattern.ends[0]), (how, from_right, pattern.ends[1], end)))
