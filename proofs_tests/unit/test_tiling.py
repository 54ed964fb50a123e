"""Tile-and-stitch equals the whole image, bit for bit, where the plan says so; and differs where it says not."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

import shiftjax as sj

NETS: dict[str, dict[str, Any]] = {
    "plain": {"factors": (2, 2)},
    "mixed factors, even kernels": {"factors": ((3, 2), (1, 2)), "kernel_size": (2, 3), "convs": 1},
    "same padding": {"factors": (2,), "padding": "SAME", "convs": 1},
    "crop at every level, nearest": {"factors": (2, 3), "crop": "every", "upsample": "nearest", "convs": 1},
    "three dimensions": {"ndim": 3, "factors": ((1, 2, 2),), "convs": 1},
    "one dimension": {"ndim": 1, "factors": (2, 3)},
    "no pooling": {"factors": ()},
}


def _leaky(x):
    """Injective, so that no pixel's value is lost on the way."""
    return jnp.where(x < 0, 1 - 5 * x, x)


@cache
def _apply(name):
    options = NETS[name]
    net = sj.UNet(2, features=2, param_dtype=jnp.int32, activation=_leaky, **options)
    size = [axis[-1][0] for axis in net.legal_sizes(20)]
    variables = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, *size, 1), jnp.int32))
    return Partial(net.apply, variables)


def _image(*space):
    return jnp.asarray(np.random.default_rng(0).integers(-99, 99, (1, *space, 1), dtype=np.int32))


def _whole(fn, image, plan):
    return fn(jnp.pad(image, plan.pad_width, mode=plan.pad))[plan.whole_crop]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("pad", ["reflect", "edge"])
def test_stitched_equals_the_whole_image(name, pad):
    image = _image(*(29, 22, 17)[: NETS[name].get("ndim", 2)])
    fn = _apply(name)
    plan = sj.plan_tiles(fn, image.shape, tile=12, pad=pad, dtype=jnp.int32)
    assert plan.legal
    assert plan.equals_whole
    stitched = sj.predict_tiled(fn, image, plan)
    assert stitched.dtype == np.int32
    assert stitched.shape == (*image.shape[:-1], 2)
    assert np.array_equal(stitched, jax.jit(_whole, static_argnums=2)(fn, image, _Hashed(plan)))
    assert len(np.unique(stitched)) > 10


class _Hashed:
    """A plan as a static argument."""

    def __init__(self, plan):
        self.pad_width, self.pad, self.whole_crop = plan.pad_width, plan.pad, plan.whole_crop


@pytest.mark.parametrize("tile", [5, 6, 7, 9])
def test_a_stride_off_the_period_differs_from_the_whole_image(tile):
    image = _image(29, 29)
    fn = _apply("plain")
    legal = sj.plan_tiles(fn, image.shape, tile=8, dtype=jnp.int32)
    plan = sj.plan_tiles(fn, image.shape, tile=tile, illegal_tile=True, dtype=jnp.int32)
    assert plan.tile_output == (tile, tile)
    assert not plan.legal
    assert not plan.equals_whole
    assert "no multiple of the period" in plan.why
    assert not np.array_equal(sj.predict_tiled(fn, image, plan), sj.predict_tiled(fn, image, legal))


@settings(max_examples=20, deadline=None)
@given(space=st.tuples(st.integers(1, 40), st.integers(1, 40)), tile=st.integers(1, 30), batch=st.integers(1, 5))
def test_every_image_size_is_covered_once(space, tile, batch):
    """A pointwise function shows where each output pixel comes from."""
    image = jnp.arange(np.prod(space), dtype=jnp.int32).reshape(1, *space, 1)
    plan = sj.plan_tiles(_double, image.shape, tile=tile, dtype=jnp.int32)
    assert plan.redundancy >= 1
    assert np.array_equal(sj.predict_tiled(_double, image, plan, batch_size=batch), 2 * image)


def _double(x):
    return x * 2


