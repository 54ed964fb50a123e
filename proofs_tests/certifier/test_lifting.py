"""Constants as large as the image: where they vary is read from how they are made, at every size, without values.

What is claimed is checked by running: parts of an image against larger images, and tiles against the whole. Controls:
constants that vary inside are refused, constants whose values depend on the size have other names, and a lifting that
forgets what a step does is refuted.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.certifier.borders import disagreements, same_ends
from proofs_tests.certifier.test_random_programs import QUIET
from proofs_tests.support.profiles import examples
from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.certifier._rules import lifting

Fn = Callable[[Any], Any]
KERNEL: Any = np.random.default_rng(0).integers(-9, 9, (3, 3, 1, 1)).astype(np.int32)


def proof(fn: Fn, *space: int) -> Certificate:
    return certify(fn, jax.ShapeDtypeStruct((1, *space, 1), jnp.int32))


def conv(x: Any, **options: Any) -> Any:
    options = {"window_strides": (1, 1), "padding": "SAME", **options}
    return lax.conv_general_dilated(x, KERNEL, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)


def add(x: Any, padding: Any = "SAME", stride: int = 1) -> Any:
    return lax.reduce_window(x, np.int32(0), lax.add, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def upsampled(x: Any) -> Any:
    return conv(x, lhs_dilation=(2, 2), padding=((1, 2), (2, 1)))


def framed(x: Any) -> Any:
    """1 inside, 0 in a frame of two pixels and of one."""
    return jnp.zeros_like(x).at[:, 2:-1, 1:-2].set(1)


def row(x: Any, left: int, right: int) -> Any:
    at = jnp.arange(x.shape[1])
    return ((at >= left) & (at < x.shape[1] - right)).astype(x.dtype)[None, :, None, None]


CASES: dict[str, Fn] = {
    "pixels in each window": lambda x: add(x) * (36 // add(jnp.ones_like(x))),
    "of a pooling by two": lambda x: add(x, "SAME", 2) * (36 // add(jnp.ones_like(x), "SAME", 2)),
    "weights that lie on the image": lambda x: conv(x) * conv(jnp.ones_like(x)),
    "twice": lambda x: conv(x) * conv(conv(jnp.ones_like(x)) + 1),
    "transposed": lambda x: upsampled(x) * upsampled(jnp.ones_like(x)),
    "a frame": lambda x: conv(x * framed(x)),
    "a frame of ones": lambda x: conv(x * jnp.pad(jnp.ones_like(x)[:, 3:, 1:], ((0, 0), (2, 1), (1, 0), (0, 0)))),
    "a mask of rows, of every column": lambda x: conv(x) * (row(x, 2, 1) * jnp.ones_like(x)),
    "masks of rows and columns": lambda x: x * conv(row(x, 2, 1) * jnp.ones_like(x) * framed(x)),
    "its greatest in a window": lambda x: (
        x
        + lax.reduce_window(
            framed(x), np.int32(-9), lax.max, (1, 2, 3, 1), (1, 1, 1, 1), ((0, 0), (0, 1), (2, 0), (0, 0))
        )
    ),
    "mirrored": lambda x: x * jnp.flip(conv(jnp.ones_like(x)), 1),
    "transposed axes": lambda x: x * conv(framed(x)).transpose(0, 1, 3, 2).transpose(0, 1, 3, 2),
    "side by side": lambda x: x * jnp.concatenate([jnp.zeros_like(x)[:, :1], jnp.ones_like(x)[:, 1:] * 3], axis=1),
    "strips set": lambda x: x * conv(jnp.ones_like(x).at[:, :1].set(5).at[:, :, -2:].set(7)),
    "a frame around the image": lambda x: conv(
        jnp.full_like(x, 3).at[:, 1:-2, 2:-1].set(conv(x, padding="VALID")[:, :-1, :-1])
    ),
    "of period two": lambda x: conv(x) * upsampled(jnp.ones_like(x)[:, ::2, ::2]),
    "multiplied by a parameter": lambda x: x + framed(x) * jnp.asarray(KERNEL)[0, 0, 0],
}


@pytest.mark.parametrize("name", CASES)
def test_tiles_of_such_functions_are_the_whole(name: str) -> None:
    fn, rng = CASES[name], np.random.default_rng(1)
    small, large = proof(fn, 20, 22), proof(fn, 34, 40)
    assert small.same_map(large)
    assert same_ends(small, large)
    assert list(disagreements(fn, small, large, rng)) == []
    image = rng.integers(-99, 99, (1, 34, 40, 1)).astype(np.int32)
    plan = sj.plan_tiles(fn, image.shape, tile=8, pad=None, dtype=jnp.int32)
    assert plan.equals_whole
    assert min(plan.grid) > 1
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, plan), jax.jit(fn)(image))


def test_a_constant_of_one_column_leaves_the_other_axis_alone() -> None:
    def fn(parameter: Any, x: Any) -> Any:
        column = jnp.broadcast_to(parameter, (1, x.shape[1], 1, 1))
        return x * lax.reduce_window(column, np.int32(0), lax.add, (1, 9, 1, 1), (1, 1, 1, 1), "SAME")

    net = Partial(fn, jnp.int32(3))
    image = np.arange(34 * 40, dtype=np.int32).reshape(1, 34, 40, 1)
    plan = sj.plan_tiles(net, image.shape, tile=8, pad=None, dtype=jnp.int32)
    assert plan.equals_whole
    assert min(plan.grid) > 1
    np.testing.assert_array_equal(sj.predict_tiled(net, image, plan), jax.jit(net)(image))


OTHERWISE: dict[str, Fn] = {
    "a frame of the size around the image": lambda x: (
        jnp.full_like(x, x.shape[1]).at[:, 1:-2, 2:-1].set(conv(x, padding="VALID")[:, :-1, :-1])
    ),
    "a count of the size": lambda x: x * conv(jnp.full_like(x, x.shape[1])),
    "a frame as wide as the image": lambda x: x * jnp.zeros_like(x).at[:, x.shape[1] // 10 : -1, 1:-1].set(1),
    "fills in turn": lambda x: (
        x * conv(jnp.pad(jnp.ones_like(x)[:, 2:], ((0, 0), (2, 0), (0, 0), (0, 0)), constant_values=x.shape[1] % 4))
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_control_what_depends_on_the_size_has_another_name(name: str) -> None:
    small, large = proof(OTHERWISE[name], 20, 22), proof(OTHERWISE[name], 33, 40)
    assert not (small.same_map(large) and same_ends(small, large))


INSIDE: dict[str, Fn] = {
    "a ramp": lambda x: x * conv(jnp.broadcast_to(jnp.arange(x.shape[1])[None, :, None, None], x.shape)),
    "a line across the middle": lambda x: x * conv(jnp.ones_like(x).at[:, 9:11].set(0)),
    "a window over most of it": lambda x: (
        x * lax.reduce_window(jnp.ones_like(x), np.int32(0), lax.add, (1, 19, 1, 1), (1, 1, 1, 1), "SAME")
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_control_constants_that_vary_inside_narrow_the_windows_or_are_refused(name: str) -> None:
    try:
        small, large = proof(INSIDE[name], 20, 22), proof(INSIDE[name], 30, 22)
    except CertificationError:
        return
    assert small.axes[0].exact[1] - small.axes[0].exact[0] <= 10
    assert (
        not same_ends(small, large) or list(disagreements(INSIDE[name], small, large, np.random.default_rng(0))) == []
    )


def flattened(p: Any, x: Any) -> Any:
    """The last two axes as one, times a parameter there that is padded along the first."""
    height, *others = x.shape[1:-1]
    flat = x.reshape(1, height, -1, 1)
    weights = jnp.broadcast_to(p, (1, height - 2, flat.shape[2], 1))
    return (flat * jnp.pad(weights, ((0, 0), (1, 1), (0, 0), (0, 0)))).reshape(1, height, *others, 1)


def test_control_a_parameter_along_flattened_axes_is_refused() -> None:
    """Only along the first axis is it known how the constant is made; one number for all pixels certifies."""
    weights = jnp.arange(1, 25, dtype=jnp.int32).reshape(24, 1)
    assert proof(Partial(flattened, weights[:1, :1]), 12, 4, 6).axes[0].exact == (1, 11)
    with pytest.raises(CertificationError, match="may vary along its axis"):
        proof(Partial(flattened, weights), 12, 4, 6)


def test_memory_does_not_grow_with_the_image() -> None:
    """Nothing as large as the image is computed or named."""
    fns = [CASES[name] for name in ("pixels in each window", "weights that lie on the image", "a frame", "strips set")]
    tracemalloc.start()
    for fn in fns:
        proof(fn, 4096, 4096)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096 * 4096 / 4, f"{peak} bytes"


class Walk:
    """A random constant beside an image: both go through the same windows, the constant through more."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, x: Any) -> Any:
        rng = np.random.default_rng(self.seed)
        constant = [jnp.ones_like(x), jnp.full_like(x, 3), framed(x)][rng.integers(3)]
        for _ in range(rng.integers(2, 6)):
            step = self.both(rng) if rng.random() < 0.5 else None
            if step is not None:
                x, constant = step(x), step(constant)
            else:
                constant = self.alone(rng, constant)
            if rng.random() < 0.3:
                x = x * constant if rng.random() < 0.5 else x + constant
        return x + 2 * constant

    def both(self, rng: np.random.Generator) -> Fn:
        """A step that may change the shape."""
        left, right, stride, fill = (int(n) for n in rng.integers(0, 3, 4))
        kernel: Any = rng.integers(-3, 4, (3, 2, 1, 1)).astype(np.int32)
        return [
            lambda y: jnp.pad(y, ((0, 0), (left, right), (right, left), (0, 0)), constant_values=fill),
            lambda y: y[:, left : y.shape[1] - right, right:],
            lambda y: lax.conv_general_dilated(
                y, kernel, (1 + stride % 2,) * 2, ((left, right), (1, 0)), dimension_numbers=("NHWC", "HWIO", "NHWC")
            ),
            lambda y: lax.reduce_window(y, np.int32(0), lax.add, (1, 2, 3, 1), (1, 1 + stride % 2, 1, 1), "SAME"),
            lambda y: jnp.repeat(y, 2, axis=1),
            lambda y: jnp.flip(y, 2) if fill == 0 else y,
        ][rng.integers(5)]

    def alone(self, rng: np.random.Generator, constant: Any) -> Any:
        """A step of the constant, of the same shape."""
        left, right, value = (int(n) for n in rng.integers(1, 4, 3))
        return [
            lambda: constant.at[:, :left].set(value),
            lambda: constant.at[:, :, -right:].set(value),
            lambda: constant * value + 1,
            lambda: constant * row(constant, left, right),
            lambda: add(constant),
            lambda: jnp.maximum(constant, framed(constant) * value),
            lambda: jnp.concatenate([constant[:, right:], constant[:, :right] * 0 + value], axis=1),
        ][rng.integers(7)]()


