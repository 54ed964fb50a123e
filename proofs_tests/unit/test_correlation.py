"""The forms of a correlation that the CPU runs fast, against the one that says what it is; in int32, bit for bit."""

import re
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from shiftjax.nets import _correlation as correlation
from shiftjax.nets import _forms as forms
from shiftjax.nets import _slabs as slabs
from shiftjax.nets import operators

CASES = {
    "few features of many channels": ((9, 8), (3, 2), 40, 3),
    "channels that do not divide evenly": ((7, 7), (3, 3), 17, 16),
    "many features": ((7, 7), (3, 3), 17, 17),
    "few channels": ((9, 8), (3, 2), 3, 7),
    "three rows as channels": ((9, 8), (3, 3), 16, 33),
    "deep": ((6, 7), (3, 2), 64, 65),
    "one pixel": ((5, 6), (1, 1), 4, 3),
    "three dimensions": ((6, 7, 8), (3, 2, 1), 2, 3),
    "three dimensions, even depth, many channels": ((6, 5, 6), (4, 3, 2), 35, 2),
    "three dimensions, one slice left": ((3, 5, 6), (3, 3, 2), 2, 2),
    "three dimensions, one pixel": ((5, 6, 3), (1, 1, 1), 4, 3),
    "three dimensions, in slabs": ((35, 5, 6), (4, 3, 2), 3, 2),
    "three dimensions, in as many slabs as there may be": ((300, 3, 4), (3, 3, 2), 1, 2),
    "one dimension": ((12,), (3,), 33, 2),
}


def _draw(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).integers(-(2**31), 2**31, shape, np.int32))


def _arrays(space, window, channels, features):
    return _draw(2, *space, channels), _draw(*window, channels, features)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_all_forms_give_the_same_sums(case, padding):
    x, kernel = _arrays(*case)
    expected = forms.direct(x, kernel, padding)
    y = correlation.correlate(x, kernel, padding)
    assert y.shape == expected.shape
    assert np.array_equal(y, expected)


@pytest.mark.parametrize(
    "form",
    [forms.sum_of_products, forms.rows_as_channels, forms.without_copies, forms.for_kernels, forms.for_images],
)
@pytest.mark.parametrize("case", ["few channels", "three rows as channels"])
def test_forms_of_an_image_give_the_same_sums(form, case):
    """Also those that whole numbers, or this XLA, are not handed to."""
    x, kernel = _arrays(*CASES[case])
    assert np.array_equal(form(x, kernel, "VALID"), forms.direct(x, kernel))
    assert not np.array_equal(form(x, kernel.at[-1, -1, -1].add(1), "VALID"), forms.direct(x, kernel))
    if form in (forms.sum_of_products, forms.for_kernels, forms.for_images):
        assert np.array_equal(form(x, kernel, "SAME"), forms.direct(x, kernel, "SAME"))


@pytest.mark.parametrize(("channels", "features"), [(1, 16), (3, 32), (3, 64), (16, 32), (64, 64), (32, 16)])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("copies", [True, False])
def test_the_table_by_shape(channels, features, padding, copies, monkeypatch):
    """Values, gradients and certificates are those of the plain form, whichever XLA runs it."""
    monkeypatch.setattr(forms, "COPIES_WINDOWS", copies)
    x, kernel = (jnp.float32(_draw(*shape) % 3) for shape in ((1, 6, 5, channels), (3, 3, channels, features)))

    def fast(x, kernel):
        return correlation.correlate(x, kernel, padding)

    def plain(x, kernel):
        return forms.direct(x, kernel, padding)

    for one, other in (
        (fast, plain),
        *((jax.grad(lambda *a, f=f: (f(*a) ** 2).sum(), (0, 1)) for f in (fast, plain)),),
    ):
        for a, b in zip(*map(jax.tree.leaves, (one(x, kernel), other(x, kernel))), strict=True):
            assert np.array_equal(a, b)
    proved, expected = (sj.certify(jax.tree_util.Partial(f, kernel=kernel), x) for f in (fast, plain))
    assert proved.axes == expected.axes


CHANNELS_LAST = {1: "[b, 0, f]x[0, i, o]->[b, 0, f]", 2: "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"}


def layouts_of_gradient(correlate, x, kernel):
    """Of the convolutions in a gradient through a function that is compiled on its own, lowered for a CPU."""
    inner = jax.jit(correlate)
    gradient = jax.jit(jax.grad(lambda x, kernel: (inner(x, kernel) ** 2).sum(), (0, 1)))
    lowered = gradient.trace(x, kernel).lower(lowering_platforms=("cpu",))
    return set(re.findall(r"dim_numbers = (.*?), window", lowered.as_text()))


@pytest.mark.parametrize("case", [name for name in CASES if "one pixel" not in name])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_gradients_are_convolutions_with_channels_last(case, padding):
    """XLA's CPU backend is fast at no other layout, and changes it nowhere but at the top of a program."""
    x, kernel = map(jnp.float32, _arrays(*CASES[case]))
    found = layouts_of_gradient(lambda x, kernel: correlation.correlate(x, kernel, padding), x, kernel)
    assert found == {CHANNELS_LAST[min(x.ndim - 2, 2)]}


def test_control_the_plain_form_has_gradients_in_other_layouts():
    x, kernel = map(jnp.float32, _arrays(*CASES["few channels"]))
    assert len(layouts_of_gradient(forms.direct, x, kernel)) == 3


def test_control_channels_that_are_left_out_show():
    x, kernel = _arrays(*CASES["few features of many channels"])
    less = kernel.at[..., 20:, :].set(0)
    assert not np.array_equal(correlation.correlate(x, less, "VALID"), forms.direct(x, kernel, "VALID"))


