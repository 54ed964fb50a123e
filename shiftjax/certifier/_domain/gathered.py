"""The axis of a gather, or of a product with a banded matrix: a pattern that moves along, and its two ends."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np

from shiftjax.certifier._domain.axis import Axis, Run, hulls, tracked
from shiftjax.certifier._domain.naming import digest
from shiftjax.certifier._domain.pattern import Pattern


def gathered(axis: Axis, pattern: Pattern) -> Axis:
    """The axis whose index `j` reads the elements that the pattern says.

    One-sided windows may hold outputs that do not follow the pattern: `stop` those at the left end, `start` those at
    the right end, where they are the same in every image that begins, or ends, alike.
    """
    turn = len(pattern.first)
    turns = axis.phases // gcd(axis.phases, pattern.step)
    phases = tracked(turn * turns)
    lo, hi = hulls(axis, (range(a, b + 1) for a, b in map(pattern.elements, range(phases))))
    first, last = pattern.reads.T
    output, reads = np.arange(len(first)), first <= last
    regular = (pattern.start <= output) & (output < pattern.stop)
    exact = regular & (~reads | ((axis.exact[0] <= first) & (last < axis.exact[1])))
    early = output[reads & (first < axis.start) & (output >= pattern.start)]
    late = output[reads & (last >= axis.stop) & (output < pattern.stop)]
    out = pattern.stop + len(pattern.after)
    new = replace(
        axis,
        size=out,
        period=axis.period * pattern.step * turns // axis.phases,
        phases=phases,
        lo=lo,
        hi=hi,
        exact=_longest(exact),
        start=int(early.max(initial=pattern.start - 1)) + 1,
        stop=int(late.min(initial=pattern.stop)),
    )
    from_right = [(axis.size - a, axis.size - b) for a, b in pattern.after]
    end = (turn * axis.size - pattern.step * out, out % turn)
    how = ("gathered", pattern.first, pattern.last, pattern.step)
    left, right = digest(how, pattern.before, pattern.ends[0]), digest(how, from_right, pattern.ends[1], end)
    return new.settled().bordered(left, right)


def _longest(holds: np.ndarray) -> Run:
    """The longest run of true entries, the first of equally long ones."""
    edges = np.flatnonzero(np.diff(holds, prepend=False, append=False)).reshape(-1, 2)
    return max(((int(a), int(b)) for a, b in edges), key=lambda run: run[1] - run[0], default=(0, 0))
