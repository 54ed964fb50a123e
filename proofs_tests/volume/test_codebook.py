"""One codebook: the sample does not depend on how the volume is cut, codes and nearest codes are those of the whole."""

from __future__ import annotations

from itertools import product

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shiftjax as sj
from shiftjax.clustering import nearest_codes
from shiftjax.volume._segmentation.codebook import Sample, draw, find_codes, join_samples, ranks, seed_of

SEED = seed_of(jax.random.key(3))


def windows(shape, tile):
    """Slices of all tiles, the last ones cut at the volume's end."""
    starts = [range(0, n, t) for n, t in zip(shape, tile, strict=True)]
    return [tuple(slice(a, min(a + t, n)) for a, t, n in zip(at, tile, shape, strict=True)) for at in product(*starts)]


def sample_in_tiles(volume, inside, tile, most, *, order=1, bounded=True):
    """The sample of a volume drawn tile by tile; `below` shrinks as a run over the tiles would shrink it."""
    total = Sample(np.zeros(0, np.uint64), np.zeros((0, volume.shape[-1]), np.float32))
    for at in windows(inside.shape, tile)[::order]:
        below = int(total.rank[-1]) if bounded and len(total.rank) == most else None
        start = [index.start for index in at]
        part = draw(volume[at], inside[at], seed=SEED, start=start, most=most, below=below)
        total = join_samples([total, part], most=most)
    return total


@st.composite
def cut_volumes(draw_):
    ndim = draw_(st.integers(1, 3))
    shape = tuple(draw_(st.integers(1, 9)) for _ in range(ndim))
    rng = np.random.default_rng(draw_(st.integers(0, 2**32)))
    inside = rng.random(shape) < draw_(st.sampled_from([0.0, 0.1, 0.7, 1.0]))
    tiles = [tuple(draw_(st.integers(1, n)) for n in shape) for _ in range(2)]
    return rng.normal(size=(*shape, 2)).astype(np.float32), inside, tiles, draw_(st.integers(1, 40))


@given(cut_volumes())
def test_the_sample_is_that_of_the_whole_however_it_is_cut(case):
    volume, inside, tiles, most = case
    rank = ranks(SEED, (0,) * inside.ndim, inside.shape)
    order = np.argsort(rank[inside])[:most]
    whole = Sample(rank[inside][order], volume[inside][order])
    for tile, direction, bounded in product(tiles, (1, -1), (True, False)):
        found = sample_in_tiles(volume, inside, tile, most, order=direction, bounded=bounded)
        np.testing.assert_array_equal(found.rank, whole.rank)
        np.testing.assert_array_equal(found.embedding, whole.embedding)
    assert len(whole.rank) == min(most, inside.sum())


def test_control_ranks_that_count_from_the_tile_give_another_sample():
    volume, inside = np.random.default_rng(0).normal(size=(12, 12, 1)).astype(np.float32), np.ones((12, 12), bool)

    def wrong(tile):
        parts = [draw(volume[at], inside[at], seed=SEED, start=(0, 0), most=9) for at in windows((12, 12), tile)]
        return join_samples(parts, most=9)

    assert not np.array_equal(wrong((4, 4)).embedding, wrong((6, 6)).embedding)


def test_ranks_are_distinct_uniform_and_uncorrelated():
    rank = ranks(SEED, (5, 7, 0), (16, 16, 64))
    assert len(np.unique(rank)) == rank.size
    expected = rank.size / 16
    for shift in (60, 30, 0):  # high, middle and low bits
        count = np.bincount((rank.ravel() >> np.uint64(shift)).astype(np.int64) & 15, minlength=16)
        assert ((count - expected) ** 2 / expected).sum() < 50  # chi-square with 15 degrees: one in 10 000
    unit = rank / 2.0**64
    for axis in range(3):
        pairs = np.stack([unit.take(range(15), axis).ravel(), unit.take(range(1, 16), axis).ravel()])
        assert abs(np.asarray(np.corrcoef(pairs))[0, 1]) < 0.04


