"""Same-padded networks with statistics between their layers, in int32: tiles equal the whole image, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.freezing.integers import FORMS, centred
from proofs_tests.support.profiles import examples
from shiftjax.freezing import _freeze
from shiftjax.testing import injective


@dataclass(frozen=True)
class Step:
    """A layer: a convolution with stride or dilation, a pooling, or an upsampling by repetition or by weights."""

    kind: str
    size: int = 3
    by: int = 1

    def __call__(self, x: jax.Array, seed: int) -> jax.Array:
        ndim = x.ndim - 2
        channels = "NHWC"[: 1 + ndim] + "C", "HW"[:ndim] + "IO", "NHWC"[: 1 + ndim] + "C"
        kernel: Any = np.random.default_rng(seed).integers(-3, 4, (*(self.size,) * ndim, x.shape[-1], 2))
        kernel = jnp.asarray(kernel, jnp.int32)
        by = (self.by,) * ndim
        if self.kind == "pool":
            window = (1, *by, 1)
            return lax.reduce_window(x, jnp.iinfo(x.dtype).min, lax.max, window, window, "SAME")
        if self.kind == "repeat":
            for axis in range(1, ndim + 1):
                x = jnp.repeat(x, self.by, axis)
            return x
        if self.kind == "learned":
            return lax.conv_transpose(x, kernel, by, "SAME", dimension_numbers=channels)
        strides, dilation = (by, None) if self.kind == "stride" else ((1,) * ndim, by)
        return injective(
            lax.conv_general_dilated(x, kernel, strides, "SAME", rhs_dilation=dilation, dimension_numbers=channels)
        )


STEPS = st.sampled_from(
    [Step("stride", 2, 2), Step("stride", 3, 2), Step("dilate", 3, 2), Step("dilate"), Step("pool", by=2)]
)
UPSAMPLING = st.sampled_from([Step("repeat", by=2), Step("learned", 2, 2), Step("learned", 3, 2)])


@st.composite
def networks(draw: st.DrawFn) -> tuple[Any, tuple[int, ...], int, str]:
    """A network, the shape of its image, a tile, and its steps in words."""
    ndim = draw(st.sampled_from([1, 1, 2]))
    steps: list[Any] = draw(st.lists(STEPS, min_size=1, max_size=2))
    steps += draw(st.lists(UPSAMPLING, max_size=sum(step.by == 2 and step.kind != "dilate" for step in steps)))
    forms = [draw(st.sampled_from(FORMS)) for _ in range(draw(st.integers(1, 3)))]
    for form in forms:
        steps.insert(draw(st.integers(0, len(steps))), form)
    skip = draw(st.booleans())
    size = draw(st.tuples(*[st.integers(24, 60 if ndim == 1 else 34)] * ndim))

    def fn(x: jax.Array) -> jax.Array:
        y = x
        for seed, step in enumerate(steps):
            y = step(y, seed) if isinstance(step, Step) else step(y)
        return jnp.concatenate([x, y], -1) if skip and y.shape[:-1] == x.shape[:-1] else y

    words = ", ".join(str(step) if isinstance(step, Step) else step.__name__ for step in steps)
    return Partial(fn), (draw(st.sampled_from([1, 1, 2])), *size, 1), draw(st.integers(2, 9)), words


@settings(max_examples=max(3, examples() // 6))
@given(networks())
def test_tiles_equal_the_whole(case):
    fn, shape, tile, _ = case
    image = np.random.default_rng(0).integers(-99, 100, shape).astype(np.int32)
    whole = np.asarray(jax.jit(fn)(image))
    frozen = sj.freeze_statistics(fn, image, tile=tile, progress=False)
    plan = sj.plan_tiles(frozen, shape, tile=tile, pad=None, dtype=np.int32)
    event(f"tiles: {'one' if np.prod(plan.grid) == 1 else 'several'}")
    assert plan.equals_whole
    assert np.array_equal(sj.predict_tiled(frozen, image, plan), whole)


KERNEL: Any = np.random.default_rng(0).integers(-3, 4, (3, 3, 2, 2)).astype(np.int32)
SHAPE = (1, 32, 40, 2)


def conv(x: jax.Array, padding: str = "SAME", stride: int = 1) -> jax.Array:
    channels = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, KERNEL, (stride, stride), padding, dimension_numbers=channels)


def whole_pool(x: jax.Array) -> jax.Array:
    """Global pooling as one window."""
    return lax.reduce_window(x, np.int32(0), lax.add, (1, *x.shape[1:3], 1), (1, 1, 1, 1), "VALID")


def repeated(x: jax.Array, times: tuple[int, ...]) -> jax.Array:
    """One axis after the other."""
    return jnp.repeat(jnp.repeat(x, times[0], 1), times[1], 2)


def masked(x: jax.Array) -> jax.Array:
    """What marks the border before a statistic."""
    mask = jnp.ones((1, *x.shape[1:3], 1), jnp.int32).at[:, :1].set(5)
    return centred(conv(centred(x)) * mask)


@jax.custom_jvp
def scaled(x: jax.Array, by: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x * by, by + 3


scaled.defjvp(lambda given, along: (scaled(*given), along))


def beside(x: jax.Array, run: Any) -> jax.Array:
    """A statistic that goes through one equation together with the image, and comes out of it by itself."""
    y, total = run(x, x.sum((1, 2), keepdims=True))
    return y - total


WRITTEN: dict[str, Any] = {
    "carried by a loop": lambda x: beside(
        x, lambda y, total: lax.fori_loop(0, 3, lambda _, c: (c[0] + c[1], c[1] * 2), (y, total))
    ),
    "through a branch": lambda x: beside(
        x, lambda y, total: lax.cond(total.sum() > 0, lambda a, b: (a + 1, b), lambda a, b: (a, 2 * b), y, total)
    ),
    "through a function with a rule": lambda x: beside(x, scaled),
    "valid": lambda x: centred(conv(centred(conv(x, "VALID")), "VALID")),
    "mixed": lambda x: centred(conv(centred(conv(centred(x), stride=2)), "VALID")),
    "two outputs": lambda x: {"half": centred(conv(x, stride=2)), "same": centred(x)},
    "no statistics": conv,
    "the number of pixels": lambda x: x - x.sum((1, 2), keepdims=True) // (x.shape[1] * x.shape[2]),
    "spread by hand": lambda x: x + jnp.broadcast_to(x.max((1, 2), keepdims=True), x.shape),
    "spread axis by axis": lambda x: x + repeated(x.max((1, 2), keepdims=True), x.shape[1:3]),
    "any": lambda x: jnp.where((x > 48).any((1, 2), keepdims=True), x, -x),
    "one window": lambda x: x * whole_pool(x),
    "vmapped": jax.vmap(lambda y: y - y.sum((0, 1)) // 4),
    "channels first": lambda x: jnp.moveaxis(
        (lambda y: y - y.max((2, 3), keepdims=True))(jnp.moveaxis(x, -1, 1)), 1, -1
    ),
    "masked": masked,
    "remat": jax.checkpoint(lambda x: centred(conv(centred(x)))),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_as_it_may_be_written(name):
    fn = WRITTEN[name]
    image = np.random.default_rng(1).integers(-50, 50, SHAPE).astype(np.int32)
    frozen = sj.freeze_statistics(fn, image, tile=12, progress=False)
    plan = sj.plan_tiles(frozen, SHAPE, tile=12, pad=None, dtype=np.int32)
    assert np.prod(plan.grid) > 1
    jax.tree.map(np.testing.assert_array_equal, sj.predict_tiled(frozen, image, plan), jax.jit(fn)(image))


def test_each_pass_of_a_large_image_computes_its_own_measures_alone(monkeypatch):
    """Small images have one program for all passes."""

    def fn(x: jax.Array) -> jax.Array:
        return centred(conv(x - x.max((1, 2), keepdims=True)))

    image = np.random.default_rng(1).integers(-50, 50, SHAPE).astype(np.int32)
    computed, here = [], _freeze.measure

    def counted(work: Any, *arguments: Any) -> Any:
        computed.append(len(work.kinds))
        return here(work, *arguments)

    monkeypatch.setattr(_freeze, "measure", counted)
    for few in (_freeze.FEW, 0):
        monkeypatch.setattr(_freeze, "FEW", few)
        frozen = sj.freeze_statistics(fn, image, tile=12, progress=False)
        np.testing.assert_array_equal(jax.jit(frozen)(image), jax.jit(fn)(image))
    assert computed == [2, 2, 1, 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float16, bool])
def test_the_ends_of_every_type(dtype):
    """The largest and the smallest value, whatever the type holds."""
    image = (np.random.default_rng(1).integers(0, 250, SHAPE) % (2 if dtype is bool else 250)).astype(dtype)

    def fn(x: jax.Array) -> jax.Array:
        return jnp.where(x == x.max((1, 2), keepdims=True), x, jnp.broadcast_to(x.min((1, 2), keepdims=True), x.shape))

    frozen = sj.freeze_statistics(fn, image, tile=12, progress=False)
    assert np.array_equal(jax.jit(frozen)(image), jax.jit(fn)(image))
