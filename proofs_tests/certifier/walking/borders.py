"""The border windows of a walk, and its tiles that touch the image's border."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proofs_tests.certifier.borders import FIRST, INNER, LAST, place, same_ends
from proofs_tests.certifier.walking.judge import Judge, proved


def at_borders(judge: Judge) -> Iterator[str]:
    """A part of a larger image whose ends are treated alike: at either end it gives that image's outputs."""
    rng, walk = judge.rng, judge.walk
    periods = {a.input_axis: a.period for leaf in judge.cert.outputs for a in leaf.axes}
    other = walk.resized({k: p * int(rng.integers(1, 2 + 8 // p)) for k, p in periods.items() if p <= 48})
    cert = proved(other)
    if cert is None or not cert.same_map(judge.cert, borders=True):
        return
    second = Judge(other, cert, rng)
    whole = second.cut({})
    results = second(whole)
    for out, (leaf, theirs) in enumerate(zip(judge.cert.outputs, cert.outputs, strict=True)):
        if not same_ends(leaf, theirs, equal=True):
            continue
        for _ in range(3):
            kinds = [str(rng.choice((FIRST, INNER, LAST))) for _ in leaf.axes]
            axes = list(zip(kinds, leaf.axes, theirs.axes, strict=True))
            places = [place(kind, a, b) for kind, a, b in axes]
            at: Any = {a.input_axis: p.origin for (_, a, _), p in zip(axes, places, strict=True)}
            part = whole[tuple(slice(at.get(k, 0), at.get(k, 0) + n) for k, n in enumerate(walk.shape))]
            ours = [p.outputs for p in places]
            there = [(p.outputs[0] + p.shift, p.outputs[1] + p.shift) for p in places]
            if not judge.same(out, (judge, part, judge(part), ours), (second, whole, results, there)):
                yield f"border: output {out} of a part at {at} ({kinds}) differs from that of an image {other.shape}"
    second.forget()
