"""Functions of several outputs, and tiles chosen by memory."""

import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax.testing import integer_variables
from shiftjax.tiling._compiled import CompiledFunction


@cache
def _net():
    net = sj.UNet(3, features=2, factors=(2,), convs=1, param_dtype=jnp.int32)
    return Partial(
        net.apply, integer_variables(jax.random.key(0), net, jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.int32))
    )


def _heads(x):
    """Outputs whose receptive fields, periods and places differ."""
    y = _net()(x)
    three = jnp.repeat(x[:, : x.shape[1] // 3 * 3 : 3, : x.shape[2] // 3 * 3 : 3], 3, 1).repeat(3, 2)
    return {"embedding": y, "edge": x[:, 2:, 1:] - x[:, :-2, :-1], "coarse": (three.astype(jnp.float32),)}


def _image(*space):
    return np.random.default_rng(0).integers(-99, 99, (1, *space, 1), dtype=np.int32)


@pytest.fixture(scope="module")
def heads():
    _net()  # made here, as its weights are drawn on the host
    image = _image(40, 31)
    return image, sj.plan_tiles(_heads, image.shape, tile=12, dtype=jnp.int32)


def test_every_output_equals_the_whole_image(heads):
    image, plan = heads
    assert plan.equals_whole, plan.why
    assert plan.period == (6, 6)
    stitched = sj.predict_tiled(_heads, image, plan)
    whole = jax.tree.leaves(_heads(jnp.pad(image, plan.pad_width, mode=plan.pad or "edge")))
    assert set(stitched) == {"embedding", "edge", "coarse"}
    assert isinstance(stitched["coarse"], tuple)
    for y, expected, output in zip(jax.tree.leaves(stitched), whole, plan.outputs, strict=True):
        assert y.shape == (1, 40, 31, output.channels)
        assert y.dtype == output.dtype
        assert np.array_equal(y, expected[output.whole_crop])


def test_control_tiles_off_the_common_period_differ(heads):
    image, _ = heads
    plan = sj.plan_tiles(_heads, image.shape, tile=8, dtype=jnp.int32, illegal_tile=True)
    assert not plan.equals_whole
    whole = jax.tree.leaves(_heads(jnp.pad(image, plan.pad_width, mode=plan.pad or "edge")))
    stitched = jax.tree.leaves(sj.predict_tiled(_heads, image, plan))
    same = [np.array_equal(y, w[o.whole_crop]) for y, w, o in zip(stitched, whole, plan.outputs, strict=True)]
    assert dict(zip([o.name for o in plan.outputs], same, strict=True)) == {
        "['coarse'][0]": False,
        "['edge']": True,
        "['embedding']": True,
    }


def test_outputs_are_named(heads):
    _, plan = heads
    assert [(o.name, o.channels, o.dtype) for o in plan.outputs] == [
        ("['coarse'][0]", 1, "float32"),
        ("['edge']", 1, "int32"),
        ("['embedding']", 3, "int32"),
    ]
    assert [o["name"] for o in json.loads(plan.to_json())["outputs"]] == [o.name for o in plan.outputs]
    with pytest.raises(AttributeError, match="3 outputs"):
        _ = plan.crop


def test_the_tile_grows_with_the_memory():
    shape, redundancies = (1, 400, 300, 1), []
    for memory in (200_000, 2_000_000, 40_000_000):
        plan = sj.plan_tiles(_net(), shape, memory_bytes=memory, dtype=jnp.int32)
        tile = jax.ShapeDtypeStruct((1, *plan.tile_input, 1), jnp.int32)
        estimate = CompiledFunction.of(_net()).memory_estimate(tile)
        call, moved = sum(estimate), estimate.tiles + estimate.outputs
        assert plan.memory is not None
        assert plan.memory == max(call, int((call + 2 * moved) / 1.3))
        assert plan.memory <= memory
        assert plan.batch_size * plan.memory <= memory
        redundancies.append(plan.redundancy)
    assert redundancies[0] > redundancies[1] > redundancies[2]
    assert plan.grid == (1, 1)


def test_a_memory_that_is_too_small():
    with pytest.raises(ValueError, match=r"`memory_bytes`: expected at least \d+, which the smallest tile takes"):
        sj.plan_tiles(_net(), (1, 100, 100, 1), memory_bytes=1000, dtype=jnp.int32)
    with pytest.raises(ValueError, match=r"`memory_bytes`: expected at least \d+, which a tile of 64 x 64 px takes"):
        sj.plan_tiles(_net(), (1, 100, 100, 1), tile=64, memory_bytes=20_000, dtype=jnp.int32)


def test_another_function_is_refused():
    plan = sj.plan_tiles(_net(), (1, 40, 40, 1), tile=8, dtype=jnp.int32)
    with pytest.raises(ValueError, match="`fn`: expected the planned outputs"):
        sj.predict_tiled(lambda x: x, _image(40, 40), plan)


def test_leaves_that_are_no_arrays_stay_part_of_the_function():
    def scaled(factor, activation, x):
        return activation(factor * x)

    fn = Partial(scaled, jnp.int32(3), jnp.abs)
    plan = sj.plan_tiles(fn, (1, 9, 9, 1), tile=4, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(fn, _image(9, 9), plan), np.abs(3 * _image(9, 9)))
