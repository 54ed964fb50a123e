"""A function without arguments that returns a network stands for that network, wherever a network is given."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from shiftjax._cli.network import UsageError
from shiftjax._cli.network import function as on_a_command_line
from shiftjax._network import network

IMAGE = jnp.arange(400, dtype=jnp.int32).reshape(1, 20, 20, 1)


def net(image):
    return image[:, 1:-1, 1:-1] * 2


def returns_it():
    return net


make: Any = returns_it  # a type checker asks for functions of an image


def with_options(image=None, factor=3):
    """May be called without arguments, and then returns no network."""
    return net if factor == 2 else 7


def fails():
    raise RuntimeError("no weights")


def test_it_is_the_network_itself_in_python():
    certificate = sj.certify(make, IMAGE)
    assert certificate.same_map(sj.certify(net, IMAGE))
    plan = sj.plan_tiles(make, IMAGE.shape, tile=8, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(make, IMAGE, plan), sj.predict_tiled(net, IMAGE, plan))
    sj.testing.assert_periodic_equivariant(make, IMAGE)
    sj.testing.assert_stitches(make, plan)
    shape = jax.ShapeDtypeStruct(IMAGE.shape, IMAGE.dtype)
    assert sj.testing.examine(make, shape) == sj.testing.examine(net, shape)


def test_it_is_the_network_itself_for_volumes(tmp_path):
    pixels = np.arange(120).reshape(10, 12)
    plan = sj.plan_tiles(make, (1, 10, 12, 1), tile=4)
    written = [
        np.asarray(sj.predict_volume(fn, pixels, tmp_path / f"{k}.zarr", plan, axes="yx", progress=False))
        for k, fn in enumerate((make, net))
    ]
    assert np.array_equal(written[0], written[1])


def test_it_is_the_network_itself_on_a_command_line():
    """And in `pytest --net`, which asks the same function."""
    assert on_a_command_line(f"{__name__}:make") is on_a_command_line(f"{__name__}:net") is net


@pytest.mark.parametrize(
    "fn",
    [net, functools.partial(net), jax.tree_util.Partial(net), jnp.sin, jax.jit(net), lambda *images: images[0]],
)
def test_what_needs_an_image_is_left_alone(fn):
    assert network("fn", fn) is fn


@pytest.mark.parametrize(
    ("fn", "say"),
    [
        (with_options, "which needs no argument and returns 7; `lambda image: ...` makes a function of an image"),
        (fails, "which needs no argument and raises RuntimeError: no weights"),
        (list, "which needs no argument and returns"),
    ],
)
def test_what_is_no_network_is_refused_in_the_same_words_everywhere(fn, say):
    for door in (lambda: sj.certify(fn, IMAGE), lambda: sj.plan_tiles(fn, IMAGE.shape), lambda: network("fn", fn)):
        with pytest.raises(ValueError, match="`fn`: expected a function of one array") as error:
            door()
        assert say in str(error.value)
    if hasattr(fn, "__module__") and fn.__module__ == __name__:
        with pytest.raises(UsageError) as usage:
            on_a_command_line(f"{__name__}:{fn.__name__}")
        assert say in str(usage.value)
