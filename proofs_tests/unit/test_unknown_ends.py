"""Functions of whose ends something is not known: nothing may be taken for the same there."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax.certifier import batchwise


def image(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).integers(-99, 99, shape, dtype=np.int32))


def renamed(x: Any) -> Any:
    """The same array, put together from two parts along its columns."""
    return jnp.concatenate([x[:, :, :3], x[:, :, 3:]], 2)


def under_a_row(x: Any, corner: Any) -> Any:
    """A row of zeros, but for its first pixel, in front of the image."""
    row = jnp.zeros((1, 1, x.shape[2], 1), x.dtype).at[:, :, 0].set(corner)
    return renamed(jnp.concatenate([row, x], 1))


def windowed(x: Any, mode: str) -> Any:
    """A window of three columns, padded so."""
    y = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), mode=mode)
    return y[:, :, :-2] + 2 * y[:, :, 1:-1] + 3 * y[:, :, 2:]


def in_halves(x: Any, above: str, below: str) -> Any:
    return jnp.concatenate([windowed(x, above)[:, :5], windowed(x, below)[:, 5:]], 1)


CLOSING_OVER: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...]]] = {
    "what wraps around": (lambda c, x: jnp.concatenate([c * x[:, -1:], x[:, :-1]], 1), (1, 20, 1)),
    "a band in the middle": (lambda c, x: x.at[:, 50:52].add(c), (1, 100, 1)),
    "a corner": (lambda c, x: under_a_row(x, c), (1, 12, 30, 1)),
}


@pytest.mark.parametrize("name", CLOSING_OVER)
def test_a_changed_constant_is_refused_and_planned_anew(name: str) -> None:
    function, shape = CLOSING_OVER[name]
    constant, x = np.array(2, np.int32), image(*shape)
    fn = lambda x: function(jnp.asarray(constant), x)  # noqa: E731
    plan = sj.plan_tiles(fn, shape, pad=None, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(fn, x, plan), fn(x))
    constant[...] = 7
    with pytest.raises(ValueError, match="one that computes something else"):
        sj.predict_tiled(fn, x, plan)
    anew = sj.plan_tiles(fn, shape, pad=None, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(fn, x, anew), fn(x))


HALVES = lambda x: renamed(in_halves(x, "constant", "reflect"))  # noqa: E731


@pytest.mark.parametrize("fn", [lambda x: under_a_row(x, 9), HALVES], ids=["a corner", "halves"])
def test_a_stream_gives_ends_of_another_axis_that_are_not_alike_along_it(fn: Callable[[Any], Any]) -> None:
    x = image(1, 12, 30, 1)
    plan = sj.plan_tiles(fn, x.shape, pad=None, stream=1, tile=4, dtype=jnp.int32)
    assert plan.stream == 1
    assert np.array_equal(sj.predict_tiled(fn, x, plan), fn(x))


def test_a_stream_from_one_half_into_the_other_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an axis along which the function can be computed step by step"):
        sj.plan_tiles(HALVES, (1, 12, 30, 1), pad=None, stream=0, tile=4, dtype=jnp.int32)


def test_control_rows_of_which_all_is_known_are_streamed() -> None:
    fn = lambda x: renamed(windowed(x, "constant"))  # noqa: E731
    x = image(1, 12, 30, 1)
    plan = sj.plan_tiles(fn, x.shape, pad=None, stream=0, tile=4, dtype=jnp.int32)
    assert plan.stream == 0
    assert np.array_equal(sj.predict_tiled(fn, x, plan), fn(x))


def test_images_that_see_the_size_of_their_batch_at_an_end() -> None:
    def fn(x: Any) -> Any:
        batch, _, width, _ = x.shape
        row = jnp.broadcast_to(batch * (1 + jnp.arange(width, dtype=x.dtype) ** 2)[:, None], (batch, 1, width, 1))
        both = renamed(jnp.concatenate([row, x], 1))
        return jnp.concatenate([both[:0], both], 0)

    x = image(1, 12, 30, 1)
    assert not batchwise(fn, x, borders=True)
    assert batchwise(lambda x: renamed(windowed(x, "constant")), x, borders=True)  # control
    plan = sj.plan_tiles(fn, x.shape, pad=None, dtype=jnp.int32)
    assert not plan.batchwise
    given = sj.predict_tiled(fn, x, plan, batch_size=2)  # one tile is one image, however asked for
    assert np.array_equal(given, fn(x))


@pytest.mark.parametrize("parameter", [0, 1])
def test_a_branch_that_a_parameter_chooses_is_not_taken_for_the_first(parameter: int) -> None:
    def branches(p: Any, x: Any) -> Any:
        modes = "constant", "reflect"
        return lax.cond(p > 0, lambda x: in_halves(x, *modes), lambda x: in_halves(x, *modes[::-1]), x)

    fn, x = Partial(branches, jnp.int32(parameter)), image(1, 12, 30, 1)
    with pytest.raises(ValueError, match="no rule for this operation: `cond`"):
        sj.plan_tiles(fn, x.shape, pad=None, stream=1, tile=8, dtype=jnp.int32)
    plan = sj.plan_tiles(fn, x.shape, pad=None, stream=False, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(fn, x, plan), fn(x))


def test_whole_numbers_are_not_rounded_unasked() -> None:
    plan = sj.plan_tiles(lambda x: x, (1, 4, 1))
    held = np.full((1, 4, 1), 2**24, np.int32)
    assert np.array_equal(sj.predict_tiled(lambda x: x, held, plan), held)
    with pytest.raises(ValueError, match="whole numbers that the planned float32 holds, found 16777217"):
        sj.predict_tiled(lambda x: x, held + 1, plan)
    halves = sj.plan_tiles(lambda x: x, (1, 4, 1), dtype=jnp.bfloat16)
    given = np.asarray(sj.predict_tiled(lambda x: x, held + 1, halves))
    assert np.array_equal(given, np.full((1, 4, 1), 2**24, given.dtype))  # control: half precision rounds
