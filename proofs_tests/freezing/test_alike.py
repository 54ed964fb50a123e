"""Statistics that look alike and are not: over other axes, of bits, of a function that was edited, of another size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import shiftjax as sj
from shiftjax.certifier import Cut

Fn = Callable[[Any], Any]
RNG = np.random.default_rng(0)
FLOATS = (RNG.normal(3, 2, (1, 16, 12, 4)) * np.arange(1, 5)).astype(np.float32)
INTEGERS = RNG.integers(-50, 50, (1, 16, 12, 1)).astype(np.int32)


def mean(x: Any, *axes: int) -> Any:
    return x.mean(axes, keepdims=True)


def grouped(x: Any) -> Any:
    """Two groups of two channels, normed by other axes than those of a mean before, of the same shape."""
    y = x.reshape(*x.shape[:3], 2, 2)
    other = y.mean((1, 2, 3)).reshape(1, 1, 1, 1, 2)
    spread = ((y * y).mean((1, 2, 4)) - y.mean((1, 2, 4)) ** 2).reshape(1, 1, 1, 2, 1)
    return (y - other + spread).reshape(x.shape)


def crossed(x: Any) -> Any:
    """Squares by group and values by place in the group: of one shape, and no variance."""
    y = x.reshape(*x.shape[:3], 2, 2)
    return (y * ((y * y).mean((1, 2, 4)) - y.mean((1, 2, 3)) ** 2).reshape(1, 1, 1, 2, 1)).reshape(x.shape)


OF_FLOATS: dict[str, tuple[Fn, list[str]]] = {
    "a variance": (lambda x: x * (mean(x * x, 1, 2) - mean(x, 1, 2) ** 2), ["variance"]),  # the control
    "no variance: other axes": (lambda x: x * (mean(x * x, 1, 2, 3) - mean(x, 1, 2) ** 2), ["sum of squares", "sum"]),
    "a variance beside another mean": (
        lambda x: (x - mean(x, 1, 2, 3)) / (mean(x * x, 1, 2) - mean(x, 1, 2) ** 2),
        ["sum", "variance"],
    ),
    "in groups": (grouped, ["sum", "variance"]),
    "no variance: other groups": (crossed, ["sum of squares", "sum"]),
    "more channels than the image": (
        lambda x: (
            x[..., :1] + ((x[..., :1] - mean(x[..., :1], 1, 2) * jnp.arange(1.0, 4)) ** 2).sum((1, 2), keepdims=True)
        ),
        ["sum", "sum of squares"],
    ),
}


@pytest.mark.parametrize("name", OF_FLOATS)
def test_moments_are_told_apart(name: str) -> None:
    fn, operations = OF_FLOATS[name]
    frozen = sj.freeze_statistics(fn, FLOATS, tile=8, progress=False)
    assert [one.operation for one in frozen.statistics] == operations
    np.testing.assert_allclose(frozen(FLOATS), fn(jnp.asarray(FLOATS)), rtol=2e-5, atol=2e-3)


@pytest.mark.parametrize("of", [lax.bitwise_or, lax.bitwise_and])
def test_bits_are_no_truth(of: Any) -> None:
    """Their maximum is another number; of truth values it is the same."""
    start = 0 if of is lax.bitwise_or else -1
    with pytest.raises(sj.CertificationError, match="reduces over an image axis"):
        sj.freeze_statistics(
            lambda x: x + lax.reduce(x, np.int32(start), of, (1, 2))[:, None, None], INTEGERS, progress=False
        )
    fn = lambda x: x * ((x > 49).any() if of is lax.bitwise_or else (x > -60).all())  # noqa: E731
    frozen = sj.freeze_statistics(fn, INTEGERS, progress=False)
    np.testing.assert_array_equal(frozen(INTEGERS), fn(jnp.asarray(INTEGERS)))


def masked(threshold: int, power: int = 1) -> Fn:
    return lambda x: x - jnp.where(x > threshold, x**power, 0).sum((1, 2), keepdims=True)


@pytest.mark.parametrize(
    "other", [masked(30), masked(3, 2), lambda x: x - jnp.where(x < 3, x, 0).sum((1, 2), keepdims=True)]
)
def test_statistics_of_an_edited_function_are_refused(other: Fn, tmp_path: Any) -> None:
    fn, journal = masked(3), tmp_path / "journal.npz"
    frozen = sj.freeze_statistics(fn, INTEGERS, progress=False, journal=journal)
    again = sj.load_statistics(fn, journal)  # the control
    np.testing.assert_array_equal(again(INTEGERS), frozen(INTEGERS))
    with pytest.raises(ValueError, match="expected the function that the statistics are of"):
        sj.load_statistics(other, journal)
    with pytest.raises(ValueError, match="expected passes of the same call"):
        sj.freeze_statistics(other, INTEGERS, progress=False, journal=journal)


def test_a_number_of_pixels_that_meets_what_was_spread_is_that_of_one_size() -> None:
    """Divided before it is spread, the sum is that of the measured image at every size; after it, only at that one."""
    before: Fn = lambda x: x - (x.sum((1, 2), keepdims=True) // (x.shape[1] * x.shape[2])) * jnp.ones_like(x)  # noqa: E731
    after: Fn = lambda x: x - (x.sum((1, 2), keepdims=True) * jnp.ones_like(x)) // (x.shape[1] * x.shape[2])  # noqa: E731
    whole = before(jnp.asarray(INTEGERS))
    frozen = sj.freeze_statistics(before, INTEGERS, progress=False)
    np.testing.assert_array_equal(frozen(INTEGERS[:, :9]), whole[:, :9])
    frozen = sj.freeze_statistics(after, INTEGERS, progress=False)
    np.testing.assert_array_equal(frozen(INTEGERS), whole)
    with pytest.raises(ValueError, match="same statistics at every size"):
        frozen(INTEGERS[:, :9])


def by_channels_last(x: Any) -> Any:
    """Images along the last axis, where the statistics meet them."""
    return (x.transpose(1, 2, 3, 0) - x.sum((1, 2)).T // (x.shape[1] * x.shape[2])).transpose(3, 0, 1, 2)


def scaled_after(x: Any) -> Any:
    pixels = x.shape[1] * x.shape[2]
    return (x * pixels - x.sum((1, 2), keepdims=True)) / pixels


def scaled_by_channel(x: Any) -> Any:
    scale = np.arange(1, x.shape[-1] + 1, dtype=np.float32) / (x.shape[1] * x.shape[2])
    return x.sum((1, 2), keepdims=True) * scale + x * scale


def mixed_by_pixels(x: Any) -> Any:
    """By a matrix, whose numbers are divided by that of the pixels."""
    weights = np.eye(x.shape[-1], dtype=np.float32) / (x.shape[1] * x.shape[2])
    return (x.astype(jnp.float32) - x.max((1, 2), keepdims=True)) @ weights


AT_ONE_SIZE: list[tuple[Fn, int]] = [
    (by_channels_last, 2),
    (scaled_after, 1),
    (scaled_by_channel, 1),
    (mixed_by_pixels, 1),
]


@pytest.mark.parametrize(("fn", "images"), AT_ONE_SIZE)
def test_numbers_of_pixels_of_two_images_are_not_mixed(fn: Fn, images: int) -> None:
    """That of the measured image meets its statistics, or nothing does."""
    frozen = sj.freeze_statistics(fn, INTEGERS, tile=8, progress=False)
    several = np.concatenate([INTEGERS] * images)
    np.testing.assert_allclose(frozen(several), fn(jnp.asarray(several)), rtol=1e-6)  # the control: its size
    with pytest.raises(ValueError, match="at every size, found other"):
        frozen(several[:, :9])


def test_an_output_without_a_proof_is_left_out_and_no_more() -> None:
    fn: Fn = lambda x: (x - mean(x, 1, 2), x - mean(x, 1))  # noqa: E731
    frozen = sj.freeze_statistics(fn, FLOATS, tile=8, progress=False)
    plan = sj.plan_tiles(frozen, FLOATS.shape, tile=8, pad=None)
    assert plan.grid == (2, 2)
    tiled, nothing = sj.predict_tiled(frozen, FLOATS, plan)
    assert nothing is None
    np.testing.assert_allclose(tiled, fn(jnp.asarray(FLOATS))[0], atol=1e-5)


def test_a_loop_beside_the_image_with_the_number_of_pixels() -> None:
    def fn(x: Any) -> Any:
        pixels = x.shape[1] * x.shape[2]
        y, total = lax.fori_loop(0, 2, lambda _, c: (c[0] + 1, c[1] // pixels), (x, x.sum((1, 2), keepdims=True)))
        return y - total

    frozen = sj.freeze_statistics(fn, INTEGERS, progress=False)
    np.testing.assert_array_equal(frozen(INTEGERS), fn(jnp.asarray(INTEGERS)))
    with pytest.raises(ValueError, match="same statistics at every size"):
        frozen(INTEGERS[:, :9])


def test_a_function_that_closes_over_another_value_since_is_refused() -> None:
    factor = [1]
    fn: Fn = lambda x: x * factor[0] - (x * factor[0]).max((1, 2), keepdims=True)  # noqa: E731
    frozen = sj.freeze_statistics(fn, INTEGERS, progress=False)
    part = np.asarray(frozen(INTEGERS[:, :9]))  # the control
    factor[0] = 5
    np.testing.assert_array_equal(frozen(INTEGERS), INTEGERS - INTEGERS.max((1, 2), keepdims=True))
    np.testing.assert_array_equal(frozen(INTEGERS[:, :9]), part)
    with pytest.raises(ValueError, match="found one that has changed since"):
        frozen(INTEGERS[:, :10])


def test_an_array_that_is_written_to_later_counts_as_it_was() -> None:
    weights = np.ones(1, np.int32)
    fn: Fn = lambda x: x * weights - (x * weights).max((1, 2), keepdims=True)  # noqa: E731
    frozen = sj.freeze_statistics(fn, INTEGERS, progress=False)
    whole = np.asarray(fn(jnp.asarray(INTEGERS)))
    weights[:] = 5
    np.testing.assert_array_equal(frozen(INTEGERS), whole)
    assert not np.array_equal(fn(jnp.asarray(INTEGERS)), whole)  # the control
    with pytest.raises(ValueError, match="found one that has changed since"):
        frozen(INTEGERS[:, :9])


@pytest.mark.parametrize(("less", "operations"), [(0, ["variance"]), (1, ["sum", "sum of squares"])])
def test_a_mean_of_many_is_not_over_one_less(less: int, operations: list[str]) -> None:
    """Where the mean is far from 0, E[y^2] n / (n - 1) - E[y]^2 is no variance."""

    def fn(x: Any) -> Any:
        squares = (x * x).sum((1, 2), keepdims=True) / (x.shape[1] * x.shape[2] - less)
        return x * (squares - mean(x, 1, 2) ** 2)

    cut = Cut(fn, jax.ShapeDtypeStruct((1, 3000, 4000, 1), np.float32))
    assert sorted(one.operation for one in cut.statistics) == operations


def test_a_function_that_prints_is_known_again(tmp_path: Any) -> None:
    def fn(x: Any) -> Any:
        most = x.max((1, 2), keepdims=True)
        jax.debug.print("{}", most)
        return x - most

    frozen = sj.freeze_statistics(fn, INTEGERS, progress=False)
    frozen.save(tmp_path / "s.npz")
    np.testing.assert_array_equal(sj.load_statistics(fn, tmp_path / "s.npz")(INTEGERS[:, :9]), frozen(INTEGERS[:, :9]))


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_the_image_as_it_was_given(dtype: Any) -> None:
    """Types that JAX does not have by default are taken as JAX takes them, here and there."""
    image = INTEGERS.astype(dtype)
    fn: Fn = lambda x: x - x.max((1, 2), keepdims=True)  # noqa: E731
    frozen = sj.freeze_statistics(fn, image, progress=False)
    np.testing.assert_array_equal(frozen(image), fn(jnp.asarray(INTEGERS)))
    with pytest.raises(ValueError, match="as the image that was measured has"):
        frozen(image.astype(np.int16))
    if dtype is np.int64:
        plan = sj.plan_tiles(frozen, image.shape, dtype=np.int32, pad=None)
        with pytest.raises(ValueError, match="found int64; convert it to int32, if that holds its values"):
            sj.predict_tiled(frozen, image, plan)
        with pytest.raises(ValueError, match="values that int32 holds, found int64"):
            sj.freeze_statistics(fn, image + 2**40, progress=False)


def test_a_flat_image_has_a_length_and_no_variance() -> None:
    flat = np.full_like(FLOATS, 2)
    fn: Fn = lambda x: x / jnp.sqrt((x * x).sum((1, 2), keepdims=True))  # noqa: E731
    frozen = sj.freeze_statistics(fn, flat, progress=False)
    np.testing.assert_allclose(frozen(flat), fn(jnp.asarray(flat)), rtol=1e-6)
    with pytest.raises(ValueError, match="zero variance"):
        sj.freeze_statistics(OF_FLOATS["a variance"][0], flat, progress=False)
