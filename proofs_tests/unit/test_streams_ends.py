"""Streams of padded functions: exact up to both ends of the image, which is not padded itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.certifier.test_random_programs import QUIET
from proofs_tests.support.profiles import examples
from proofs_tests.support.streamed import an_end_off_by_a_step, compare_up_to_the_ends, late
from proofs_tests.unit.test_streams import conv, doubled, pooled
from shiftjax._streams import Stream
from shiftjax.tiling import TilePlan, run_tiles

Layer = Callable[[Any], Any]
RNG = np.random.default_rng(0)
LOWEST = jnp.iinfo(jnp.int32).min


def padded(x: Any, left: int, right: int, mode: str, **options: Any) -> Any:
    return jnp.pad(x, ((0, 0), (left, right), (0, 0)), mode=mode, **options)


def largest(x: Any, stride: int = 1) -> Any:
    return lax.reduce_window(x, LOWEST, lax.max, (1, 3, 1), (1, stride, 1), [(0, 0), (1, 1), (0, 0)])


def average(x: Any) -> Any:
    """Three times what an average is that leaves padding out, in whole numbers."""
    sums = [lax.reduce_window(y, 0, lax.add, (1, 3, 1), (1, 1, 1), "SAME") for y in (x, jnp.ones_like(x))]
    return sums[0] * (7 - sums[1])


def skipped(x: Any) -> Any:
    inner = doubled(conv(pooled(conv(x, padding="SAME") + 2), padding="SAME") + 3)
    return jnp.concatenate([conv(x, padding="SAME") + 1, inner], -1)[..., :2]


LAYERS: dict[str, Layer] = {
    "same": lambda x: conv(x, padding="SAME") + 5,
    "valid": lambda x: conv(x) + 1,
    "causal": lambda x: conv(x, padding=[(4, 0)]) + 7,
    "full": lambda x: conv(x, padding=[(2, 3)]) - 3,
    "dilated": lambda x: conv(x, padding=[(3, 3)], rhs_dilation=(3,)) + 2,
    "strided and back": lambda x: conv(conv(x, stride=2, padding=[(1, 1)]) + 1, lhs_dilation=(2,), padding=[(1, 2)]),
    "reflected": lambda x: conv(padded(x, 2, 1, "reflect")) + 4,
    "mirrored": lambda x: conv(padded(x, 1, 3, "symmetric")),
    "its last pixel": lambda x: conv(padded(x, 3, 2, "edge")) + 6,
    "its last pixel, behind only": lambda x: conv(padded(x, 0, 2, "edge")) + 6,
    "its first pixel, before only": lambda x: conv(padded(x, 2, 0, "edge")) + 6,
    "a number": lambda x: conv(padded(x, 1, 2, "constant", constant_values=9)),
    "the largest": largest,
    "an average": average,
    "added": lambda x: conv(x, padding="SAME") + x,
    "nearest": lambda x: conv(doubled(pooled(largest(x))), padding="SAME"),
    "a skip": skipped,
}


def certificate(fn: Any, n: int) -> sj.Certificate:
    return sj.certify(fn, jax.ShapeDtypeStruct((1, n, 2), jnp.int32))


def in_turn(names: list[str]) -> Layer:
    def fn(x: Any) -> Any:
        for name in names:
            x = LAYERS[name](x)
        return x

    return fn


@pytest.mark.parametrize("name", LAYERS)
def test_every_pixel_is_that_of_the_image_in_one_piece(name: str) -> None:
    assert compare_up_to_the_ends(LAYERS[name], certificate(LAYERS[name], 24), 0, 2, RNG) == ""


@settings(max_examples=max(4, examples() // 5), **QUIET)
@given(st.lists(st.sampled_from(sorted(LAYERS)), min_size=2, max_size=4), st.integers(1, 3), st.integers(0, 3))
def test_random_networks(names: list[str], turns: int, more: int) -> None:
    fn = in_turn(names)
    try:
        cert = certificate(fn, 64 + more)
    except ValueError:  # the network takes no image of this size
        assume(False)
    assert compare_up_to_the_ends(fn, cert, 0, turns, RNG) == ""


@settings(max_examples=max(2, examples() // 10), **QUIET)
@given(st.sampled_from(["same", "causal", "reflected", "a skip", "the largest", "an average"]), st.integers(0, 9))
def test_control_an_end_off_by_a_step(name: str, seed: int) -> None:
    fn, rng = in_turn(["same", name, "same"]), np.random.default_rng(seed)
    assert compare_up_to_the_ends(fn, certificate(fn, 64), 0, 1, rng) == ""
    with pytest.raises(AssertionError, match="differs at an end"):
        compare_up_to_the_ends(fn, certificate(fn, 64), 0, 1, rng, change=an_end_off_by_a_step)


def test_control_a_delay_off_by_one() -> None:
    with pytest.raises(AssertionError, match="differs at an end"):
        compare_up_to_the_ends(skipped, certificate(skipped, 64), 0, 1, RNG, change=late)


def several(x: Any) -> Any:
    y = conv(x, padding="SAME") + 1
    return {"coarse": conv(y, stride=2, padding=[(1, 1)]), "fine": largest(y), "twice": doubled(y)}


@pytest.mark.parametrize("n", [40, 54])
@pytest.mark.parametrize("tile", [6, 100])
def test_plans_give_the_function_itself(n: int, tile: int) -> None:
    image = RNG.integers(-99, 99, (2, n, 2)).astype(np.int32)
    plan = sj.plan_tiles(several, image.shape, tile=tile, pad=None, dtype=jnp.int32, stream=0)
    assert plan.equals_whole
    assert TilePlan.from_json(plan.to_json()) == plan
    ours, whole = sj.predict_tiled(several, image, plan), several(image)
    assert all(np.array_equal(ours[name], whole[name]) for name in whole)
    tiles = sj.plan_tiles(several, image.shape, tile=6, pad=None, dtype=jnp.int32)
    assert tile > 6 or plan.redundancy < tiles.redundancy


@pytest.mark.parametrize("axis", [0, 1])
def test_a_network_with_same_padding_and_tiles_across(axis: int) -> None:
    net = sj.UNet(2, features=2, factors=(2,), convs=1, padding="SAME", param_dtype=jnp.int32)
    image = RNG.integers(-99, 99, (1, 42, 30, 1)).astype(np.int32)
    fn = Partial(net.apply, sj.testing.integer_variables(jax.random.key(0), net, jnp.asarray(image)))
    plan = sj.plan_tiles(fn, image.shape, tile=8, pad=None, dtype=jnp.int32, stream=axis)
    assert min(plan.grid) > 1
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, plan), fn(jnp.asarray(image)))


def test_slices_of_a_volume_in_loops() -> None:
    """Where a network computes slabs of slices in a loop, a stream along it joins what they compute."""
    net = sj.UNet(1, ndim=3, features=1, factors=((2, 1, 1),), convs=1, padding="SAME", param_dtype=jnp.int32)
    shape = jax.ShapeDtypeStruct((1, 40, 8, 8, 1), jnp.int32)
    fn = Partial(net.apply, sj.testing.integer_variables(jax.random.key(0), net, jnp.zeros(shape.shape, jnp.int32)))
    assert compare_up_to_the_ends(fn, sj.certify(fn, shape), 0, 2, RNG) == ""


def test_strips_that_begin_in_the_middle() -> None:
    fn = in_turn(["same", "a skip", "same"])
    image = RNG.integers(-99, 99, (1, 64, 2)).astype(np.int32)
    plan = sj.plan_tiles(fn, image.shape, tile=4, pad=None, dtype=jnp.int32, stream=0)
    whole = np.asarray(fn(image))
    tiles = [(1,), (2,), (7,), (9,), (15,)]
    found = run_tiles(fn, plan, lambda tile: plan.read_input(tile, lambda at: image[(slice(None), *at)]), tiles, tuple)
    for tile, output in found:
        np.testing.assert_array_equal(output, whole[(slice(None), *plan.delivered(tile)[0])])


def halved(x: Any) -> Any:
    """Other ends in either half."""
    n = x.shape[1] // 2
    return jnp.concatenate([conv(x[:, :n], padding="SAME"), conv(x[:, n:], padding="SAME")], 1)


def test_two_ends_inside_are_refused() -> None:
    with pytest.raises(ValueError, match="put together of different maps"):
        Stream(halved, jax.ShapeDtypeStruct((1, 24, 2), jnp.int32), 0, [0], 48)


def test_an_edited_plan_is_refused() -> None:
    fn = LAYERS["same"]
    plan = sj.plan_tiles(fn, (1, 60, 2), tile=8, pad=None, dtype=jnp.int32, stream=0)
    data = json.loads(plan.to_json())
    for entry in ({"leads": [-2]}, {"leads": [1]}):
        other = TilePlan.from_json(json.dumps({**data, **entry}))
        with pytest.raises(ValueError, match="plan again"):
            sj.predict_tiled(fn, np.zeros((1, 60, 2), np.int32), other)
    with pytest.raises(ValueError, match="expected a tile plan"):
        TilePlan.from_json(json.dumps({**data, "image_shape": [1, 5, 2]}))


def looked_up(x: Any, index: Callable[[int], Any], **options: Any) -> Any:
    y = conv(x)
    return jnp.take(y, index(y.shape[1]), axis=1, **options)


def planned(fn: Any, shape: tuple[int, ...] = (1, 60, 2), axis: int = 0) -> TilePlan:
    return sj.plan_tiles(fn, shape, tile=12, pad=None, dtype=jnp.int32, stream=axis)


# What the outputs in the middle read, the first or the last one does not.
ENDS: dict[str, Layer] = {
    "the first pixel twice": lambda x: looked_up(x, lambda n: np.maximum(np.arange(n) - 1, 0)),
    "the last pixel twice": lambda x: looked_up(x, lambda n: np.minimum(np.arange(n) + 1, n - 1)),
    "another pixel": lambda x: looked_up(x, lambda n: np.r_[3, 1:n]),
    "none": lambda x: looked_up(x, lambda n: np.arange(n) + 1, mode="fill", fill_value=7),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_is_looked_up_otherwise_at_an_end_is_refused(name: str) -> None:
    """What a stream would read there is the pixel before the first one, or behind the last."""
    with pytest.raises(ValueError, match="looked up otherwise at its ends"):
        planned(ENDS[name])


def test_control_what_is_looked_up_alike_is_streamed() -> None:
    def fn(x: Any) -> Any:
        return conv(looked_up(x, lambda n: np.arange(n) ^ 1), padding="SAME") + 1

    image = RNG.integers(-99, 99, (1, 60, 2)).astype(np.int32)
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, planned(fn)), fn(image))


def overwritten(x: Any, update: Any, at: int) -> Any:
    return lax.dynamic_update_slice_in_dim(conv(x, padding="SAME") + 5, update, at, axis=1)


@pytest.mark.parametrize("at", [0, 29, 57])
def test_a_constant_written_over_the_image_is_refused(at: int) -> None:
    """Nothing of the image lies there any more, at an end as little as inside."""
    zeros = np.zeros((1, 3, 2), np.int32)
    with pytest.raises(ValueError, match="a part of the axis is overwritten"):
        Stream(lambda x: overwritten(x, zeros, at), jax.ShapeDtypeStruct((1, 60, 2), jnp.int32), 0, [0], 60)


def test_control_the_image_written_over_a_constant_is_streamed() -> None:
    def fn(x: Any) -> Any:
        y, half = conv(x, padding="SAME") + 5, x.shape[1] // 2
        filled = lax.dynamic_update_slice_in_dim(jnp.zeros_like(y), y[:, :half], 0, axis=1)
        return lax.dynamic_update_slice_in_dim(filled, y[:, half:], half, axis=1)

    image = RNG.integers(-99, 99, (1, 60, 2)).astype(np.int32)
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, planned(fn)), fn(image))


LIMITS: dict[Any, tuple[Any, Any]] = {
    jnp.float8_e4m3fn: (-448, 448),  # which has no infinity
    jnp.float16: (-np.inf, np.inf),
    jnp.uint8: (0, 255),
    jnp.bool_: (False, True),
}


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("largest", [False, True])
def test_extremes_at_an_end_of_numbers_of_every_kind(largest: bool, dtype: Any) -> None:
    lowest, highest = (np.array(limit, dtype) for limit in LIMITS[dtype])
    start, reduce = (lowest, lax.max) if largest else (highest, lax.min)

    def fn(x: Any) -> Any:
        return lax.reduce_window(x.astype(dtype), start, reduce, (1, 3, 1), (1, 1, 1), "SAME").astype(jnp.int32)

    image = RNG.integers(0, 2, (1, 60, 2)).astype(np.int32) * 9
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, planned(fn)), fn(image))


def from_five(x: Any, padding: str) -> Any:
    """A sum that starts from 5. Whether what is padded counts as 5, too, is up to XLA."""
    return lax.reduce_window(conv(x), np.int32(5), lax.add, (1, 3, 1), (1, 1, 1), padding)


def test_windows_of_any_function_at_an_end_are_refused() -> None:
    with pytest.raises(ValueError, match="reads beyond the image's ends"):
        planned(lambda x: from_five(x, "SAME"))
    image = RNG.integers(-99, 99, (1, 60, 2)).astype(np.int32)
    control = lambda x: conv(from_five(x, "VALID"), padding="SAME")  # noqa: E731
    np.testing.assert_array_equal(sj.predict_tiled(control, image, planned(control)), control(image))


def blurred(x: Any) -> Any:
    """A same-padded sum of 3 x 3 pixels."""
    return lax.reduce_window(x, 0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_across_the_stream_are_told_apart(axis: int) -> None:
    """Of one map, cut at two places: what a layer pads lies behind another pixel."""

    def fn(x: Any) -> Any:
        x = x.swapaxes(1, 1 + axis)
        return (blurred(x[:, :, :-2]) + blurred(x[:, :, :-1])[:, :, :-1]).swapaxes(1, 1 + axis)

    image = RNG.integers(-99, 99, (1, 36, 36, 2)).astype(np.int32)
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, planned(fn, image.shape, axis)), fn(image))


def beside(x: Any, fills: tuple[int, int]) -> Any:
    """Two parts of one map, of which each is padded across the stream by a number of its own."""
    parts = [jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=fill) for fill in fills]
    return jnp.concatenate([parts[0][:, :10], parts[1][:, 10:]], axis=1)


def test_ends_across_the_stream_that_change_along_it_are_refused() -> None:
    """Exact all along, and yet not one stream."""
    with pytest.raises(ValueError, match="put together of different maps"):
        planned(lambda x: beside(x, (0, 5)), (1, 36, 36, 2))
    image = RNG.integers(-99, 99, (1, 36, 36, 2)).astype(np.int32)
    control = lambda x: beside(x, (5, 5))  # noqa: E731
    np.testing.assert_array_equal(sj.predict_tiled(control, image, planned(control, image.shape)), control(image))


def test_ends_across_the_stream_that_meet() -> None:
    """Rolled around across the stream: a plan of which the function is the same, though these ends have no names."""
    fn = lambda x: jnp.roll(x, 2, axis=2)  # noqa: E731
    image = RNG.integers(-99, 99, (1, 36, 20, 2)).astype(np.int32)
    plan = planned(fn, image.shape)
    assert min(plan.tile_input) < 20
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, plan), fn(image))
    with pytest.raises(ValueError, match="computes something else"):
        sj.predict_tiled(lambda x: jnp.roll(x, 3, axis=2), image, plan)
