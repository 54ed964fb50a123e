"""Sizes, dtypes, transformations and refusals of the U-Net."""

from functools import partial
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax.nets import AxisGeometry, IllegalSizeError


def _image(net, wish, dtype=jnp.float32, channels=1):
    size = [axis[-1][0] for axis in net.legal_sizes(wish)]
    values = jax.random.randint(jax.random.key(5), (1, *size, channels), -9, 10)
    return values.astype(dtype)


def _init(net, image):
    return jax.jit(net.init)(jax.random.key(0), image)


@pytest.mark.parametrize(
    ("levels", "lost"),
    [(2, 40), (3, 88), (4, 184)],
)
def test_the_papers_sizes(levels, lost):
    net = sj.UNet(3, factors=(2,) * levels, crop=None)
    for size, output, offset in net.legal_sizes(lost + 60)[0]:
        assert (size - output, offset) == (lost, lost // 2)


@pytest.mark.parametrize(("crop", "output"), [(None, 52), ("top", 48), ("every", 32)])
def test_where_the_crop_sits_decides_how_much_of_the_papers_output_is_left(crop, output):
    assert (236, output, 92) in sj.UNet(3, crop=crop).legal_sizes(236)[0]


@settings(max_examples=60, deadline=None)
@given(
    factors=st.lists(st.integers(1, 4), max_size=3).map(tuple),
    kernel=st.integers(1, 4),
    head=st.integers(1, 3),
    convs=st.integers(1, 3),
    decoder=st.integers(1, 3),
    valid=st.booleans(),
    crop=st.sampled_from([None, "top", "every"]),
)
def test_legal_sizes_are_exactly_those_that_pass(factors, kernel, head, convs, decoder, valid, crop):
    net = sj.UNet(
        1,
        ndim=1,
        factors=factors,
        kernel_size=kernel,
        head_kernel_size=head,
        convs=convs,
        decoder_convs=decoder,
        padding="VALID" if valid else "SAME",
        crop=crop,
        features=1,
    )
    (axis,) = net.geometry
    assert isinstance(axis, AxisGeometry)
    listed = {size: (output, offset) for wish in range(300) for size, output, offset in axis.legal(wish)}
    smallest = min(listed)
    for size in range(300):
        try:
            output = axis.walk(size).output
        except IllegalSizeError:
            assert size not in listed
        else:
            assert listed[size] == (output, axis.offset)
            assert (size - smallest) % axis.period == 0
            assert output % axis.period == 0 or crop is None


@pytest.mark.parametrize(
    "options",
    [
        {"factors": (2, 2)},
        {"factors": ((3, 2), (1, 2)), "kernel_size": (2, 3), "crop": "every"},
        {"factors": (), "head_kernel_size": 3},
        {"factors": (2,), "upsample": "nearest", "decoder_convs": 1, "crop": None},
        {"factors": (2, 3), "padding": "SAME", "upsample": "nearest"},
        {"factors": ((1, 2, 2), 2), "ndim": 3, "convs": 1},
        {"factors": (3,), "ndim": 1, "kernel_size": 4},
        {"factors": (2,), "ndim": 1, "head_kernel_size": 3},
        {"factors": (2,), "ndim": 1, "kernel_size": 2, "convs": 1},
    ],
    ids=str,
)
def test_the_certificate_agrees_with_period_sizes_and_offset(options):
    net = sj.UNet(2, features=2, **options)
    x = _image(net, 40)
    variables = jax.eval_shape(net.init, jax.random.key(0), x)
    certificate = sj.certify(Partial(net.apply, variables), x)
    assert certificate.period == net.period
    for axis, sizes in zip(certificate.axes, net.legal_sizes(x.shape[1:-1]), strict=True):
        assert (axis.size, axis.out) in {(size, output) for size, output, _ in sizes}
        if net.padding == "VALID":
            assert axis.exact == (0, axis.out)
            assert {offset for *_, offset in sizes} == {axis.offset}


def test_shift_by_the_period_moves_the_output_and_half_of_it_does_not():
    net = sj.UNet(
        2, features=4, factors=(2, 2), param_dtype=jnp.int32, activation=lambda x: jnp.where(x < 0, 1 - 5 * x, x)
    )
    image = _image(net, 60, jnp.int32)
    variables = _init(net, image)
    apply = jax.jit(net.apply)
    (p, _), size = net.period, image.shape[1]
    here, there, half = (apply(variables, image[:, s : size - p + s]) for s in (0, p, p // 2))
    assert here.dtype == jnp.int32
    assert np.array_equal(here[:, p:], there[:, :-p])
    assert not np.array_equal(here[:, p // 2 :], half[:, : -(p // 2)])


def test_jit_vmap_and_grad():
    net = sj.UNet(2, features=2, factors=(2,), upsample="nearest")
    image = _image(net, 30)
    variables = _init(net, image)
    apply: Any = net.apply
    plain = jax.jit(apply)(variables, image)
    assert np.allclose(apply(variables, image), plain, rtol=0, atol=1e-6 * float(abs(plain).max()))  # rounding
    many = jax.jit(jax.vmap(apply, in_axes=(None, 0)))(variables, jnp.stack([image, image + 1]))
    assert many.shape == (2, *plain.shape)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(apply(v, image) ** 2)))(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_computes_in_the_dtype_asked_for(dtype):
    net = sj.UNet(2, features=2, factors=(2,), dtype=dtype)
    image = _image(net, 30)
    variables = _init(net, image)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert jax.eval_shape(net.apply, variables, image).dtype == dtype


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_normalisation_layers(norm):
    net = sj.UNet(2, features=4, factors=(2,), norm=norm)
    image = _image(net, 30)
    variables = _init(net, image)
    y, updates = jax.jit(partial(net.apply, train=True, mutable=["batch_stats"]))(variables, image)
    assert np.isfinite(y).all()
    assert bool(updates) == (norm == "batch")


def test_the_top_crop_leaves_the_leading_outputs_alone():
    options = {"features": 2, "factors": (2, 2), "param_dtype": jnp.int32}
    whole, top = sj.UNet(2, crop=None, **options), sj.UNet(2, **options)
    image = _image(whole, 50, jnp.int32)
    variables = _init(whole, image)
    a, b = jax.jit(whole.apply)(variables, image), jax.jit(top.apply)(variables, image)
    assert np.array_equal(a[:, : b.shape[1], : b.shape[2]], b)


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_a_same_padded_net_equals_its_valid_twin_in_the_exact_window(kernel):
    """Skips are aligned by coordinate: with equal weights both nets agree wherever padding is out of reach."""
    options = {"features": 2, "factors": (2, 2), "ndim": 1, "kernel_size": kernel, "param_dtype": jnp.int32}
    valid, same = sj.UNet(2, crop=None, **options), sj.UNet(2, padding="SAME", **options)
    variables = _init(same, _image(same, 96, jnp.int32))
    image = np.random.default_rng(0).integers(-9, 10, (1, 96, 1), dtype=np.int32)
    wide = jax.jit(same.apply)(variables, image)
    (start, stop) = sj.certify(Partial(same.apply, variables), image).axes[0].exact
    (axis,) = valid.geometry
    before = axis.encoder_left + axis.skip_start(0) + axis.decoder_left  # each convolution counted by its own place
    shift = next(n for n in range(4) if _pools_on_the_grid(axis, n))
    size = max(n for n in range(96 - shift + 1) if n in {s for w in range(96) for s, *_ in axis.legal(w)})
    narrow = jax.jit(valid.apply)(variables, image[:, shift : shift + size])
    aligned = slice(shift + before, shift + before + narrow.shape[1])
    low, high = max(start, aligned.start), min(stop, aligned.stop)
    assert high - low > 8
    assert np.array_equal(wide[:, low:high], narrow[:, low - aligned.start : high - aligned.start])


def _pools_on_the_grid(axis, shift):
    """Whether the valid twin, cut out from pixel `shift` on, pools the same blocks as the whole."""
    pixel = shift
    for factor in axis.factors:
        pixel += axis.encoder_left
        if pixel % factor:
            return False
        pixel //= factor
    return True


def test_features_grow_by_level():
    shapes = jax.eval_shape(
        sj.UNet(1, features=2, growth=3, factors=(2, 2)).init, jax.random.key(0), jnp.zeros((1, 44, 44, 1))
    )["params"]
    widths = [shapes[f"{name}_conv_0"]["kernel"].shape[-1] for name in ("encoder_0", "encoder_1", "bottom")]
    assert widths == [2, 6, 18]


@pytest.mark.parametrize(("norm", "groups"), [("instance", 4), ("group", 4)])
def test_norms_against_numpy(norm, groups):
    net = sj.UNet(4, features=4, factors=(), convs=1, norm=norm, activation=lambda x: x)
    image = _image(net, 12)
    variables = _init(net, image)
    params = variables["params"]
    kernel, bias = (np.asarray(params["bottom_conv_0"][k]) for k in ("kernel", "bias"))
    x, n = np.asarray(image[0, ..., 0]), image.shape[1] - 2
    y = np.stack(
        [sum(kernel[i, j, 0, c] * x[i : i + n, j : j + n] for i in range(3) for j in range(3)) for c in range(4)], -1
    )
    y = (y + bias).reshape(n, n, groups, -1)
    y = ((y - y.mean((0, 1, 3), keepdims=True)) / np.sqrt(y.var((0, 1, 3), keepdims=True) + 1e-6)).reshape(n, n, 4)
    head, offset = (np.asarray(params["head"][k]) for k in ("kernel", "bias"))
    assert np.allclose(jax.jit(net.apply)(variables, image)[0], y @ head[0, 0] + offset, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"padding": "same"}, "'VALID', 'SAME'"),
        ({"upsample": "bilinear"}, "'learned', 'nearest'"),
        ({"norm": "layer"}, "'batch', 'instance', 'group'"),
        ({"crop": "bottom"}, "'top', 'every'"),
        ({"factors": ((2, 2, 2),)}, "one per spatial axis"),
        ({"factors": 2}, "one entry per pooling level"),
        ({"factors": (0,)}, ">= 1"),
        ({"kernel_size": (3,)}, "one per spatial axis"),
        ({"features": 0}, "`features`: expected an integer >= 1, found 0"),
        ({"activation": "relu"}, "a function"),
        ({"dtype": "foo"}, "a dtype"),
        ({"param_dtype": "foo"}, "a dtype"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(options, words):
    with pytest.raises(ValueError, match=r"expected .*found") as error:
        sj.UNet(2, **options)
    assert words in str(error.value)


def test_an_illegal_size_names_level_size_and_legal_sizes():
    net = sj.UNet(2, features=2, factors=(2, 2))
    with pytest.raises(IllegalSizeError, match="level 1 would pool 43 px by 2") as error:
        net.init(jax.random.key(0), jnp.zeros((1, 98, 100, 1)))
    assert isinstance(error.value, ValueError)
    for size, output, offset in net.legal_sizes(98)[0]:
        assert f"{size} (output {output}, offset {offset})" in str(error.value)
    assert error.value.legal == net.legal_sizes((98, 100))


def test_wrong_rank_is_refused():
    with pytest.raises(ValueError, match=r"images of rank 4, \(batch, \*space, channel\), found shape \(100, 100, 1\)"):
        sj.UNet(2).init(jax.random.key(0), jnp.zeros((100, 100, 1)))


def test_normalisation_is_refused_in_integers():
    net = sj.UNet(2, features=2, factors=(2,), norm="batch", param_dtype=jnp.int32)
    with pytest.raises(ValueError, match="None in integer arithmetic"):
        net.init(jax.random.key(0), _image(net, 30, jnp.int32))


def test_parameters_start_at_the_variance_that_relu_keeps():
    net = sj.UNet(3, features=32, factors=(2,), kernel_size=3)
    params = _init(net, _image(net, 30))["params"]
    for name, fan_in in {"bottom_conv_1": 9 * 64, "up_0": 64}.items():
        assert np.var(params[name]["kernel"]) == pytest.approx(2 / fan_in, rel=0.1)
    assert isinstance(net, nn.Module)


def test_parameters_of_another_shape_are_refused():
    """They are read without tracing how they start; Flax's own check stands for those that do not fit."""
    net = sj.UNet(2, features=4, factors=(2,))
    image = _image(net, 20)
    variables = _init(net, image)
    kernel = variables["params"]["head"]["kernel"]
    wrong = {"params": {**variables["params"], "head": {**variables["params"]["head"], "kernel": kernel[..., :1]}}}
    assert np.shape(net.apply(variables, image))[-1] == 2  # the control
    with pytest.raises(flax.errors.ScopeParamShapeError):
        net.apply(wrong, image)
