"""Norms as Flax, NumPy-like code and hand-written layers have them, in float32: within rounding of the whole image."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.freezing.norms import PlainUNet, SqueezeAndExcite, with_weights

SHAPE = (1, 24, 20, 4)


def image(shape: tuple[int, ...] = SHAPE, *, mean: float = 2.0) -> Any:
    return mean + jax.random.normal(jax.random.key(1), shape)


def by_hand(x: Any) -> Any:
    """The variance as jax.numpy takes it, with one number less."""
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True, ddof=1)
    return (x - mean) / jnp.sqrt(variance + 1e-5)


def flat(x: Any) -> Any:
    """Space in one axis, as PyTorch's forms translate."""
    rows = x.reshape(x.shape[0], -1, x.shape[-1])
    rows = rows - rows.mean(1, keepdims=True)
    return (rows * jax.lax.rsqrt(jnp.square(rows).mean(1, keepdims=True) + 1e-5)).reshape(x.shape)


def style(x: Any) -> Any:
    """A style vector: normalised over channels, added everywhere."""
    vector = x.mean((1, 2))
    return x + (vector / jnp.linalg.norm(vector, axis=1, keepdims=True))[:, None, None]


def pooled(x: Any) -> Any:
    """A pooling branch as DeepLab has it: one pixel, resized to the image."""
    branch = nn.avg_pool(x, x.shape[1:3])
    return jnp.concatenate([x, jnp.broadcast_to(branch, x.shape)], -1)


def attended(x: Any) -> Any:
    """Global context: a softmax over space is a maximum, a sum, and here another sum of what it weights."""
    weights = jnp.exp(x[..., :1] - x[..., :1].max((1, 2), keepdims=True))
    weights = weights / weights.sum((1, 2), keepdims=True)
    return x + (weights * x).sum((1, 2), keepdims=True)


FORMS: dict[str, Callable[[Any], Any] | nn.Module] = {
    "instance": nn.InstanceNorm(use_fast_variance=False),
    "instance, fast": nn.InstanceNorm(),
    "group": nn.GroupNorm(num_groups=2),
    "layer over space": nn.LayerNorm(reduction_axes=(1, 2, 3)),
    "squeeze and excite": SqueezeAndExcite(),
    "by hand": by_hand,
    "flat": flat,
    "style": style,
    "pooled": pooled,
    "global context": attended,
}
PASSES = {"global context": 3}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    form = FORMS[name]
    fn = with_weights(form, SHAPE) if isinstance(form, nn.Module) else Partial(form)
    x = image()
    frozen = sj.freeze_statistics(fn, x, tile=7, progress=False)
    assert frozen.cut.passes == PASSES.get(name, 1)
    whole = np.asarray(jax.jit(fn)(x))
    plan = sj.plan_tiles(frozen, SHAPE, tile=7, pad=None)
    assert plan.equals_whole
    assert np.prod(plan.grid) > 1
    tiled = sj.predict_tiled(frozen, x, plan)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=4e-6 * np.abs(whole).max())


def test_the_variance_keeps_its_digits():
    """Far from 0, E[y^2] - E[y]^2 is lost in float32; what is measured is not."""
    norm = nn.InstanceNorm(use_scale=False, use_bias=False)
    x = image((1, 40, 40, 1), mean=3000.0)
    exact = np.asarray(x, np.float64)
    truth = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-6)
    frozen = sj.freeze_statistics(Partial(norm.apply, {}), x, tile=16, progress=False)
    (variance,) = [one.value for one in frozen.statistics if one.operation == "variance"]
    assert abs(variance.item() / exact.var() - 1) < 1e-5
    ours, theirs = (np.abs(np.asarray(y) - truth).max() for y in (frozen(x), norm.apply({}, x)))
    assert ours < 2 * theirs
    assert ours < 1e-3