def test_another_key_draws_other_pixels_and_a_key_always_the_same():
    again, other = seed_of(jax.random.key(3)), seed_of(jax.random.key(4))
    assert again == SEED == seed_of(jax.random.PRNGKey(3))
    assert other != SEED
    assert not np.array_equal(ranks(other, (0, 0), (4, 4)), ranks(SEED, (0, 0), (4, 4)))


def test_codes_are_the_modes_of_the_sample():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [4, 0], [0, 5]], np.float32)
    pixels = (centres[rng.integers(0, 3, 600)] + rng.normal(scale=0.1, size=(600, 2))).astype(np.float32)
    sample = draw(pixels, np.ones(600, bool), seed=SEED, start=(0,), most=200)
    codes = find_codes(sample, bandwidth=1.0, seeds=50)
    expected = sj.mean_shift(sample.embedding, bandwidth=1.0, seeds=50)
    np.testing.assert_array_equal(codes, np.asarray(expected.centroids)[np.asarray(expected.valid)])
    assert codes.shape == (3, 2)
    assert np.abs(codes[:, None] - centres).max(-1).min(0).max() < 0.1


def test_an_empty_sample_has_no_codes_and_no_pixel_gets_one():
    nothing = draw(np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), bool), seed=SEED, start=(0, 0), most=5)
    codes = find_codes(nothing, bandwidth=1.0, seeds=5)
    assert codes.shape == (0, 4)
    assert nearest_codes(np.zeros((3, 4), np.float32), codes, bandwidth=1.0, room=6).tolist() == [-1] * 3
    assert nearest_codes(np.zeros((0, 4), np.float32), np.ones((2, 4), np.float32), bandwidth=1.0, room=6).shape == (0,)


def test_a_bandwidth_at_which_no_code_is_found_is_refused():
    """Every pixel would become background."""
    pixels = np.repeat(np.array([1, 6], np.float32), 25)[:, None]
    sample = draw(pixels, np.ones(50, bool), seed=SEED, start=(0,), most=50)
    with pytest.raises(ValueError, match="`bandwidth`: expected a length that float32 can tell beside the embedding"):
        find_codes(sample, bandwidth=1e-18, seeds=10)
    assert len(find_codes(sample, bandwidth=1e-3, seeds=10)) == 2  # control


def test_a_sample_that_does_not_come_to_rest_is_told(monkeypatch):
    slow = lambda *args, **options: sj.mean_shift(*args, **options, max_iter=1)  # noqa: E731
    monkeypatch.setattr("shiftjax.volume._segmentation.codebook.mean_shift", slow)
    pixels = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    sample = draw(pixels, np.ones(50, bool), seed=SEED, start=(0,), most=50)
    with pytest.warns(UserWarning, match="did not come to rest"):
        find_codes(sample, bandwidth=0.5, seeds=10)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("far", [0, 1000])  # far from the origin, and spread so that products would round
def test_every_pixel_gets_its_nearest_code(dtype, far):
    rng = np.random.default_rng(far)
    codes = rng.permutation(np.mgrid[0:9, 0:9].reshape(2, -1).T)[:70].astype(np.float32) * (1 + far // 8) + far
    pixels = (codes[rng.integers(0, 70, 35)] + rng.integers(-1, 2, (35, 2)) / 4).astype(jax.numpy.dtype(dtype))
    square = np.square(pixels[:, None].astype(np.float64) - codes).sum(-1)
    for room in (35, 20_000):
        found = nearest_codes(pixels, codes, bandwidth=0.5, room=room)
        np.testing.assert_array_equal(np.take_along_axis(square, found[:, None], -1)[:, 0], square.min(-1))
        assert found.dtype == np.int32
        assert len(np.unique(found)) > 10


def test_pixels_that_are_not_finite_get_no_code():
    pixels = np.array([[0, 1], [np.nan, 0], [0, np.inf], [1, 0]], np.float32)
    found = nearest_codes(pixels, np.array([[0, 1], [1, 0]], np.float32), bandwidth=1.0, room=4)
    assert found.tolist() == [0, -1, -1, 1]
