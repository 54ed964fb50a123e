"""`minimal` and `attained` are claimed with a witness only, and what the witness shows is so."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.tree_util import Partial

from proofs_tests.certifier.demonstration import objections
from proofs_tests.certifier.nets import IMAGE, LEVEL, conv, level, pool, small_unet, up
from proofs_tests.support.profiles import ARCHITECTURES, examples
from shiftjax import UNet
from shiftjax.certifier import AxisCertificate, Certificate, CertificationError, certify
from shiftjax.certifier._witnesses import float_error, search
from shiftjax.certifier._witnesses.witness import KnownWitnesses
from shiftjax.testing import injective
from shiftjax.testing.strategies import architectures, input_for

Fn = Callable[[Any], Any]
ALL = list(HealthCheck)
QUIET: dict[str, Any] = {"deadline": None, "suppress_health_check": ALL, "database": None, "derandomize": True}


def proof(fn: Fn, n: int = 16, dtype: Any = np.float32) -> AxisCertificate:
    """Of a function of a line of one channel."""
    return certify(fn, jax.ShapeDtypeStruct((1, n, 1), dtype)).axes[0]


def line(fn: Fn, dtype: Any = np.float32) -> AxisCertificate:
    """A proof whose witnesses show what they claim."""
    cert = certify(fn, jax.ShapeDtypeStruct((1, 16, 1), dtype))
    assert objections(fn, cert) == []
    return cert.axes[0]


def pooled(x: Any) -> Any:
    """Maxima of pairs, in the places of both, from the second pixel on."""
    return jnp.repeat(jnp.maximum(x[:, ::2], x[:, 1::2]), 2, axis=1)[:, 1:]


def body(p: Any, x: Any) -> Any:
    """Down and up again, 20 px to 14."""
    return up(jax.nn.relu(conv(pool(jax.nn.relu(conv(x, p[0]))), p[1])), p[2])


# Networks: what is true of generic ones is shown.

ACTIVATIONS = [
    jax.nn.relu, jax.nn.relu6, jax.nn.elu, jax.nn.selu, jax.nn.celu, jax.nn.gelu, jax.nn.silu, jax.nn.mish,
    jax.nn.softplus, jax.nn.leaky_relu, jax.nn.hard_swish, jax.nn.soft_sign, jax.nn.sigmoid, jax.nn.log_sigmoid,
    jnp.tanh, lambda x: jnp.where(x >= 0, x, 1 - 5 * x),
]  # fmt: skip


def minimal(fn: Any) -> bool:
    cert = certify(Partial(fn, LEVEL), IMAGE)
    assert cert.period == (2, 2)
    assert cert.axes[0].minimal == cert.axes[1].minimal
    return cert.axes[0].minimal


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_minimal_with_every_activation(activation: Any) -> None:
    """All of `jax.nn`, whatever they are made of."""
    assert minimal(lambda p, x: level(p, x, activation))


ALIVE = {
    "as it is": body,
    "residual": lambda p, x: body(p, x) + x[:, 3:17, 3:17],
    "pooled by slices": lambda p, x: up(conv(jnp.maximum(x[:, ::2], x[:, 1::2])[:, :, ::2], p[0]), p[2]),
    "pooled by reshape": lambda p, x: up(conv(x.reshape(1, 10, 2, 10, 2, 1).max((2, 4)), p[0]), p[2]),
    "averaged": lambda p, x: up(conv(x.reshape(1, 10, 2, 10, 2, 1).mean((2, 4)), p[0]), p[2]),
    "nearest": lambda p, x: conv(jnp.repeat(jnp.repeat(pool(conv(x, p[0])), 2, 1), 2, 2), p[1]),
}
NOT_CLAIMED = {
    "minus itself": lambda p, x: body(p, x) - body(p, x),
    "times zero": lambda p, x: body(p, x) * 0,
    "to the power of zero": lambda p, x: body(p, x) ** 0,
    "always dead": lambda p, x: jax.nn.relu(-jax.nn.relu(body(p, x))),
    "clamped away": lambda p, x: jnp.minimum(jax.nn.relu(body(p, x)), -1.0),
    "only its sign twice": lambda p, x: jnp.sign(jnp.sign(body(p, x)) * 0.0),
    "added and taken away": lambda p, x: (body(p, x) + conv(x, p[0])[:, 2:16, 2:16]) - body(p, x),
    "rows of a stack that cancel": lambda p, x: jax.lax.scan(
        lambda c, row: (c + row, None), 0 * body(p, x), jnp.stack([body(p, x), -body(p, x)])
    )[0],
    "channels that are never positive": lambda p, x: (
        lambda y: jnp.maximum(jnp.minimum(y, 0)[..., :1], jnp.minimum(-y, 0)[..., :1])
    )(body(p, x)),
    "channels side by side": lambda p, x: (
        lambda y: jnp.maximum(y[..., : y.shape[-1] // 2], y[..., y.shape[-1] // 2 :])
    )(jnp.concatenate([jnp.minimum(body(p, x), 0), jnp.minimum(-body(p, x), 0)], -1)),
    "never the larger": lambda p, x: jnp.maximum(x[:, 3:17, 3:17], x[:, 3:17, 3:17] - jnp.exp(body(p, x))),
    "below what is never negative": lambda p, x: jnp.maximum(
        jax.nn.relu(conv(x, p[0])[:, 2:16, 2:16]), -jax.nn.relu(body(p, x))
    ),
    "masked weights": lambda p, x: up(conv(pool(conv(x, p[0])), p[1] * np.float32(0)), p[2]),
    "positive weights of a rectified value, rectified": lambda p, x: jax.nn.relu(
        -up(jax.nn.relu(conv(pool(x), p[0])), jnp.abs(p[2]))
    ),
}


@pytest.mark.parametrize("name", ALIVE)
def test_every_way_to_pool_and_to_join(name: str) -> None:
    """That the library and its users have."""
    assert minimal(ALIVE[name])


@pytest.mark.parametrize("name", NOT_CLAIMED)
def test_not_claimed_of_functions_that_are_constant_or_have_a_smaller_period(name: str) -> None:
    """Although the certificate's period is 2."""
    assert not minimal(NOT_CLAIMED[name])


