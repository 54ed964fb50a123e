"""Tiles of the map that a network is on the image as it is, where its crops and paddings depend on the size."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import shiftjax as sj
from shiftjax.tiling._planning import planner as _planner

KERNEL: Any = (np.random.default_rng(0).integers(-9, 9, (3, 1, 1)) * 2 + 1).astype(np.int32)


def conv(x: Any, padding: str = "SAME") -> Any:
    return lax.conv_general_dilated(x, KERNEL, (1,), padding, dimension_numbers=("NHC", "HIO", "NHC"))


def cropped_by_centre(x: Any) -> Any:
    """Its skip connection is cropped in the middle, which lies elsewhere at every fourth size."""
    low = jnp.repeat(conv(conv(x[:, : x.shape[1] // 4 * 4 : 4], "VALID")), 4, axis=1)
    start = (x.shape[1] - low.shape[1]) // 2
    return low + x[:, start : start + low.shape[1]]


def pooled_up(x: Any) -> Any:
    """Pooled with a padding that depends on the size, so that the last window is whole."""
    extra = -x.shape[1] % 4
    low = jnp.pad(x, ((0, 0), (extra, 0), (0, 0)))[:, ::4]
    return conv(jnp.repeat(low, 4, axis=1)[:, extra:] + conv(x))


def image(size: int) -> Any:
    return jnp.asarray(np.random.default_rng(1).integers(-99, 99, (1, size, 1), dtype=np.int32))


def agrees(fn: Any, size: int) -> bool:
    """Whether tiles over the padded image give, away from the border, what the function gives of the image itself."""
    x = image(size)
    plan = sj.plan_tiles(fn, x.shape, tile=12, dtype=jnp.int32)
    assert plan.equals_whole, plan.why
    assert plan.pad_width[1][0] % plan.period[0] == 0
    axis, whole = sj.certify(fn, x).axes[0], fn(x)
    offset = 0 if axis.out == size else axis.offset
    inside = slice(axis.exact[0], axis.exact[1])
    tiled = sj.predict_tiled(fn, x, plan)[:, inside.start + offset : inside.stop + offset]
    return np.array_equal(tiled, whole[:, inside])


@pytest.mark.parametrize("fn", [cropped_by_centre, pooled_up])
@pytest.mark.parametrize("size", [61, 62])
def test_away_from_the_border_it_is_the_function_of_the_image(fn: Any, size: int) -> None:
    assert agrees(fn, size)


@pytest.mark.parametrize("fn", [cropped_by_centre, pooled_up])
def test_control_a_grid_of_another_size(fn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of a size that was chosen without the image are of another map."""
    monkeypatch.setattr(_planner, "on_the_grid_of", lambda *args: None)
    assert not all(agrees(fn, size) for size in (60, 61, 62, 63))


def test_the_plan_says_which_sizes() -> None:
    plan = sj.plan_tiles(cropped_by_centre, (1, 61, 1), tile=12, dtype=jnp.int32)
    assert "a multiple of the period, and 1 px more" in plan.explain()
