"""Judges the certificate of a walk by running the walk, one compiled program for each shape of the image.

Integers and masks must be equal. Floats may differ by rounding, and so may a whole number that was cut from a float
that lies on a step: what changes when the image's own floats move as far as rounding moves them counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proofs_tests.certifier.demonstration import objections
from proofs_tests.certifier.judge import box, window
from proofs_tests.certifier.walking.walk import Walk, mutated
from shiftjax.certifier import AxisCertificate, Certificate, CertificationError, batchwise, certify
from shiftjax.tiling import plan_tiles, predict_tiled

WIDEST = 96  # pixels per axis of the image that two images are cut from
Span = tuple[int, int]


def proved(walk: Walk) -> Certificate | None:
    """The certificate; None where it is refused, and where JAX refuses the walk. Any other error is a fault."""
    try:
        return certify(walk.function(), walk.image, spatial_axes=walk.space)
    except CertificationError:
        return None
    except Exception:
        if runs(walk):
            raise
        return None


def runs(walk: Walk) -> bool:
    """Whether JAX takes the walk at all."""
    try:
        return jax.jit(walk.function()).lower(walk.image).compile() is not None
    except Exception:  # whatever JAX says of it
        return False


def image(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, scale: int = 1) -> np.ndarray:
    """Integers of 21 bits, or what the type holds; multiples of an eighth below 8, which half floats hold as well."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if np.issubdtype(dtype, np.integer):
        limit = min(2**20, np.iinfo(dtype).max)
        return (rng.integers(-limit, limit, shape) * scale).astype(dtype)
    return (rng.integers(-64, 64, shape) / 8 * scale).astype(dtype)


class Judge:
    """Runs one walk at one shape, on windows of one larger image.

    Attributes:
        walk: the function, and the shape of its image.
        cert: its certificate.
        rng: random numbers.
    """

    def __init__(self, walk: Walk, cert: Certificate, rng: np.random.Generator) -> None:
        self.walk, self.cert, self.rng = walk, cert, rng
        self._run = jax.jit(walk.function())

    def forget(self) -> None:
        """Frees the compiled program."""
        self._run.clear_cache()

    @cached_property
    def big(self) -> np.ndarray:
        periods = [axis.period for leaf in self.cert.outputs for axis in leaf.axes]
        more = dict.fromkeys(self.walk.space, 2 * max(periods))
        return image(self.rng, self.walk.resized(more).shape, self.walk.dtype)

    def cut(self, starts: dict[int, int]) -> np.ndarray:
        """A window of the large image, from these pixels on."""
        return self.big[tuple(slice(starts.get(k, 0), starts.get(k, 0) + n) for k, n in enumerate(self.walk.shape))]

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        """The outputs, each with its image axes first."""
        leaves = {jax.tree_util.keystr(path): y for path, y in jax.tree_util.tree_flatten_with_path(self._run(x))[0]}
        return [
            np.moveaxis(np.asarray(leaves[leaf.leaves[0].name]), leaf.output_axes, range(len(self.walk.space)))
            for leaf in self.cert.outputs
        ]

    @cached_property
    def here(self) -> list[np.ndarray]:
        return self(self.cut({}))

    def fragile(self, x: np.ndarray, out: int, spans: list[Span]) -> np.ndarray:
        """How far the output moves when the image's floats move as far as rounding might move them."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return np.zeros(1)
        plain = self(x)[out][box(spans)].astype(np.complex128)
        moved = []
        for _ in range(4):
            factor = 1 + self.rng.uniform(-1, 1, x.shape) * (1e-6 if x.dtype == np.float32 else 2**-7)
            there = self((x.astype(np.float64) * factor).astype(x.dtype))[out][box(spans)]
            moved.append(np.nan_to_num(abs(there.astype(np.complex128) - plain), nan=np.inf))
        return np.max(moved, axis=0)

    def same(self, out: int, one: Any, two: Any) -> bool:
        """Whether two results agree, each given as (judge, image, its outputs, spans)."""
        (a_judge, a_image, a_outputs, a_spans), (b_judge, b_image, b_outputs, b_spans) = one, two
        a, b = a_outputs[out][box(a_spans)], b_outputs[out][box(b_spans)]
        if a.shape[len(a_spans) :] != b.shape[len(b_spans) :]:
            return False
        if (bits_differ := differ(a, b)) is None:
            return True
        discrete = not jnp.issubdtype(a.dtype, jnp.inexact)
        if discrete and not self.walk.floats:
            return False
        if discrete and self.cert.approximations:
            return True  # a rounded weight may move a value over a step
        gap = np.where(bits_differ, abs(a.astype(np.complex128) - b.astype(np.complex128)), 0.0)
        if not discrete:
            finite = [abs(v[np.isfinite(v)].astype(np.complex128)).max(initial=0.0) for v in (a, b)]
            gap = gap - self.tolerance * max(finite)
        gap = np.where(bits_differ, np.nan_to_num(gap, nan=np.inf), 0.0)
        if not (gap > 0).any():
            return True
        reach = a_judge.fragile(a_image, out, a_spans) + b_judge.fragile(b_image, out, b_spans)
        return not (gap > 100 * reach).any()

    @property
    def tolerance(self) -> float:
        return 0.05 if self.cert.approximations else 0.02 if self.walk.halves else 1e-4


def differ(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Where the values differ; None if nowhere. Two numbers that are none are equal."""
    found = (a != b) & ~((a != a) & (b != b))
    return found if found.any() else None


