"""Judges the windows at an image's borders by running the function on an image and on parts of it, in int32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np

from proofs_tests.certifier.judge import box, image
from shiftjax.certifier import AxisCertificate, Certificate

FIRST, INNER, LAST = "first", "inner", "last"


class Place(NamedTuple):
    """Where a part of an image lies along one axis, and which of its outputs must be those of the whole.

    Attributes:
        origin: its first pixel.
        outputs: (start, stop) of its own outputs.
        shift: where its output 0 lies among those of the whole.
    """

    origin: int
    outputs: tuple[int, int]
    shift: int


def same_ends(small: Certificate, large: Certificate, *, equal: bool = False) -> bool:
    """Whether the border windows claim something of these two sizes, which may be equal along an axis if said so."""
    fits = all(
        b.size + equal > a.size
        and (b.size - a.size) % a.period == 0
        and (b.out - a.out) * a.period == (b.size - a.size) * a.phases
        for a, b in zip(small.axes, large.axes, strict=True)
    )
    return fits and small.same_map(large, borders=True)


def place(where: str, a: AxisCertificate, b: AxisCertificate, *, wider: int = 0) -> Place:
    """A part of `a.size` pixels in an image of `b.size`, with windows wider by so much than is claimed."""
    more = b.size - a.size
    by = b.out - a.out
    if where == FIRST:
        return Place(0, (0, min(a.stop, b.stop, a.out - wider) + wider), 0)
    if where == LAST:
        return Place(more, (max(a.start, b.start - by, wider) - wider, a.out), by)
    shift = more // a.period // 2 * a.phases
    start, stop = max(a.exact[0], b.exact[0] - shift), min(a.exact[1], b.exact[1] - shift)
    return Place(more // a.period // 2 * a.period, (start, max(start, stop)), shift)


def disagreements(
    fn: Callable[[Any], Any],
    small: Certificate,
    large: Certificate,
    rng: np.random.Generator,
    *,
    wider: int = 0,
    kinds: Sequence[str] = (FIRST, INNER, LAST),
) -> Iterator[tuple[str, ...]]:
    """The places of a part, one per axis, at which its outputs are not those of the whole image."""
    whole = image(rng, large.shape)
    run = jax.jit(fn)
    out = np.asarray(run(whole))[0]
    axes = list(zip(small.axes, large.axes, strict=True))
    for where in product(kinds, repeat=len(axes)):
        places = [place(w, a, b, wider=wider) for w, (a, b) in zip(where, axes, strict=True)]
        part: Any = (slice(None), *box([(p.origin, p.origin + a.size) for p, (a, _) in zip(places, axes, strict=True)]))
        own = np.asarray(run(whole[part]))[0][box([p.outputs for p in places])]
        theirs = out[box([(p.outputs[0] + p.shift, p.outputs[1] + p.shift) for p in places])]
        if not np.array_equal(own, theirs):
            yield where
