"""Judges every claim of a walk's certificate by running the walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proofs_tests.certifier.demonstration import objections
from proofs_tests.certifier.judge import window
from proofs_tests.certifier.walking.borders import at_borders
from proofs_tests.certifier.walking.judge import Judge, Span, differ, image, proved
from proofs_tests.certifier.walking.kinds import View
from proofs_tests.certifier.walking.walk import Walk, changed
from shiftjax.certifier import AxisCertificate, Certificate, batchwise
from shiftjax.tiling import plan_tiles, predict_tiled

NAMES = "names"  # begins the objections that no run of the walk can explain
MISCOMPILED = "xla: its program of the walk differs from the same calls one by one"
WIDEST = 96  # pixels of a period, beyond which images are too large to run


@dataclass(frozen=True)
class Asked:
    """Which of the slow checks are made."""

    larger: bool = False
    batches: bool = False
    tiles: bool = False
    streams: bool = False
    witnesses: bool = False


def objections_to(
    walk: Walk, cert: Certificate, views: Sequence[View], rng: np.random.Generator, asked: Asked
) -> Iterator[str]:
    """Every claim of the certificate that does not hold; what is slow only if asked."""
    judge = Judge(walk, cert, rng)
    try:
        for text in _objections(judge, views, asked):
            yield text if text.startswith(NAMES) or not judge.miscompiled else MISCOMPILED
    finally:
        judge.forget()
    if asked.witnesses and len(walk.outputs) == 1:
        found = objections(walk.function(), cert)
        yield from (text for text in found if not (walk.halves and "the value is" in text))  # it expects single floats
        for axis in cert.axes:
            kinds = ("minimal", "attained") if axis.period > 1 else ("attained",)
            for kind in kinds:
                if axis.search(kind) is not None and not axis.witness(kind).replay(walk.function()):
                    yield f"witness: the replay of {kind} shows nothing"


def _objections(judge: Judge, views: Sequence[View], asked: Asked) -> Iterator[str]:
    again = judge.cert if judge.rng.integers(3) else proved(judge.walk)
    if again is None or again.fingerprint != judge.cert.fingerprint:
        yield f"{NAMES}: the same walk, traced again, has another name"
    if max(axis.period for leaf in judge.cert.outputs for axis in leaf.axes) <= WIDEST:
        yield from _moved(judge)
        yield from _outside(judge)
    yield from _changed(judge, views)
    slow = (
        (asked.larger, _larger),
        (asked.larger, at_borders),
        (asked.batches, _batches),
        (asked.tiles, _tiled),
        (asked.streams, _streamed),
    )
    for wanted, check in slow:
        if wanted:
            yield from check(judge)


def _moved(judge: Judge) -> Iterator[str]:
    """Moving the image by a period moves the output by the phases: along each axis, and along all of them."""
    for out, leaf in enumerate(judge.cert.outputs):
        d = len(leaf.axes)
        for turns in [[t if j == k else 0 for j in range(d)] for k in range(d) for t in (1, 2)] + [[1] * d]:
            starts = {a.input_axis: t * a.period for a, t in zip(leaf.axes, turns, strict=True)}
            ahead = [(a.exact[0] + t * a.phases, a.exact[1]) for a, t in zip(leaf.axes, turns, strict=True)]
            back = [(a.exact[0], a.exact[1] - t * a.phases) for a, t in zip(leaf.axes, turns, strict=True)]
            if any(start >= stop for start, stop in ahead):
                continue
            there = judge.cut(starts)
            if not judge.same(out, (judge, judge.cut({}), judge.here, ahead), (judge, there, judge(there), back)):
                yield f"period: output {out} does not move along with the image by {starts}"


def field(axis: AxisCertificate, i: int) -> Span:
    """The input pixels (start, stop) that output `i` may read."""
    turns, phase = divmod(i, axis.phases)
    return axis.period * turns + axis.lo[phase], axis.period * turns + axis.hi[phase] + 1


def _outside(judge: Judge) -> Iterator[str]:
    """What lies outside the field of an exact output does not change it."""
    rng = judge.rng
    for out, leaf in enumerate(judge.cert.outputs):
        if any(start >= stop for start, stop in window(leaf.axes)):
            continue
        for scale in (1, 8):
            index = [int(rng.integers(*axis.exact)) for axis in leaf.axes]
            spans = {
                a.input_axis: slice(*(max(0, p) for p in field(a, i))) for a, i in zip(leaf.axes, index, strict=True)
            }
            there = image(rng, judge.walk.shape, judge.walk.dtype, scale)
            inside = tuple(spans.get(k, slice(None)) for k in range(there.ndim))
            here = judge.cut({})
            there[inside] = here[inside]
            at = [(i, i + 1) for i in index]
            if not judge.same(out, (judge, here, judge.here, at), (judge, there, judge(there), at)):
                yield f"field: exact output {index} of output {out} changes with pixels outside of {spans}"


def _overlap(one: Certificate, two: Certificate, moved: list[int]) -> tuple[list[Span], list[Span]] | None:
    """The exact outputs that both have: those of the one, and where they lie in the other, moved so far."""
    ours = [
        (max(a.exact[0], b.exact[0] - m), min(a.exact[1], b.exact[1] - m))
        for a, b, m in zip(one.axes, two.axes, moved, strict=True)
    ]
    if any(start >= stop for start, stop in ours):
        return None
    return ours, [(start + m, stop + m) for (start, stop), m in zip(ours, moved, strict=True)]


def _changed(judge: Judge, views: Sequence[View]) -> Iterator[str]:
    """One step of the walk changed: another map, or the same values."""
    other = changed(judge.walk, views, judge.rng)
    cert = proved(other) if other else None
    if other is None or cert is None or not cert.same_map(judge.cert):
        return
    second = Judge(other, cert, judge.rng)
    x = judge.cut({})
    results = second(x)
    for out, (leaf, theirs) in enumerate(zip(judge.cert.outputs, cert.outputs, strict=True)):
        spans = _overlap(leaf, theirs, [0] * len(leaf.axes))
        if spans and not judge.same(out, (judge, x, judge.here, spans[0]), (second, x, results, spans[1])):
            yield f"names: output {out} has the name of another walk, {other}"


def _larger(judge: Judge) -> Iterator[str]:
    """A larger image with the same name: what is exact in both is equal, wherever a tile lies at the same phase."""
    rng, walk = judge.rng, judge.walk
    periods = {a.input_axis: a.period for leaf in judge.cert.outputs for a in leaf.axes}
    other = walk.resized({k: int(rng.integers(0, 2 * min(p, 8) + 3)) for k, p in periods.items()})
    cert = proved(other)
    if cert is None or not cert.same_map(judge.cert):
        return
    second = Judge(other, cert, rng)
    whole = second.cut({})
    results = second(whole)
    for out, (leaf, theirs) in enumerate(zip(judge.cert.outputs, cert.outputs, strict=True)):
        room = [n - m for n, m in zip((a.size for a in theirs.axes), (a.size for a in leaf.axes), strict=True)]
        for turns in ([0] * len(room), [r // a.period for r, a in zip(room, leaf.axes, strict=True)]):
            starts = {a.input_axis: t * a.period for a, t in zip(leaf.axes, turns, strict=True)}
            index = tuple(slice(starts.get(k, 0), starts.get(k, 0) + n) for k, n in enumerate(walk.shape))
            tile = whole[index]
            moved = [t * a.phases for t, a in zip(turns, leaf.axes, strict=True)]
            spans = _overlap(leaf, theirs, moved)
            if spans and not judge.same(out, (judge, tile, judge(tile), spans[0]), (second, whole, results, spans[1])):
                yield f"window: output {out} of a tile at {starts} differs from that of an image {other.shape}"


def _streamed(judge: Judge) -> Iterator[str]:
    """So are strips of a stream, along any axis."""
    yield from _tiled(judge, stream=int(judge.rng.integers(len(judge.walk.space))))


def _tiled(judge: Judge, stream: int | None = None) -> Iterator[str]:
    """Tiles of a plan that promises the whole image, put together, are the whole image."""
    rng, walk, fn = judge.rng, judge.walk, judge.walk.function()
    d = len(walk.space)
    if walk.space != tuple(range(1, d + 1)) or len(walk.outputs) > 1:
        return
    shape = walk.resized({k: int(rng.integers(0, 12)) for k in walk.space}).shape
    pad: Any = (None, "edge", "reflect", "constant")[rng.integers(4)]
    try:
        plan = plan_tiles(fn, shape, tile=int(rng.integers(1, 9)), pad=pad, dtype=walk.dtype, stream=stream)
    except ValueError:  # no proof, no legal size, or no stream
        return
    if not plan.equals_whole:
        return
    whole = image(rng, shape, walk.dtype)
    tiles = np.asarray(predict_tiled(fn, whole, plan))
    padded = whole if pad is None else np.pad(whole, plan.pad_width, mode=pad)
    expected = np.asarray(jax.jit(fn)(padded))[plan.whole_crop]
    if len(tiles) != len(expected):
        yield f"tiles: {len(tiles)} images instead of {len(expected)}"
        return
    if jnp.issubdtype(tiles.dtype, jnp.inexact):
        scale = abs(expected[np.isfinite(expected)]).max(initial=0)
        equal = np.allclose(tiles, expected, rtol=0, atol=float(judge.tolerance * scale), equal_nan=True)
    else:
        equal = tiles.shape == expected.shape and differ(tiles, expected) is None
    if not equal:
        kind = "tiles" if stream is None else f"a stream along axis {stream}, tiles"
        yield f"{kind} of {shape}, {plan.tile_output} each, differ from the whole ({pad})"


def _batches(judge: Judge) -> Iterator[str]:
    """Where images of a batch are proved to stay apart, each comes out as it does beside other ones."""
    rng, walk = judge.rng, judge.walk
    one, two = (int(rng.integers(2, 5)) for _ in range(2))
    walks = [walk.resized({0: n - walk.shape[0]}) for n in (one, two)]
    fn, shape = walk.function(), walks[0].image
    if not batchwise(fn, shape, images=(one,), spatial_axes=walk.space):
        return
    images = image(rng, walks[0].shape, walk.dtype)
    others = np.concatenate([images[:1], image(rng, walks[0].shape, walk.dtype)[1:]])
    run = jax.jit(fn)

    def first(x: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(y)[0] for y in jax.tree_util.tree_leaves(run(x))]

    for a, b in zip(first(images), first(others), strict=True):
        if differ(a, b) is not None:
            yield f"batch: of {one} images, the first one's output changes with the others"
    if one != two and batchwise(fn, shape, images=(one, two), spatial_axes=walk.space):
        for a, b in zip(first(images), first(np.resize(images, walks[1].shape)), strict=True):
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-4, atol=1e-4, equal_nan=True):
                yield f"batch: the first of {one} images comes out unlike the first of {two}"
