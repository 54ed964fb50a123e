"""Windows beyond the border hold what the padded image holds there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftjax.tiling._padding import PADS, read_window


@st.composite
def cases(draw):
    ndim = draw(st.integers(1, 3))
    space = tuple(draw(st.integers(1, 7)) for _ in range(ndim))
    start = tuple(draw(st.integers(-20, n)) for n in space)
    size = tuple(draw(st.integers(1, 25)) for _ in space)
    return space, start, size


def _windows(case, pad):
    """The window as it is read, and as it is cut from the padded image."""
    space, start, size = case
    image = np.random.default_rng(0).integers(1, 999, (2, *space, 3))
    found = read_window(lambda at: image[(slice(None), *at)], space, start, size, pad)
    margin = [(0, 0), *((40, 40) for _ in space), (0, 0)]
    at = tuple(slice(40 + a, 40 + a + n) for a, n in zip(start, size, strict=True))
    return found, np.pad(image, margin, mode=pad)[(slice(None), *at)]


@pytest.mark.parametrize("pad", PADS)
@settings(max_examples=60)
@given(cases())
def test_a_window_of_the_padded_image(pad, case):
    found, wanted = _windows(case, pad)
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


def test_control_the_three_ways_to_go_on_differ():
    found = [_windows(((6,), (-3,), (5,)), pad)[0].tobytes() for pad in PADS]
    assert len(set(found)) == 3


def test_only_pixels_of_the_image_are_read():
    asked = []

    def read(at):
        asked.append(at)
        return np.zeros((1, *(s.stop - s.start for s in at), 1))

    read_window(read, (10, 10), (-4, 7), (6, 9), "reflect")
    assert all(0 <= s.start < s.stop <= 10 for at in asked for s in at)
    read_window(read, (10, 10), (2, 3), (4, 5), "reflect")
    assert asked[-1] == (slice(2, 6), slice(3, 8))
