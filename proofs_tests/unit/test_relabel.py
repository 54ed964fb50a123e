"""Consecutive labels, against numpy.unique."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shiftjax._numbering import consecutive
from shiftjax.fitting._data.pictures import pictures_of
from shiftjax.labelling import relabel


def reference(labels):
    """Image by image, the place of each label among the sorted ones, 0 always first."""
    out = np.zeros(labels.shape, np.int32)
    for image, new in zip(labels, out, strict=True):
        labels_of_image = sorted({0} | set(image.ravel().tolist()))
        for i in np.ndindex(image.shape):
            new[i] = labels_of_image.index(int(image[i]))
    return out


SHAPES = st.sampled_from(((1, 1), (2, 5), (2, 3, 4)))
SMALL = hnp.arrays(np.int32, SHAPES, elements=st.integers(0, 9))
LARGE = hnp.arrays(np.uint64, SHAPES, elements=st.sampled_from((0, 1, 7, 2**31, 2**32, 2**32 + 1, 2**63, 2**64 - 1)))


@given(SMALL | LARGE)
@settings(max_examples=100, deadline=None)
def test_labels_become_their_ranks(labels):
    new = relabel(labels)
    assert new.dtype == jnp.int32
    np.testing.assert_array_equal(new, reference(labels))
    np.testing.assert_array_equal(relabel(new), new)
    for image, old in zip(new, labels, strict=True):
        assert jnp.max(image) == len(set(old.ravel().tolist()) - {0})


def test_images_are_numbered_apart():
    labels = np.array([[0, 5, 5], [9, 5, 0]])
    np.testing.assert_array_equal(relabel(labels), [[0, 1, 1], [2, 1, 0]])
    np.testing.assert_array_equal(relabel(labels.reshape(1, -1)), [[0, 1, 1, 2, 1, 0]])  # control: one image
    np.testing.assert_array_equal(relabel(np.array([[0, 5, 5], [9, 7, 0]])), [[0, 1, 1], [2, 1, 0]])


def test_the_same_under_jit_where_negative_labels_stay_out_of_range():
    labels = np.random.default_rng(0).integers(0, 20, (2, 8, 8))
    np.testing.assert_array_equal(jax.jit(relabel)(labels), relabel(labels))
    np.testing.assert_array_equal(jax.jit(relabel)(np.array([[-7, 4, 0, -1]])), [[-1, 1, 0, -1]])


@pytest.mark.parametrize(
    ("labels", "error", "sentence"),
    [
        (np.array([[0, -2]]), ValueError, "`labels`: expected integers >= 0, found labels down to -2"),
        (np.array([[0.0, 1.0]]), TypeError, "`labels`: expected integers, found float64"),
        (np.array([[True]]), TypeError, "`labels`: expected integers, found bool"),
        (np.array([0, 1]), ValueError, r"`labels`: expected a shape \(batch, \*space\), found \(2,\)"),
    ],
)
def test_bad_labels_are_refused(labels, error, sentence):
    with pytest.raises(error, match=sentence):
        relabel(labels)


def test_huge_labels_stay_apart_on_the_host():
    """Beside an int64 zero, uint64 becomes float64, which joins neighbours from 2^53 on: that is the control."""
    labels = np.array([[0, 2**63 + 1, 2**63]], np.uint64)
    assert consecutive(labels).tolist() == [[0, 2, 1]]
    assert consecutive(labels[:, 1:]).tolist() == [[2, 1]]
    assert len(np.unique(np.append(labels, 0))) == 2
    (picture,) = pictures_of("labels", labels)
    held = picture.numbered().read(picture.everything)
    assert held.ravel().tolist() == [0, 2, 1]


@pytest.mark.parametrize("shape", [(0, 4, 4), (2, 0), (1, 4, 0)])
def test_no_pixels_have_no_labels(shape):
    assert relabel(np.zeros(shape, np.int64)).shape == jax.jit(relabel)(np.zeros(shape, np.int32)).shape == shape
    assert relabel(np.zeros((1, 1), np.int64)).tolist() == [[0]]  # control