def test_tiles_share_a_call_only_where_images_of_a_batch_are_treated_alone():
    image = jnp.asarray(np.random.default_rng(0).integers(-99, 99, (2, 21, 17, 1), dtype=np.int32))
    plan = sj.plan_tiles(_mixing, image.shape, tile=4, dtype=jnp.int32)
    assert not plan.batchwise
    assert plan.equals_whole
    assert np.array_equal(sj.predict_tiled(_mixing, image, plan), _mixing(image))
    with pytest.raises(ValueError, match="may mix the images of a batch"):
        sj.predict_tiled(_mixing, image, plan, batch_size=2)
    assert sj.plan_tiles(_double, image.shape, tile=4, dtype=jnp.int32).batchwise


def _counting(x):
    """Sees how many images there are: from the fourth on, another function."""
    return x + (1 if x.shape[0] > 3 else 0)


def test_the_batch_that_is_proved_is_the_batch_that_is_run():
    """One, two and three images tell nothing of thirteen."""
    image = _image(200)
    plan = sj.plan_tiles(_counting, image.shape, tile=8, dtype=jnp.int32)
    assert sj.plan_tiles(_double, image.shape, tile=8, dtype=jnp.int32).batch_size > 3
    assert (plan.batchwise, plan.batch_size) == (False, 1)
    assert np.array_equal(sj.predict_tiled(_counting, image, plan), image)
    thrifty = sj.plan_tiles(_counting, (1, 24, 1), tile=8, dtype=jnp.int32)
    assert (thrifty.batchwise, thrifty.batch_size) == (True, 3)
    many = sj.plan_tiles(_counting, (1, 40, 1), tile=8, dtype=jnp.int32, illegal_tile=True)
    with pytest.raises(ValueError, match="batch_size"):
        sj.predict_tiled(_counting, _image(40), many, batch_size=5)


def _mixing(x):
    return x - x.sum(0, keepdims=True)


def test_output_lies_over_the_image_where_its_receptive_field_is_centred():
    """Cropping 3 px in front and 3 behind, 2 and 2, moves nothing; stitched, it is the image again."""
    image = _image(21, 18)
    for fn in (_cropped, _padded_even_kernel):
        plan = sj.plan_tiles(fn, image.shape, tile=4, dtype=jnp.int32)
        assert np.array_equal(sj.predict_tiled(fn, image, plan), image)


def _cropped(x):
    return x[:, 3:-3, 2:-2]


def _padded_even_kernel(x):
    """Same padding with a kernel of 2 that reads the pixel itself, and its right neighbour with weight 0."""
    kernel = jnp.zeros((2, 2, 1, 1), x.dtype).at[0, 0].set(1)
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def test_every_image_of_a_batch_is_its_own():
    image = jnp.asarray(np.random.default_rng(0).integers(-99, 99, (3, 14, 11, 1), dtype=np.int32))
    fn = _apply("plain")
    plan = sj.plan_tiles(fn, image.shape, tile=8, dtype=jnp.int32)
    stitched = sj.predict_tiled(fn, image, plan)
    for n in range(3):
        alone = sj.plan_tiles(fn, (1, 14, 11, 1), tile=8, dtype=jnp.int32)
        assert np.array_equal(stitched[n : n + 1], sj.predict_tiled(fn, image[n : n + 1], alone))


def test_a_tile_reads_no_more_than_it_needs():
    plan = sj.plan_tiles(_apply("plain"), (1, 64, 64, 1), tile=8, dtype=jnp.int32)
    assert plan.tile_input == (48, 48)  # what two levels lose, 40 px, and the tile


@pytest.mark.parametrize(
    "fn",
    [lambda x: x[..., 0], lambda x: x.swapaxes(1, 2), lambda x: jnp.moveaxis(x, -1, 1)],
    ids=["no channel", "axes exchanged", "channel first"],
)
def test_an_output_of_another_layout_is_refused(fn):
    with pytest.raises(ValueError, match="`fn`: expected"):
        sj.plan_tiles(fn, (1, 20, 20, 1), tile=8)


def test_another_function_than_planned_is_refused():
    plan = sj.plan_tiles(_double, (1, 20, 20, 1), tile=8)
    with pytest.raises(ValueError, match="plan for this function"):
        sj.predict_tiled(lambda x: x[:, :1, :1], jnp.zeros((1, 20, 20, 1)), plan)


