"""Connected components against SciPy's labelling of one code at a time."""

from __future__ import annotations

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import ndimage

from shiftjax.labelling import connected_components, drop_small


@pytest.fixture
def own_errors():
    """Lets bad arguments reach the library's own checks, past the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def one_code_at_a_time(image, background):
    """Regions of every code, renumbered by their first pixel."""
    regions, count = np.zeros(image.shape, np.int64), 0
    for code in np.unique(image):
        if code != background:
            of_code, number = ndimage.label(image == code)
            regions[of_code > 0] = of_code[of_code > 0] + count
            count += number
    order = list(dict.fromkeys(regions[regions > 0].tolist()))
    return np.array([0, *[1 + order.index(i) for i in range(1, count + 1)]])[regions]


@pytest.mark.parametrize("shape", [(3, 50), (2, 17, 23), (2, 7, 8, 9)])
@pytest.mark.parametrize("background", [0, -1])
def test_regions_are_those_of_each_code(shape, background):
    codes = np.random.default_rng(len(shape)).integers(-1, 3, shape)
    labels = connected_components(codes, background=background)
    expected = np.stack([one_code_at_a_time(image, background) for image in codes])
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)
    assert labels.max() > 8


def test_touching_codes_stay_apart_and_corners_do_not_join():
    codes = np.array([[[1, 2, 2], [1, 2, 0], [0, 0, 2]]])
    assert connected_components(codes).tolist() == [[[1, 2, 2], [1, 2, 0], [0, 0, 3]]]


def test_each_image_starts_at_one():
    codes = jnp.array([[[5, 5]], [[0, 9]], [[0, 0]]])
    assert connected_components(codes).tolist() == [[[1, 1]], [[0, 1]], [[0, 0]]]


def test_small_objects_go_and_the_others_keep_their_labels():
    labels = np.array([[[7, 7, 7, 0], [3, 0, 9, 9]], [[3, 3, 3, 3], [7, 0, 0, 0]]], np.uint16)
    large = drop_small(labels, min_size=3)
    assert large.dtype == labels.dtype
    assert large.tolist() == [[[7, 7, 7, 0], [0, 0, 0, 0]], [[3, 3, 3, 3], [0, 0, 0, 0]]]
    np.testing.assert_array_equal(drop_small(labels, min_size=1), labels)
    np.testing.assert_array_equal(drop_small(0 * labels, min_size=5), 0 * labels)


@pytest.mark.usefixtures("own_errors")
def test_bad_input_is_refused_in_words():
    with pytest.raises(ValueError, match="integers"):
        connected_components(np.ones((1, 3, 3)))
    with pytest.raises(ValueError, match="batch"):
        connected_components(np.ones(3, int))
    with pytest.raises(ValueError, match="labels >= 0"):
        drop_small(-np.ones((1, 3, 3), int), min_size=2)
    with pytest.raises(ValueError, match="`min_size`"):
        drop_small(np.ones((1, 3, 3), int), min_size=-2)