def test_most_networks_are_shown_to_be_tight() -> None:
    """Parameters drawn at random, with an activation that lets no network die: both claims, for 9 of 10 axes."""
    if examples() <= ARCHITECTURES:
        pytest.skip("minutes of exact fractions: runs with --hypothesis-profile=deep")
    shown: list[bool] = []

    @settings(max_examples=16, **QUIET)
    @given(
        architectures(
            levels=(1, 3),
            pooled=True,
            activation=injective,
            least_features=2,
            crops=("top",),
            paddings=("VALID", "SAME"),
            pixels={1: 120, 2: 44, 3: 16},
            param_dtype=jnp.float32,
        )
    )
    def look(net: UNet) -> None:
        x = jax.ShapeDtypeStruct((1, *input_for(net, [2 * p for p in net.period]), 1), jnp.float32)
        fn = Partial(net.apply, jax.eval_shape(net.init, jax.random.key(0), x))
        cert = certify(fn, x)
        shown.extend(axis.minimal and axis.attained for axis in cert.axes if axis.period > 1)
        assert objections(fn, cert) == []

    look()
    assert len(shown) >= 16
    assert np.mean(shown) > 0.9


def test_a_dead_network_claims_nothing() -> None:
    """The function's own parameters count, not others that it could have."""
    alive = [
        np.full(s.shape, 0.5, s.dtype) * np.random.default_rng(k).normal(size=s.shape) for k, s in enumerate(LEVEL)
    ]
    p = [a.astype(np.float32) for a in alive]
    dead = [p[0], p[1], p[2] * 0, p[3] * 0]
    cert = certify(Partial(level, p), IMAGE)
    assert all(axis.minimal and axis.attained for axis in cert.axes)
    assert not any(axis.minimal or axis.attained for axis in certify(Partial(level, dead), IMAGE).axes)
    assert cert.axes[0].witness("minimal").parameters == [None] * 4