def test_a_chain_of_norms_and_its_sources():
    fn = with_weights(PlainUNet(excite=True, fast=True), (1, 16, 16, 1))
    x = image((1, 32, 24, 1))
    frozen = sj.freeze_statistics(fn, x, tile=8, progress=False)
    assert frozen.cut.passes == 6  # of three blocks, each a norm and what excites it
    assert all("norms.py:" in one.source for one in frozen.statistics)
    whole = np.asarray(jax.jit(fn)(x))
    np.testing.assert_allclose(jax.jit(frozen)(x), whole, rtol=0, atol=1e-5 * np.abs(whole).max())


def test_each_image_of_a_batch_has_its_own():
    fn = Partial(by_hand)
    x = jnp.concatenate([image(), 3 * image() + 1])
    frozen = sj.freeze_statistics(fn, x, tile=8, progress=False)
    np.testing.assert_allclose(frozen(x), fn(x), atol=1e-5)
    plan = sj.plan_tiles(frozen, x.shape, tile=8, pad=None)
    np.testing.assert_allclose(sj.predict_tiled(frozen, x, plan), fn(x), atol=1e-5)


def test_they_are_those_of_the_padded_image():
    """With a padding, the function that tiles compute is that of the padded image."""
    x = image()
    plan = sj.plan_tiles(lambda y: y[:, 2:-2, 2:-2], x.shape, tile=8, pad="reflect")

    def fn(y: Any) -> Any:
        return by_hand(y)[:, 2:-2, 2:-2]

    frozen = sj.freeze_statistics(fn, x, plan=plan, progress=False)
    own = sj.plan_tiles(frozen, x.shape, tile=8, pad="reflect")
    assert own.pad_width == plan.pad_width
    whole = fn(jnp.pad(x, own.pad_width, mode="reflect"))[own.whole_crop]
    np.testing.assert_allclose(sj.predict_tiled(frozen, x, own), whole, atol=1e-5)


def test_the_image_need_not_have_a_size_that_the_function_takes_where_it_is_padded():
    def fn(y: Any) -> Any:
        return by_hand(y[:, ::4, ::4].repeat(4, 1).repeat(4, 2) + y)

    x = image((1, 22, 19, 4))
    with pytest.raises(ValueError, match="incompatible shapes"):  # the control
        sj.freeze_statistics(fn, x, progress=False)
    frozen = sj.freeze_statistics(fn, x, tile=8, pad="reflect", progress=False)
    plan = sj.plan_tiles(frozen, x.shape, tile=8, pad="reflect")
    whole = fn(jnp.pad(x, plan.pad_width, mode="reflect"))[plan.whole_crop]
    np.testing.assert_allclose(sj.predict_tiled(frozen, x, plan), whole, atol=1e-5)


def test_a_part_of_the_image_says_so():
    x = image()
    frozen = sj.freeze_statistics(by_hand, x, region=(slice(0, 10), slice(4, None)), progress=False)
    assert frozen.sample == "pixels [0:10, 4:20]"
    assert "pixels [0:10, 4:20]" in repr(frozen)
    part = x[:, :10, 4:]
    np.testing.assert_allclose(frozen(part), by_hand(part), atol=1e-5)


FACTOR = 1


def by_factor(x: Any) -> Any:
    return FACTOR * x - x.mean((1, 2), keepdims=True)


def test_it_travels_to_other_processes(monkeypatch):
    by_name = pickle.dumps(sj.freeze_statistics(by_factor, image(), progress=False))
    np.testing.assert_allclose(pickle.loads(by_name)(image()), by_factor(image()), atol=1e-5)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 2)  # as where the module there is another version
    with pytest.raises(ValueError, match="the function that was frozen, found one that has changed since"):
        pickle.loads(by_name)(image())
    frozen = sj.freeze_statistics(by_hand, image(), progress=False)
    again = pickle.loads(pickle.dumps(frozen))
    assert np.array_equal(again(image()), frozen(image()))
    assert [one.source for one in again.statistics] == [one.source for one in frozen.statistics]
