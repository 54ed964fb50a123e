"""The operators against plain NumPy loops, in int32, bit for bit."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftjax.nets import operators


def _random(seed, *shape):
    return np.random.default_rng(seed).integers(-50, 50, shape, dtype=np.int32)


def _blocks(shape, factors):
    return itertools.product(*(range(n // f) for n, f in zip(shape, factors, strict=True)))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3), st.integers(0, 99))
def test_max_pool_is_the_maximum_of_each_block(axes, seed):
    blocks, factors = zip(*axes, strict=True)
    x = _random(seed, 2, *(n * f for n, f in axes), 3)
    expected = np.empty((2, *blocks, 3), np.int32)
    for block in _blocks(x.shape[1:-1], factors):
        window = tuple(slice(i * f, (i + 1) * f) for i, f in zip(block, factors, strict=True))
        expected[(slice(None), *block)] = x[(slice(None), *window)].reshape(2, -1, 3).max(1)
    assert np.array_equal(operators.max_pool(jnp.asarray(x), factors), expected)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3), st.integers(0, 99))
def test_learned_upsampling_writes_one_block_per_pixel(axes, seed):
    space, factors = zip(*axes, strict=True)
    x, kernel, bias = _random(seed, 2, *space, 3), _random(seed + 1, *factors, 3, 4), _random(seed + 2, 4)
    y = operators.upsample_learned(*map(jnp.asarray, (x, kernel, bias)))
    assert y.shape == (2, *(n * f for n, f in axes), 4)
    for at in itertools.product(*map(range, y.shape[1:-1])):
        block, inside = zip(*(divmod(i, f) for i, f in zip(at, factors, strict=True)), strict=True)
        assert np.array_equal(y[(slice(None), *at)], x[(slice(None), *block)] @ kernel[inside] + bias)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3), st.integers(0, 99))
def test_nearest_upsampling_repeats(axes, seed):
    space, factors = zip(*axes, strict=True)
    x = _random(seed, 1, *space, 2)
    expected = x
    for axis, factor in enumerate(factors, start=1):
        expected = np.repeat(expected, factor, axis)
    assert np.array_equal(operators.upsample_nearest(jnp.asarray(x), factors), expected)


@pytest.mark.parametrize("kernel", [(1,), (2,), (3,), (2, 3), (3, 1), (2, 1, 3)])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_convolution_is_a_sum_over_the_window(kernel, padding):
    x, weights, bias = _random(0, 2, *(5,) * len(kernel), 2), _random(1, *kernel, 2, 3), _random(2, 3)
    y = operators.convolve(*map(jnp.asarray, (x, weights, bias)), padding=padding)
    around = [((k - 1) // 2, k - 1 - (k - 1) // 2) if padding == "SAME" else (0, 0) for k in kernel]
    wide = np.pad(x, [(0, 0), *around, (0, 0)])
    for at in itertools.product(*map(range, y.shape[1:-1])):
        window = wide[(slice(None), *(slice(i, i + k) for i, k in zip(at, kernel, strict=True)))]
        assert np.array_equal(y[(slice(None), *at)], window.reshape(2, -1) @ weights.reshape(-1, 3) + bias)


def test_crop_is_a_slice():
    x = _random(0, 2, 7, 6, 3)
    assert np.array_equal(operators.crop(jnp.asarray(x), (1, 2), (4, 3)), x[:, 1:5, 2:5])


@pytest.mark.parametrize("factors", [(3,), (5,), (2, 2), ()])
def test_a_pool_of_other_blocks_is_refused(factors):
    """Of 4 px by 3, slices of 2 and of 1 px would be broadcast; a factor too many would pool channels."""
    x = jnp.arange(8).reshape(1, 4, 2)
    with pytest.raises(ValueError, match=r"`factors`: expected one for each of the axes \(4,\), which divides it"):
        operators.max_pool(x, factors)
    assert operators.max_pool(x, (2,)).tolist() == [[[2, 3], [6, 7]]]  # control


@pytest.mark.parametrize("padding", ["valid", "same", "SAME_LOWER"])
def test_another_padding_is_refused(padding):
    """Not all forms of a convolution would take it for the same one."""
    x, kernel = jnp.ones((1, 8, 8, 1)), jnp.ones((3, 3, 1, 2))
    with pytest.raises(ValueError, match="`padding`: expected one of 'VALID', 'SAME', found"):
        operators.convolve(x, kernel, padding=padding)
    with pytest.raises(ValueError, match="`padding`: expected one of"):
        operators.convolve_in_turn([x], [(kernel, jnp.ones(2))], jnp.abs, padding=padding)
    assert operators.convolve(x, kernel).shape == (1, 6, 6, 2)  # control