# Functions that are constant, or read less than they seem to.


def absorbed(x: Any) -> Any:
    """min(max(a, b), a) is a."""
    a, b = x[:, ::2], x[:, 1::2]
    return jnp.minimum(jnp.maximum(a, b), a)


def staircase(x: Any) -> Any:
    """The identity, of period 1, made of two absorptions."""
    a, b = x[:, ::2], x[:, 1::2]
    both = jnp.stack([jnp.minimum(jnp.maximum(a, b), a), jnp.minimum(jnp.maximum(a, b), b)], 2)
    return both.reshape(1, -1, 1)


def pattern(x: Any) -> Any:
    """0, 1, 0, 1, ... whatever the image."""
    return (x - x) + jnp.asarray([[[0], [1]]] * (x.shape[1] // 2), x.dtype).reshape(1, -1, 1)


def mask(x: Any) -> Any:
    """A truth value taken twice."""
    kept = (pooled(x) > 0).astype(x.dtype)
    return kept * kept - kept


def whole(x: Any) -> Any:
    """Numbers that are whole already, rounded."""
    y = pooled(x).astype(jnp.float32)
    return jnp.floor(y) - y


CONSTANT: dict[str, tuple[Fn, Any]] = {
    "pattern": (pattern, np.int32),
    "mask": (mask, np.int32),
    "whole numbers rounded": (whole, np.int32),
    "factors with a product of 2^32": (lambda x: pooled(x) * 65536 * 65536, np.int32),
    "a power beyond the width": (lambda x: lax.integer_pow(pooled(x) * 2, 32), np.int32),
    "sign of what underflows": (lambda x: jnp.sign(jnp.exp(1000 * pooled(x))), np.float32),
    "what underflows over what overflows": (lambda x: jnp.sign(1 / jnp.exp(1000 * pooled(x))), np.float32),
    "two that overflow": (lambda x: (jnp.exp(1e3 * pooled(x)) >= 0.5 * jnp.exp(1e3 * pooled(x))) * 1.0, np.float32),
    "softplus above 0": (lambda x: (jax.nn.softplus(pooled(x)) > 0) * 1.0, np.float32),
    "sigmoid below 1": (lambda x: (jax.nn.sigmoid(40 * pooled(x)) < 1) * 1.0, np.float32),
    "added and taken away": (lambda x: (pooled(x) + 0.1) - pooled(x), np.float32),
    "sine and cosine": (lambda x: jnp.sin(pooled(x)) ** 2 + jnp.cos(pooled(x)) ** 2, np.float32),
    "large terms of a sum": (lambda x: jnp.sum(jnp.concatenate(
        [jnp.full_like(pooled(x), 1e20), pooled(x), jnp.full_like(pooled(x), -1e20), -pooled(x)], -1), -1, keepdims=True
    ), np.float32),
    "rounding, rounded": (lambda x: jnp.sign(jnp.round((pooled(x) * 0.1 * 10 - pooled(x)) * 1e15)), np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_claims_nothing(name: str) -> None:
    """It has every period, and reads nothing."""
    fn, dtype = CONSTANT[name]
    axis = proof(fn, dtype=dtype)
    assert axis.period == 2
    assert not axis.minimal
    assert not axis.attained
    for kind in ("minimal", "attained"):
        with pytest.raises(ValueError, match=f"not shown that axis 1 is {kind}: no witness was found."):
            axis.witness(kind)


def test_what_is_absorbed_is_not_claimed_to_be_read() -> None:
    assert not proof(absorbed, dtype=np.int32).attained
    assert proof(absorbed, dtype=np.int32).minimal  # x[:, ::2]
    assert not proof(staircase, dtype=np.int32).minimal
    # The second pixel changes the last bits only.
    assert not proof(lambda x: (0.1 * x[:, 1:] + 0.3 * x[:, :-1]) - 0.3 * x[:, :-1]).attained
    assert not proof(lambda x: (x[:, 1:] + 1e20 * x[:, :-1]) - 1e20 * x[:, :-1]).attained


D = ("NHC", "HIO", "NHC")


def filtered(x: Any, kernel: Any) -> Any:
    return lax.conv_general_dilated(x, kernel, (1,), "VALID", dimension_numbers=D)


WEIGHT = np.array([3, 5, 7], np.int32).reshape(3, 1, 1)
HELD: dict[str, tuple[Callable[..., Any], Any]] = {
    "tied weights": (lambda p, x: filtered(pooled(x), p[0]) - filtered(pooled(x), p[1]), (WEIGHT, WEIGHT)),
    "equal weights": (lambda p, x: filtered(pooled(x), p[0]) - filtered(pooled(x), p[1]), (WEIGHT, WEIGHT.copy())),
    "a small weight over a large one": (lambda p, x: pooled(x) * lax.div(p, np.int32(1000)), np.int32(77)),
    "a switch that is off": (lambda p, x: pooled(x) * p.astype(x.dtype), np.bool_(False)),
    "a kernel of switches": (lambda p, x: pooled(x) @ p.astype(x.dtype), np.zeros((1, 1), np.bool_)),
}


@pytest.mark.parametrize("name", HELD)
def test_parameters_that_the_function_holds_are_not_replaced(name: str) -> None:
    """With others, these would read; with these, they are zero."""
    fn, p = HELD[name]
    axis = proof(Partial(fn, p), dtype=np.int32)
    assert not axis.minimal
    assert not axis.attained


def test_positive_functions_of_parameters() -> None:
    """Both terms are negative for every p, so that the rectifier is dead; with the other sign it lives."""

    def net(sign: int, p: Any, x: Any) -> Any:
        return jax.nn.relu(sign * (jax.nn.sigmoid(pooled(x)) + jnp.exp(p)))

    for p in (jax.ShapeDtypeStruct((), jnp.float32), np.float32(0)):
        assert not proof(Partial(Partial(net, -1), p)).minimal
        assert proof(Partial(Partial(net, 1), p)).minimal


# Exact arithmetic on fractions tells whether a float function truly differs.


def exactly(fn: Fn, x: np.ndarray) -> np.ndarray:
    """A function of the operators of `Line`, in fractions."""
    flat = [Fraction(float(v)) for v in x.ravel()]
    return np.array(fn(Line(np.array(flat, object).reshape(x.shape))).value)


@dataclasses.dataclass(frozen=True)
class Line:
    """An array with the operations that random programs are made of: of floats in JAX, or of fractions in NumPy."""

    value: Any

    @property
    def exact(self) -> bool:
        return isinstance(self.value, np.ndarray) and self.value.dtype == object

    def constant(self, number: float) -> Any:
        return Fraction(float(np.float32(number))) if self.exact else np.float32(number)

    def cropped(self, other: Line) -> tuple[Any, Any]:
        n = min(self.value.shape[1], other.value.shape[1])
        return self.value[:, :n], other.value[:, :n]

    def shift(self) -> Line:
        return Line(self.value[:, 1:])

    def scale(self, number: float) -> Line:
        return Line(self.value * self.constant(number))

    def offset(self, number: float) -> Line:
        return Line(self.value + self.constant(number))

    def add(self, other: Line) -> Line:
        a, b = self.cropped(other)
        return Line(a + b)

    def sub(self, other: Line) -> Line:
        a, b = self.cropped(other)
        return Line(a - b)

    def mul(self, other: Line) -> Line:
        a, b = self.cropped(other)
        return Line(a * b)

    def max(self, other: Line) -> Line:
        a, b = self.cropped(other)
        return Line(np.maximum(a, b) if self.exact else jnp.maximum(a, b))

    def above(self, other: Line) -> Line:
        a, b = self.cropped(other)
        return Line((a > b) * self.constant(1))

    def equal(self, other: Line) -> Line:
        a, b = self.cropped(other)
        return Line((a == b) * self.constant(1))

    def floor(self) -> Line:
        return Line(
            np.vectorize(lambda v: Fraction(math.floor(v)), [object])(self.value)
            if self.exact
            else jnp.floor(self.value)
        )


UNARY, BINARY, NUMBERS = (
    ("shift", "floor"),
    ("add", "sub", "mul", "max", "above", "equal"),
    (0.1, 3, 1 / 3, 1e20, 1e-20, -7),
)


@st.composite
def expressions(draw: Any) -> tuple[tuple[Any, ...], ...]:
    """A straight program: each step names an operation and the earlier results that it takes."""
    steps: list[tuple[Any, ...]] = []
    for count in range(1, draw(st.integers(2, 9))):
        kind = draw(st.sampled_from(["unary", "binary", "binary", "scale", "offset"]))
        one = draw(st.integers(max(0, count - 3), count - 1))
        if kind == "unary":
            steps.append((draw(st.sampled_from(UNARY)), one))
        elif kind == "binary":
            steps.append((draw(st.sampled_from(BINARY)), one, draw(st.integers(0, count - 1))))
        else:
            steps.append((kind, one, float(draw(st.sampled_from(NUMBERS)))))
    return tuple(steps)


def follow(steps: tuple[tuple[Any, ...], ...], x: Line) -> Line:
    found = [x]
    for name, one, *rest in steps:
        found.append(getattr(found[one], name)(*(found[v] if name in BINARY else v for v in rest)))
    return found[-1]


def false_claims(fn: Callable[[Line], Line]) -> list[str]:
    """What the witnesses show, and does not happen in exact arithmetic."""
    try:
        cert = certify(lambda x: fn(Line(x)).value, jax.ShapeDtypeStruct((1, 12, 1), np.float32))
    except CertificationError:  # the image does not enter
        return []
    found = []
    for kind in ("minimal", "attained"):
        for difference in cert.axes[0].witness(kind).differences if getattr(cert.axes[0], kind) else ():
            images = [cert.axes[0].witness(kind).image(drawing) for drawing in difference.images]
            one, two = (exactly(fn, image)[pixel] for image, pixel in zip(images, difference.pixels, strict=True))
            found += [f"{kind}: {difference}, but both are {one}"] * (one == two)
    return found


@settings(max_examples=examples() // 2, **QUIET)
@given(expressions())
def test_differences_of_floats_are_differences_of_numbers(steps: tuple[tuple[Any, ...], ...]) -> None:
    """Rounding, absorption, overflow and steps in random programs are not taken for reading."""
    assert false_claims(lambda x: follow(steps, x)) == []


def rounded(x: Line) -> Line:
    """A multiple of the image that float64 cannot hold exactly."""
    return x.scale(0.1).scale(1 / 3)


TRAPS: dict[str, Callable[[Line], Line]] = {
    "added and taken away": lambda x: rounded(x.shift()).add(rounded(x)).sub(rounded(x)),
    "constant": lambda x: rounded(x).offset(0.1).sub(rounded(x)),
    "equal": lambda x: rounded(x).sub(x.shift()).add(x.shift()).equal(rounded(x)),
    "whole": lambda x: rounded(x).sub(x.shift()).add(x.shift()).sub(rounded(x)).floor(),
}


def test_a_search_that_takes_rounding_for_reading_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: without the bound on rounding, false claims are made, and noticed."""
    assert {name: false_claims(fn) for name, fn in TRAPS.items()} == {name: [] for name in TRAPS}
    monkeypatch.setattr(float_error, "FAR", 0.0)
    assert all(map(false_claims, TRAPS.values()))


@pytest.mark.parametrize(
    ("dtype", "factor", "held"),
    [(np.float32, 1e15, True), (np.float32, 1e30, False), (np.float32, 1e-15, True), (np.float32, 1e-30, False),
     (jnp.float16, 10.0, True), (jnp.float16, 1e3, False), (jnp.float16, 1e-1, True), (jnp.float16, 1e-4, False)],
)  # fmt: skip
def test_what_the_own_type_cannot_hold_shows_nothing(dtype: Any, factor: float, held: bool) -> None:
    """In float64 the pixel is read; in its own type the function overflows, or is zero, whatever the pixel."""
    scale = jnp.asarray(factor, dtype)
    assert line(lambda x: x * scale * scale, dtype).attained is held


@pytest.mark.parametrize(("factor", "held"), [(1.0, True), (1e6, False)])
def test_what_a_narrower_type_cannot_hold_shows_nothing(factor: float, held: bool) -> None:
    def narrow(x: jax.Array) -> jax.Array:
        return (1e2 * factor * x).astype(jnp.float16).astype(np.float32)

    def cut(x: jax.Array) -> jax.Array:
        return jax.lax.reduce_precision(1e2 * factor * x, 5, 10)

    assert (line(narrow, np.float32).attained, line(cut, np.float32).attained) == (held, held)


# Which functions, and what for.


def test_each_prime_needs_a_witness_of_its_own() -> None:
    """Period 6 is not minimal because 3 is excluded; 2 must be, too."""
    six = line(lambda x: jnp.repeat(x[:, : x.shape[1] // 6 * 6 : 6], 6, 1), np.int32)
    assert [d.shows[:26] for d in six.witness("minimal").differences] == [
        "an output reads the image", "moving the image by 3 px d", "moving the image by 2 px d",
    ]  # fmt: skip
    # Where the stride is no whole number, a smaller shift cannot move the output by whole pixels.
    three = line(lambda x: jnp.stack([x[:, :-1:3], x[:, 1::3]], 2).reshape(1, -1, 1), np.int32)
    assert (three.period, three.phases, three.minimal) == (3, 2, True)
    assert [d.shows for d in three.witness("minimal").differences] == ["an output reads the image"]


def test_a_period_of_1_is_minimal_by_itself() -> None:
    axis = proof(lambda x: x * 2)
    assert axis.minimal
    assert axis.witness("minimal").differences == ()
    assert dataclasses.replace(axis, search=KnownWitnesses()).minimal


ALONE: dict[str, tuple[Fn, Any, tuple[int, ...]]] = {
    "pooling alone": (lambda x: jnp.maximum(x[:, ::2], x[:, 1::2]), np.float32, (2, 1)),
    "a stride": (lambda x: x[:, ::3] * 2, np.uint8, (3, 1)),
    "without parameters": (pooled, np.float32, (2, 2)),
    "truth values": (lambda x: x[:, ::2] | x[:, 1::2], np.bool_, (2, 1)),
    "bytes to floats": (lambda x: pooled(x).astype(jnp.float32) / 255, np.uint8, (2, 2)),
    "half precision": (lambda x: jnp.tanh(pooled(x)), jnp.bfloat16, (2, 2)),
    "roots": (lambda x: jnp.log(jnp.sqrt(pooled(x))), np.float32, (2, 2)),
    "loops": (lambda x: lax.fori_loop(0, 3, lambda i, y: y * 0.5 + i, pooled(x)), np.float32, (2, 2)),
    "branches": (lambda x: lax.cond(jnp.sum(jnp.ones(3)) > 2, jnp.sin, jnp.cos, pooled(x)), np.float32, (2, 2)),
    "whiles": (lambda x: lax.while_loop(lambda s: s[0] < 9, lambda s: (s[0] * 2, s[1] * 0.5), (1, pooled(x)))[1],
               np.float32, (2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_functions_without_parameters(name: str) -> None:
    """Of every type of image, strided or not."""
    fn, dtype, numbers = ALONE[name]
    axis = line(fn, dtype)
    assert (axis.period, axis.phases) == numbers
    assert axis.minimal
    assert axis.attained


def test_several_outputs_have_witnesses_of_their_own() -> None:
    fn = lambda x: {"a": pool(x), "b": (pool(x) - pool(x), x * 2)}  # noqa: E731
    cert = certify(fn, IMAGE)
    claims = [(a.minimal, a.attained) for one in cert.outputs for a in one.axes]
    assert claims == [(True, True)] * 2 + [(False, False)] * 2 + [(True, True)] * 2
    assert cert.outputs[2].axes[0].witness("attained").replay(fn)


def test_integers_are_compared_exactly_and_wrap_around() -> None:
    axis = line(lambda x: pooled(x) * (2**31 - 1), np.int32)
    assert axis.minimal
    assert all(isinstance(v, int) for d in axis.witness("minimal").differences for v in d.values)


# What a witness is.


def test_a_large_image_is_witnessed_at_the_smallest_size_that_shows_it() -> None:
    """Nothing of the size of the image is ever computed."""
    net = UNet(2, ndim=3, features=2, factors=(2,), convs=1)
    x = jax.ShapeDtypeStruct((1, 1004, 1004, 1004, 1), jnp.float32)
    cert = certify(Partial(net.apply, jax.eval_shape(net.init, jax.random.key(0), x)), x)
    witness = cert.axes[1].witness("minimal")
    assert max(witness.shape) <= 20
    assert witness.image(witness.differences[0].images[0]).shape == witness.shape


def test_a_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too much work is not shown; neither is a function of one size only that is large."""
    monkeypatch.setattr(search, "WORK", 10.0)
    assert not proof(pooled).minimal
    monkeypatch.undo()
    cropped = lambda x: pool(x[:, : x.shape[1] // 4096 * 4096, : x.shape[1] // 4096 * 4096])  # noqa: E731
    cert = certify(cropped, jax.ShapeDtypeStruct((1, 4096, 4096, 1), jnp.float32))
    assert not cert.axes[0].minimal


def test_a_witness_replays() -> None:
    """On the function, and not on one that has lost what is shown."""
    fn = small_unet()
    cert = certify(fn, IMAGE)
    for axis in cert.axes:
        for kind in ("minimal", "attained"):
            assert axis.witness(kind).replay(fn)
            assert not axis.witness(kind).replay(Partial(lambda p, x: conv(level(p, x), 0 * p[3][:, :, :2]), LEVEL))


def test_certificates_travel_with_their_witnesses() -> None:
    """As JSON; what is read from there without a witness is not shown."""
    fn = small_unet()
    cert = certify(fn, IMAGE)
    text = cert.to_json()
    again = Certificate.from_json(text)
    assert again == cert
    for one, two in zip(cert.axes, again.axes, strict=True):
        assert one.witness("minimal") == two.witness("minimal")
        assert two.witness("attained").replay(fn)
    data = json.loads(text)
    for axis in data["leaves"][0]["axes"]:
        axis["witnesses"] = []
    without = Certificate.from_json(json.dumps(data))
    assert without == cert
    assert not any(axis.minimal or axis.attained for axis in without.axes)
    assert "not shown" in without.explain()


def test_copies_leave_the_function_behind() -> None:
    """What is known by then goes with them; equality and hash do not depend on it."""
    cert = certify(small_unet(), IMAGE)
    assert cert.axes[0].minimal
    copy = pickle.loads(pickle.dumps(cert))
    assert copy == cert
    assert hash(copy) == hash(cert)
    assert (copy.axes[0].minimal, copy.axes[0].attained) == (True, False)
    assert copy.outputs[0].axes[0].witness("minimal") == cert.axes[0].witness("minimal")


def test_a_witness_is_looked_for_once_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look = search.Search._look

    def watched(self: Any, kind: str) -> Any:
        asked.append(kind)
        return look(self, kind)

    monkeypatch.setattr(search.Search, "_look", watched)
    axis = proof(pooled)
    assert asked == []
    assert axis.minimal
    assert axis.minimal
    assert axis.witness("minimal")
    assert asked == ["minimal"]
    with pytest.raises(ValueError, match="one of 'minimal', 'attained'"):
        axis.witness("period")


def test_the_page_says_what_was_shown() -> None:
    """And whose parameters showed it."""
    shown = certify(small_unet(), IMAGE).explain()
    assert "for some values of the parameters no smaller shift does: images of shape (1, 8, 8, 1) show it." in shown
    held = [np.ones(s.shape, np.float32) for s in LEVEL]
    assert "the output by 2 px, and no smaller shift does" in certify(Partial(level, held), IMAGE).explain()
    dead = certify(lambda x: pool(x) - pool(x), IMAGE).explain()
    assert "by 1 px; whether a smaller shift does too was not shown." in dead
    assert "smaller shift" not in certify(lambda x: x * 2, IMAGE).explain()