def judge(seed: int) -> bool | None:
    """Whether what is claimed of a walk holds; None where nothing is."""
    fn, rng = Walk(seed), np.random.default_rng(seed)
    try:
        small = proof(fn, 24, 26)
        by = [axis.period * int(rng.integers(1, 3)) for axis in small.axes]
        large = proof(fn, 24 + by[0], 26 + by[1])
    except CertificationError:
        return None
    if not (small.same_map(large) and same_ends(small, large)):
        return None
    return list(disagreements(fn, small, large, rng)) == []


FOUND: list[bool | None] = []


@settings(max_examples=3 * examples() // 2, **QUIET)
@given(st.integers(0, 2**32 - 1))
def test_random_constants(seed: int) -> None:
    FOUND.append(judge(seed))
    assert FOUND[-1] is not False


def test_the_random_test_is_not_empty() -> None:
    if not FOUND:
        pytest.skip("the random constants were not drawn in this process")
    assert FOUND.count(True) > len(FOUND) // 8


def uniform_whatever(original: Any) -> Any:
    """Whatever a constant is made of, it counts as exact everywhere."""

    def broken(self: Any, value: Any, along: Any, depth: int) -> Any:
        return replace(lifting._uniform(value, along), map="uniform")

    return broken


def no_ends(original: Any) -> Any:
    """A constant narrows no window."""

    def broken(tag: Any, constant: Any) -> Any:
        return tag

    return broken


MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "uniform whatever": (lifting._Lifting, "made", uniform_whatever),
    "no ends": (lifting, "beside", no_ends),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_refuted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, broken = MUTANTS[name]
    changed = broken(getattr(owner, attribute))
    monkeypatch.setattr(owner, attribute, changed)
    if owner is lifting:
        monkeypatch.setattr("shiftjax.certifier._rules.pointwise.beside", changed)
    assert any(judge(seed) is False for seed in range(30))
