"""The planner's choice among legal tiles, against all tiles there are."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftjax.tiling._planning.cheapest import MAX_TRIALS, PIXELS, candidates, moderate, within_bytes, within_pixels


def _cost(space, tile, halo):
    return math.prod(-(-n // t) * (t + h) for n, t, h in zip(space, tile, halo, strict=True))


problems = st.integers(1, 2).flatmap(
    lambda d: st.tuples(*(st.tuples(*[st.integers(*ends)] * d) for ends in ((1, 60), (1, 8), (0, 30))))
)


@settings(max_examples=60)
@given(problems, st.integers(1, 4000))
def test_no_legal_tile_is_cheaper(problem, limit):
    space, period, halo = problem
    tile = within_pixels(candidates(space, period, halo), limit)
    assert all(t % p == 0 for t, p in zip(tile, period, strict=True))
    pixels = math.prod(t + h for t, h in zip(tile, halo, strict=True))
    every = itertools.product(*(range(p, n + p, p) for n, p in zip(space, period, strict=True)))
    fitting = [other for other in every if math.prod(t + h for t, h in zip(other, halo, strict=True)) <= limit]
    if fitting:
        assert pixels <= limit
        assert _cost(space, tile, halo) == min(_cost(space, other, halo) for other in fitting)
    else:
        assert tile == period


@settings(max_examples=60)
@given(problems, st.floats(1.0, 3.0), st.integers(0, 10**6), st.integers(10, 10**5), st.integers(0, 10**6))
def test_a_tile_that_fits_the_memory(problem, power, fixed, surface, room):
    """Whatever the bytes grow like, at most 8 trials find a tile that fits, if the smallest does."""
    space, period, halo = problem
    trials = []

    def estimate(size):
        trials.append(size)
        return fixed + surface + int(math.prod(size) ** power)

    limit = estimate(tuple(p + h for p, h in zip(period, halo, strict=True))) + room
    trials.clear()
    tile = within_bytes(candidates(space, period, halo), estimate, fixed, limit)
    assert len(trials) <= MAX_TRIALS
    assert estimate(tuple(t + h for t, h in zip(tile, halo, strict=True))) <= limit


def test_a_deep_network_in_3d_does_not_compute_everything_hundreds_of_times():
    """Its smallest tile is most of a million voxels; of one a little larger, each voxel would be computed 500 times."""
    space, period, halo = (500,) * 3, (8,) * 3, (88,) * 3
    tiles = candidates(space, period, halo)
    tile = within_pixels(tiles, moderate(tiles, 1))
    work = _cost(space, tile, halo) / math.prod(space)
    assert work < 9
    assert 50 * work < _cost(space, within_pixels(tiles, PIXELS), halo) / math.prod(space)  # the control
    assert moderate(candidates((5000, 5000), (16, 16), (184, 184)), 1) == PIXELS  # in 2-D a million is plenty


def test_most_of_the_memory_is_used():
    tiles = candidates((5000, 5000), (16, 16), (184, 184))
    tile = within_bytes(tiles, lambda size: 10**6 + 40 * math.prod(size), 10**6, 2**27)
    best = min(
        _cost((5000, 5000), tiles.output(k), (184, 184)) for k in range(len(tiles.inputs)) if _fits(tiles.input(k))
    )
    assert _cost((5000, 5000), tile, (184, 184)) == best


def _fits(size):
    return 10**6 + 40 * math.prod(size) <= 2**27


def test_no_tile_fits():
    tiles = candidates((100,), (4,), (10,))
    with pytest.raises(ValueError, match="at least 1014, which the smallest tile takes, found 1000"):
        within_bytes(tiles, lambda size: 1000 + size[0], 1000, 1000)


def test_candidates_cut_the_image_evenly():
    tiles = candidates((100,), (8,), (3,))
    expected = {8 * -(-13 // k) for k in range(1, 14)}
    assert {tiles.output(k)[0] for k in range(len(tiles.outputs))} == expected
    assert np.array_equal(tiles.inputs, tiles.outputs + 3)
