"""Windows beyond the border hold what the padded image holds there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftjax.tiling import PADS, read_window, zero_outside


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
    window = read_window(lambda slices: image[(slice(None), *slices)], space, start, size, pad)
    margin = [(0, 0), *((40, 40) for _ in space), (0, 0)]
    slices = tuple(slice(40 + a, 40 + a + n) for a, n in zip(start, size, strict=True))
    return window, np.pad(image, margin, mode=pad)[(slice(None), *slices)]


@pytest.mark.parametrize("pad", PADS)
@settings(max_examples=60)
@given(cases())
def test_a_window_of_the_padded_image(pad, case):
    window, expected = _windows(case, pad)
    assert window.dtype == expected.dtype
    assert np.array_equal(window, expected)


def test_control_the_three_ways_to_continue_differ():
    windows = [_windows(((6,), (-3,), (5,)), pad)[0].tobytes() for pad in PADS]
    assert len(set(windows)) == 3


@settings(max_examples=60)
@given(cases())
def test_zeros_outside_the_image(case):
    """What preprocessing made of a border of zeros is set to zero again."""
    window, zeros = (_windows(case, pad)[0] for pad in ("edge", "constant"))
    space, start, _ = case
    zero_outside(window, space, start)
    assert np.array_equal(window, zeros)


def test_only_pixels_of_the_image_are_read():
    calls = []

    def read(slices):
        calls.append(slices)
        return np.zeros((1, *(s.stop - s.start for s in slices), 1))

    read_window(read, (10, 10), (-4, 7), (6, 9), "reflect")
    assert all(0 <= s.start < s.stop <= 10 for slices in calls for s in slices)
    read_window(read, (10, 10), (2, 3), (4, 5), "reflect")
    assert calls[-1] == (slice(2, 6), slice(3, 8))