@dataclass(frozen=True)
class Asked:
    """Which of the slow checks are made."""

    larger: bool = False
    batches: bool = False
    tiles: bool = False
    witnesses: bool = False


def objections_to(walk: Walk, cert: Certificate, rng: np.random.Generator, asked: Asked) -> Iterator[str]:
    """Every claim of the certificate that does not hold; what is slow only if asked."""
    judge = Judge(walk, cert, rng)
    try:
        yield from _objections(judge, asked)
    finally:
        judge.forget()
    if asked.witnesses and len(walk.outputs) == 1:
        yield from objections(walk.function(), cert)
        for axis in cert.axes:
            kinds = ("minimal", "attained") if axis.period > 1 else ("attained",)
            for kind in kinds:
                if axis.search(kind) is not None and not axis.witness(kind).replay(walk.function()):
                    yield f"witness: the replay of {kind} shows nothing"


def _objections(judge: Judge, asked: Asked) -> Iterator[str]:
    again = judge.cert if judge.rng.integers(3) else proved(judge.walk)
    if again is None or again.fingerprint != judge.cert.fingerprint:
        yield "names: the same walk, traced again, has another name"
    if max(axis.period for leaf in judge.cert.outputs for axis in leaf.axes) <= WIDEST:
        yield from _moved(judge)
        yield from _outside(judge)
    yield from _changed(judge)
    for wanted, check in ((asked.larger, _larger), (asked.batches, _batches), (asked.tiles, _tiled)):
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


def _changed(judge: Judge) -> Iterator[str]:
    """One number of the walk changed: another map, or the same values."""
    other = mutated(judge.walk, judge.rng)
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


def _tiled(judge: Judge) -> Iterator[str]:
    """Tiles of a plan that promises the whole image, put together, are the whole image."""
    rng, walk, fn = judge.rng, judge.walk, judge.walk.function()
    d = len(walk.space)
    if walk.space != tuple(range(1, d + 1)) or len(walk.outputs) > 1:
        return
    shape = walk.resized({k: int(rng.integers(0, 12)) for k in walk.space}).shape
    pad = str(rng.choice(("edge", "reflect", "constant")))
    try:
        plan = plan_tiles(fn, shape, tile=int(rng.integers(1, 9)), pad=pad, dtype=walk.dtype)
    except ValueError:  # no proof, no stride of 1, or no legal size
        return
    if not plan.equals_whole:
        return
    whole = image(rng, shape, walk.dtype)
    tiles = np.asarray(predict_tiled(fn, whole, plan))
    expected = np.asarray(jax.jit(fn)(np.pad(whole, plan.pad_width, mode=pad)))[plan.whole_crop]
    if jnp.issubdtype(tiles.dtype, jnp.inexact):
        scale = abs(expected[np.isfinite(expected)]).max(initial=0)
        equal = np.allclose(tiles, expected, rtol=0, atol=float(judge.tolerance * scale), equal_nan=True)
    else:
        equal = tiles.shape == expected.shape and differ(tiles, expected) is None
    if not equal:
        yield f"tiles: those of {shape}, {plan.tile_output} each, differ from the whole ({pad})"


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
