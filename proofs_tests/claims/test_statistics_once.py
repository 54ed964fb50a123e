"""A map that is local but for statistics of the whole image is tiled exactly once these are measured and given to it.

Norms over space, global pooling and squeeze-and-excite reduce over the image and spread the result again. Given these
numbers, what is left is local, and tiles give the whole image's output, border included. The numbers themselves are
sums, maxima and minima over all positions of a layer, which tiles share out among them: each position is counted once.
Statistics of each tile are other numbers, and give another output.
Hypotheses: every statistic is taken over all of the image's axes and spread over the image again.
Source: ours.
Idea: cut the program at its reductions over space; between two of them the earlier claims apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.freezing.integers import FORMS, Layer, centred, space
from proofs_tests.support import record
from proofs_tests.support.networks import FLOATS, Subject, subjects
from proofs_tests.support.profiles import examples
from shiftjax._arithmetic import ceil_div
from shiftjax.testing import injective

SMALL = {"ndims": (1, 2), "pixels": {1: 60, 2: 20}, "largest_period": 4, "levels": (1, 3)}
PADDED = {"paddings": ("SAME",), "activation": injective, "kernels": (2, 4), **SMALL}


@dataclass(frozen=True)
class Normed:
    """A network with a statistic of its image before it, and one of its output after it."""

    subject: Subject
    before: Layer
    after: Layer

    @property
    def fn(self) -> Any:
        return Partial(self._apply, jax.tree.map(jnp.asarray, self.subject.variables))

    def _apply(self, variables: Any, image: jax.Array) -> jax.Array:
        embedding: Any = self.subject.net.apply(variables, self.before(image))
        return self.after(embedding)


@st.composite
def normed(draw: st.DrawFn, **options: Any) -> Normed:
    forms = st.sampled_from(FORMS)
    return Normed(draw(subjects(**{**PADDED, **options})), draw(forms), draw(forms))


def tiles(case: Normed) -> tuple[np.ndarray, sj.Frozen, sj.TilePlan]:
    """An image of several tiles, the network with its statistics, and the tiles."""
    subject = case.subject
    period = subject.net.period
    shape = (1, *(8 * p for p in period), subject.channels)
    alone = sj.certify(Partial(subject.net.apply, subject.variables), jax.ShapeDtypeStruct(shape, subject.dtype))
    reach = [max(1, *(h - lo for lo, h in zip(axis.lo, axis.hi, strict=True))) for axis in alone.axes]
    size = tuple(p * (ceil_div(r, p) + 5) for p, r in zip(period, reach, strict=True))
    image = subject.image(size)
    tile = tuple(2 * p for p in period)
    frozen = sj.freeze_statistics(case.fn, image, tile=tile, progress=False)
    plan = sj.plan_tiles(frozen, image.shape, tile=tile, pad=None, dtype=image.dtype)
    assert np.prod(plan.grid) > 1
    return image, frozen, plan


def check(case: Normed) -> None:
    """Measured tile by tile, and applied tile by tile, it is the function of the whole."""
    image, frozen, plan = tiles(case)
    whole = np.asarray(jax.jit(case.fn)(image))
    assert plan.equals_whole, plan.why
    assert np.array_equal(sj.predict_tiled(frozen, image, plan), whole)


@settings(max_examples=max(2, examples() // 6))
@given(normed())
def test_statistics_measured_once_give_the_whole(case):
    record.examine(case.subject.net, 1)
    check(case)


@settings(max_examples=max(2, examples() // 16))
@given(normed())
def test_control_statistics_of_each_tile(case):
    """The same tiles, each with its own statistics, as whoever stitches such a network does."""
    case = Normed(case.subject, centred, case.after)
    with record.rejected(case.subject.net):
        image, _, plan = tiles(case)
        run = jax.jit(case.fn)
        whole = np.asarray(run(image))
        for tile in plan.tiles():
            own = np.asarray(run(plan.read_input(tile, lambda at: image[(slice(None), *at)])))
            for part, start, at in zip(plan.inside(tile), plan.crop_starts(tile), plan.delivered(tile), strict=True):
                kept = tuple(slice(s + p.start, s + p.stop) for s, p in zip(start, part[1:], strict=True))
                assert np.array_equal(own[(slice(None), *kept)], whole[(slice(None), *at)])


def test_in_float32():
    """With an instance norm's mean and variance before and after."""

    def norm(y: jax.Array) -> jax.Array:
        return (y - y.mean(space(y), keepdims=True)) * jax.lax.rsqrt(y.var(space(y), keepdims=True) + 1e-5)

    for subject in FLOATS[2:]:
        case = Normed(Subject(subject.net.clone(padding="SAME"), subject.channels, subject.seed), norm, norm)
        image, frozen, plan = tiles(case)
        record.rounding(sj.predict_tiled(frozen, image, plan), np.asarray(jax.jit(case.fn)(image)), bound=16)