def _layers(ndim, channels):
    return [(_draw(*(3,) * ndim, a, b), _draw(b)) for a, b in pairwise(channels)]


def _one_by_one(xs, layers, padding):
    x = jnp.concatenate(xs, -1)
    for kernel, bias in layers:
        x = jax.nn.relu(forms.direct(x, kernel, padding) + bias)
    return x


@pytest.mark.parametrize("space", [(9, 8), (8, 7, 9), (5, 6, 7), (41, 6, 7)])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_layers_in_turn(space, padding):
    """Two arrays side by side, two layers, one slab or several."""
    xs, layers = [_draw(1, *space, 2), _draw(1, *space, 1)], _layers(len(space), (3, 2, 4))
    y = operators.convolve_in_turn(xs, layers, jax.nn.relu, padding=padding)
    assert np.array_equal(y, _one_by_one(xs, layers, padding))


def test_control_a_slab_in_the_wrong_place_shows(monkeypatch):
    """Were every slab read one slice too far, the results would differ."""
    xs, layers = [_draw(1, 41, 6, 7, 3)], _layers(3, (3, 2, 4))
    true = slabs.lax.dynamic_slice_in_dim
    monkeypatch.setattr(slabs.lax, "dynamic_slice_in_dim", lambda x, at, *args, **kw: true(x, at + 1, *args, **kw))
    y = operators.convolve_in_turn(xs, layers, jax.nn.relu)
    monkeypatch.undo()
    assert not np.array_equal(y, _one_by_one(xs, layers, "VALID"))


@pytest.mark.parametrize("space", [(9, 8), (21, 7, 6)])
def test_derivatives_are_those_of_the_plain_form(space):
    """Of small whole numbers, whose sums floats hold exactly: backwards, forwards, for several images at a time."""
    small = lambda a: (a % 4).astype(jnp.float32)  # noqa: E731
    xs = [small(_draw(2, *space, 2))]
    layers = [(small(kernel), small(bias)) for kernel, bias in _layers(len(space), (2, 1, 1))]

    def fast(xs, layers):
        return jnp.sum(operators.convolve_in_turn(xs, layers, jax.nn.relu))

    def plain(xs, layers):
        return jnp.sum(_one_by_one(xs, layers, "VALID"))

    for how in (jax.grad, lambda f, argnums: jax.jit(jax.grad(f, argnums))):
        for one, two in zip(*(jax.tree.leaves(how(f, (0, 1))(xs, layers)) for f in (fast, plain)), strict=True):
            assert np.array_equal(one, two)
    tangents = jax.tree.map(lambda a: (a + 1) % 3, (xs, layers))
    assert np.array_equal(*(jax.jvp(f, (xs, layers), tangents)[1] for f in (fast, plain)))
    images = [jnp.stack([x, x + 1]) for x in xs]
    assert np.array_equal(*(jax.vmap(f, (0, None))(images, layers) for f in (fast, plain)))


def test_an_activation_that_may_read_more_sees_whole_layers():
    """One that subtracts the largest value of the layer, and one that closes over a number with a gradient."""
    xs, layers = [_draw(1, 41, 6, 7, 3)], _layers(3, (3, 2, 4))
    centred = lambda y: y - y.max()  # noqa: E731
    x = xs[0]
    for kernel, bias in layers:
        x = centred(forms.direct(x, kernel, "VALID") + bias)
    assert np.array_equal(operators.convolve_in_turn(xs, layers, centred), x)
    ones_x, ones_layers = jax.tree.map(lambda a: jnp.ones(a.shape), (xs, layers))
    slope = jax.grad(lambda a: operators.convolve_in_turn(ones_x, ones_layers, lambda y: a * y).sum())(1.0)
    assert slope > 0


def test_crops_of_their_own():
    x = _draw(2, 30, 7, 8, 2)
    expected = operators.crop(x, (3, 1, 2), (22, 4, 6))
    assert np.array_equal(operators.crop_copy(x, (3, 1, 2), (22, 4, 6)), expected)
    y = x.astype(jnp.float32)
    ones = jnp.zeros_like(y).at[:, 3:25, 1:5, 2:8].set(1)
    assert np.array_equal(jax.grad(lambda y: operators.crop_copy(y, (3, 1, 2), (22, 4, 6)).sum())(y), ones)


def test_a_volume_takes_less_than_two_copies_of_its_widest_layer():
    """By XLA's estimate, which the planner goes by; layer by layer it would be more than two."""
    if jax.default_backend() != "cpu":
        pytest.skip("accelerators take correlations as they are")
    layers = jax.tree.map(jnp.float32, _layers(3, (1, 8, 8)))
    x = jax.ShapeDtypeStruct((1, 100, 100, 100, 1), jnp.float32)

    def temporary(fn):
        analysis: Any = jax.jit(lambda x: fn(x).max(axis=-1)).lower(x).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    widest = 98**3 * 8 * 4
    assert temporary(lambda x: operators.convolve_in_turn([x], layers, jax.nn.relu)) < 1.6 * widest
    assert temporary(lambda x: _one_by_one([x], layers, "VALID")) > 1.8 * widest


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_accelerators_multiply_whole_numbers_as_matrices(case, padding, monkeypatch):
    """cuDNN convolves none. The same sums, and nothing is convolved in a program that is traced beside a GPU."""
    x, kernel = _arrays(*case)
    expected = forms.direct(x, kernel, padding)
    assert np.array_equal(correlation._one_product(x, kernel, padding), expected)
    assert "conv" in str(jax.make_jaxpr(lambda x, w: correlation.correlate(x, w, padding))(x, kernel))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "conv_general" not in str(jax.make_jaxpr(lambda x, w: correlation.correlate(x, w, padding))(x, kernel))