def test_a_function_of_one_size_only_is_tiled_at_that_size_or_refused():
    def fixed(x):
        return x * jnp.ones((1, 20, 20, 1))

    assert sj.plan_tiles(fixed, (1, 50, 50, 1), tile=8).tile_input == (20, 20)
    with pytest.raises(ValueError, match="`fn`: expected a function that takes an image"):
        sj.plan_tiles(fixed, (1, 500, 500, 1), tile=100)


def test_a_wished_tile_is_rounded_down_to_the_period():
    fn = _apply("plain")
    for tile, rounded in [(1, 4), (4, 4), (7, 4), (8, 8), (99, 32)]:
        plan = sj.plan_tiles(fn, (1, 30, 30, 1), tile=tile, dtype=jnp.int32)
        assert plan.tile_output == (rounded, rounded)


def test_a_function_of_its_tile_size_is_not_called_equal_to_the_whole():
    plan = sj.plan_tiles(_times_size, (1, 64, 64, 1), tile=8)
    assert plan.legal
    assert not plan.equals_whole
    assert "another way" in plan.why


def _times_size(x):
    return x * x.shape[1]


def test_the_plan_explains_itself():
    fn = _apply("plain")
    plan = sj.plan_tiles(fn, (1, 30, 26, 1), tile=8, dtype=jnp.int32)
    page = plan.explain()
    assert "16 tiles (4 x 4)" in page
    assert f"{plan.redundancy:.2f}" in page


def test_tiling_compiles_once():
    calls = []

    def counted(x):
        calls.append(x.shape)
        return x + 1

    image = jnp.zeros((1, 37, 41, 1))
    plan = sj.plan_tiles(counted, image.shape, tile=8)
    calls.clear()
    sj.predict_tiled(counted, image, plan)
    sj.predict_tiled(counted, image, plan)
    assert calls.count((plan.batch_size, 8, 8, 1)) == 1  # the other traces are those of the proof, of one tile each
    assert plan.batch_size > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image_shape": (30, 30)}, r"`image_shape`: expected \(batch, \*space, channel\)"),
        ({"image_shape": (1, 0, 30, 1)}, "`image_shape`: expected an integer >= 1, found 0"),
        ({"tile": 0}, "`tile`: expected an integer >= 1, found 0"),
        ({"tile": (8, 8, 8)}, "one integer or 2 of them"),
        ({"pad": "wrap"}, "'reflect', 'edge', 'constant'"),
        ({"spatial_axes": (0, 1)}, "`spatial_axes`"),
    ],
)
def test_bad_plans_are_refused_in_one_sentence(arguments, words):
    with pytest.raises(ValueError, match=words):
        sj.plan_tiles(_double, **{"image_shape": (1, 30, 30, 1), **arguments})


def test_what_cannot_be_tiled_is_refused_with_the_certifiers_reason():
    with pytest.raises(sj.CertificationError):
        sj.plan_tiles(lambda x: x - x.mean(), (1, 30, 30, 1))


def test_another_image_than_planned_is_refused():
    plan = sj.plan_tiles(_double, (1, 30, 30, 1), tile=8)
    with pytest.raises(ValueError, match="make a plan for this image"):
        sj.predict_tiled(_double, jnp.zeros((1, 30, 31, 1)), plan)


def test_nan_is_refused():
    plan = sj.plan_tiles(_double, (1, 30, 30, 1), tile=8)
    with pytest.raises(ValueError, match="1 of 900 that are NaN or infinite"):
        sj.predict_tiled(_double, jnp.zeros((1, 30, 30, 1)).at[0, 3, 4, 0].set(jnp.nan), plan)


def test_partial_functions_are_taken():
    plan = sj.plan_tiles(partial(_scaled, factor=3), (1, 9, 9, 1), tile=4)
    stitched = sj.predict_tiled(partial(_scaled, factor=3), jnp.ones((1, 9, 9, 1)), plan)
    assert np.array_equal(stitched, np.full((1, 9, 9, 1), 3))


def _scaled(x, factor):
    return x * factor
