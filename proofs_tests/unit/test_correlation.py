"""The forms of a correlation that the CPU runs fast, against the one that says what it is; in int32, bit for bit."""

import jax.numpy as jnp
import numpy as np
import pytest

from shiftjax.nets import correlation

CASES = {
    "few features of many channels": ((9, 8), (3, 2), 40, 3),
    "channels that do not divide evenly": ((7, 7), (3, 3), 17, 16),
    "many features": ((7, 7), (3, 3), 17, 17),
    "three dimensions": ((6, 7, 8), (3, 2, 1), 2, 3),
    "three dimensions, even depth, many channels": ((6, 5, 6), (4, 3, 2), 35, 2),
    "one dimension": ((12,), (3,), 33, 2),
}


def _arrays(space, window, channels, features):
    rng = np.random.default_rng(0)
    draw = lambda shape: jnp.asarray(rng.integers(-(2**31), 2**31, shape, np.int32))  # noqa: E731
    return draw((2, *space, channels)), draw((*window, channels, features))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_all_forms_give_the_same_sums(case, padding):
    x, kernel = _arrays(*case)
    wanted = correlation._direct(x, kernel, padding)
    found = correlation.correlate(x, kernel, padding)
    assert found.shape == wanted.shape
    assert np.array_equal(found, wanted)


def test_control_a_piece_that_is_left_out_shows():
    x, kernel = _arrays(*CASES["few features of many channels"])
    less = kernel.at[..., correlation.FEW :, :].set(0)
    assert not np.array_equal(correlation.correlate(x, less, "VALID"), correlation._direct(x, kernel, "VALID"))
