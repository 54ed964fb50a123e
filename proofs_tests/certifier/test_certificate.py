"""The certificate as an object: plain, frozen, comparable, and honest about what it rests on."""

from __future__ import annotations

import dataclasses
import json
import sys
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.certifier.nets import IMAGE, LEVEL, conv, level, pool, small_unet
from shiftjax.certifier import Certificate, CertificationError, batchwise, certify

WEIGHTS = np.random.default_rng(0).normal(size=(3, 3, 1, 2)).astype(np.float32)


def at(n: int, fn: Any = None) -> Certificate:
    return certify(fn or small_unet(), jax.ShapeDtypeStruct((1, n, n, 1), jnp.float32))


def test_it_is_frozen_and_compares() -> None:
    """Two proofs of the same are equal; a field cannot be set."""
    assert at(20) == at(20)
    assert hash(at(20)) == hash(at(20))
    assert at(20) != at(22)
    with pytest.raises(dataclasses.FrozenInstanceError):
        at(20).shape = (1, 2, 3, 4)  # type: ignore[misc]


def test_it_prints_short() -> None:
    """One line."""
    text = repr(at(20))
    assert "\n" not in text
    assert len(text) < 200
    assert "period (2, 2)" in text


@pytest.mark.parametrize("fn", [small_unet(), lambda x: {"a": pool(x), "b": (conv(x, WEIGHTS),)}])
def test_it_travels_as_json(fn: Any) -> None:
    """To text and back, it is the same."""
    cert = at(20, fn)
    assert Certificate.from_json(cert.to_json()) == cert
    assert Certificate.from_json(cert.to_json()).fingerprint == cert.fingerprint
    assert json.loads(cert.to_json())["shape"] == [1, 20, 20, 1]
    with pytest.raises(ValueError, match="format"):
        Certificate.from_json('{"format": 99}')


def test_several_outputs_have_a_certificate_each() -> None:
    """Named by their place in the pytree; `axes` is for a single one."""
    cert = at(20, lambda x: {"a": pool(x), "b": (conv(x, WEIGHTS),)})
    assert [one.leaves[0].name for one in cert.outputs] == ["['a']", "['b'][0]"]
    assert [one.period for one in cert.outputs] == [(2, 2), (1, 1)]
    with pytest.raises(AttributeError, match="outputs"):
        _ = cert.axes
    assert at(20).outputs[0] == at(20)


def test_its_numbers_agree_with_each_other() -> None:
    """Stride, offset, halo, field and what a run of outputs reads."""
    cert = at(20)
    for axis in cert.axes:
        assert axis.stride == Fraction(axis.period, axis.phases) == 1
        centres = [(lo + hi) / 2 - r for r, (lo, hi) in enumerate(zip(axis.lo, axis.hi, strict=True))]
        assert axis.offset == np.floor(np.mean(centres)) == 3
        assert axis.reads(0, axis.out) == (0, axis.size)
        assert axis.reads(2, 5) == (
            min(2 * (i // 2) + axis.lo[i % 2] for i in range(2, 5)),
            max(2 * (i // 2) + axis.hi[i % 2] for i in range(2, 5)) + 1,
        )
        for r, (lo, hi) in enumerate(zip(axis.lo, axis.hi, strict=True)):
            assert axis.offset + r - axis.halo[0] <= lo
            assert hi <= axis.offset + r + axis.halo[1]
    assert cert.capacity == 4
    assert cert.training_window == (3, 3)
    assert cert.output_shape == (1, 14, 14, 2)
    assert cert.output_axes == (1, 2)


def test_a_stride_keeps_capacity_and_phases_apart() -> None:
    """A pooling alone: period 2 and capacity 4, but one phase of output."""
    cert = at(20, pool)
    assert (cert.period, cert.capacity, [a.phases for a in cert.axes]) == ((2, 2), 4, [1, 1])
    assert cert.axes[0].stride == 2
    assert "Up to 4 same-looking objects" in cert.explain()
    assert "phases of the output number 1." in cert.explain()


def test_output_axes_are_found_and_checked() -> None:
    """A transposed output says so; a wrong wish is refused."""
    turned = lambda x: x.transpose(3, 2, 0, 1)  # noqa: E731
    assert at(20, turned).output_axes == (3, 1)
    assert certify(turned, IMAGE, output_axes=(-1, 1)).output_axes == (3, 1)
    with pytest.raises(CertificationError, match="output_axes"):
        certify(turned, IMAGE, output_axes=(1, 2))


def test_spatial_axes_can_be_chosen() -> None:
    """Only one axis is space; along the others a reduction is fine."""
    cert = certify(lambda x: x - x.mean(2, keepdims=True), IMAGE, spatial_axes=(1,))
    assert len(cert.axes) == 1
    assert cert.axes[0].input_axis == 1


def test_two_shapes_give_the_same_map() -> None:
    """Parameters by their place, constants by value, crops from the start: the same at every size."""
    assert at(20).same_map(at(28))
    closed = lambda x: conv(x, WEIGHTS) + np.float32(1)  # noqa: E731
    assert at(20, closed).same_map(at(31, closed))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x * x.shape[1],
        lambda x: x / x.size,
        lambda x: x[:, (x.shape[1] - 8) // 2 :],
        lambda x: conv(x, WEIGHTS) * jnp.linspace(1, 2, x.shape[1])[-2],
        lambda x: jax.lax.fori_loop(0, x.shape[1], lambda i, v: v * 2, x),
        lambda x: x + jnp.sum(jnp.ones(x.shape[1])),
        lambda x: jnp.roll(x, x.shape[1] // 4, 1),
        lambda x: jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (x.shape[1] % 4, 2), (0, 0), (0, 0)]
        ),
    ],
)
def test_a_size_that_enters_the_map_is_noticed(fn: Any) -> None:
    """Each certifies at either shape, and tiles to nonsense."""
    one, two = at(20, fn), at(26, fn)
    assert not one.same_map(two)
    assert one.same_map(at(20, fn))


def test_parameters_count_by_their_place() -> None:
    """Swapped parameters are another map, other values of them are not."""

    def net(p: Any, x: Any) -> Any:
        return x * p["a"] + p["b"]

    p = {"a": np.ones(1, np.float32), "b": np.full(1, 2, np.float32)}
    assert at(20, Partial(net, p)).same_map(at(20, Partial(net, {"a": p["b"], "b": p["a"]})))
    assert not at(20, Partial(net, p)).same_map(at(20, Partial(lambda q, x: x * q["b"] + q["a"], p)))
    assert at(20, Partial(net, p)).parameters == ("args[0]['a']", "args[0]['b']")


def test_arrays_closed_over_are_named_and_count_by_value() -> None:
    """Their names are the author's; another value is another map."""
    table = {"kernel": WEIGHTS}
    one = at(20, lambda x: conv(x, table["kernel"]))
    assert [(c.name, c.shape) for c in one.constants] == [("table['kernel']", (3, 3, 1, 2))]
    table = {"kernel": WEIGHTS + 1}
    two = at(20, lambda x: conv(x, table["kernel"]))
    assert one.constants[0].digest != two.constants[0].digest
    assert not one.same_map(two)


def test_a_periodic_constant_is_an_assumption() -> None:
    """Two full periods of a closed-over pattern are taken to go on, and the certificate says so."""
    pattern = np.resize([0, 1, 1], 20).astype(np.float32)[:, None, None]
    cert = certify(lambda x: x + pattern, IMAGE)
    assert cert.period == (3, 1)
    assert len(cert.assumptions) == 1
    assert "pattern" in cert.assumptions[0]
    with pytest.raises(CertificationError):
        certify(lambda x: (x + pattern)[:, :5] + pattern[:5], IMAGE)


def test_resizing_weights_that_repeat_only_nearly_are_disclosed() -> None:
    """Factor 2 repeats exactly; factor 3 only up to rounding, which is said."""
    by = lambda f: lambda x: jax.image.resize(x, (1, 20 * f, 20, 1), "linear")  # noqa: E731
    assert certify(by(2), IMAGE).approximations == ()
    assert "repeat only to" in certify(by(3), IMAGE).approximations[0]
    assert "Only approximately" in certify(by(3), IMAGE).explain()
    assert certify(by(3), IMAGE).axes[0].exact == (1, 59)


def test_a_plan_on_rounded_weights_does_not_equal_the_whole() -> None:
    """It says why; weights that are exact are the same at every size."""
    for factor in (2, 3):
        plan = sj.plan_tiles(partial(enlarged, factor=factor), (1, 90, 1), tile=12)
        assert plan.equals_whole == (factor == 2), plan.why
        assert ("repeat only to" in plan.why) == (factor == 3)


def enlarged(x: Any, factor: int) -> Any:
    """Resized and cut back to the pixels of the image: every output still reads the weights of one phase."""
    large = jax.image.resize(x, (1, factor * x.shape[1], 1), "linear")
    return large.reshape(1, x.shape[1], factor)


def test_a_list_of_indices_is_taken_to_continue() -> None:
    """A pattern seen for few turns may be an accident of this size (17 to 24 px repeats every 10), so it is said."""
    found = certify(
        lambda x: jax.image.resize(x, (1, 24, *x.shape[2:]), "nearest"), jax.ShapeDtypeStruct((1, 17, 9, 1), "f4")
    )
    assert "for 2.4 turns" in found.assumptions[0]
    assert "for 2.4 turns" in found.explain()
    assert certify(lambda x: x[:, ::2], IMAGE).assumptions == ()


@pytest.mark.parametrize("crop", [2, 3, 4])
def test_a_skip_off_by_one_is_reported(crop: int) -> None:
    """It is legal and certified, but rarely meant."""
    cert = at(20, small_unet(crop=crop))
    assert cert.period == (2, 2)
    assert [m.shift for m in cert.misaligned] == ([] if crop == 3 else [Fraction(3 - crop)] * 2)
    assert ("centred" in cert.explain()) == (crop != 3)
    for found in cert.misaligned:
        assert found.operation == "concatenate"
        assert "nets.py" in found.source


def test_the_page_says_what_it_means() -> None:
    """Operations with their lines, then tiles, windows and capacity in words."""
    page = at(20).explain()
    for words in (
        "conv_general_dilated",
        "nets.py:",
        "multiple of 2 px",
        "at least 3 px",
        "Up to 4 same-looking",
        "exact arithmetic",
    ):
        assert words in page
    assert max(map(len, page.splitlines())) < 200


def test_the_subpackage_stays_importable_behind_the_function() -> None:
    """`sj.certify` is the function; its modules can still be imported."""
    from shiftjax.certifier import _certificate as certificate

    assert sj.certify is certify
    assert certificate is sys.modules["shiftjax.certifier._certificate"]


def test_the_unet_states_the_certified_period() -> None:
    """One thing computes the period, and the network agrees with it."""
    cases: tuple[dict[str, Any], ...] = (
        {"factors": ((2, 2), (2, 2))},
        {"factors": ((3, 2),)},
        {"factors": ((2, 2),), "upsample": "nearest"},
    )
    for options in cases:
        net = sj.UNet(2, features=5, **options)
        size = [sizes[0][0] for sizes in net.legal_sizes((60, 60) if len(options["factors"]) > 1 else (30, 30))]
        x = jax.ShapeDtypeStruct((1, *size, 1), jnp.float32)
        variables = jax.eval_shape(net.init, jax.random.key(0), x)
        cert = certify(Partial(net.apply, variables), x)
        assert cert.period == tuple(net.period)
        assert all(axis.minimal for axis in cert.axes)
        assert cert.misaligned == ()


def test_parameters_may_be_shapes_only() -> None:
    """Values do not enter: shapes and arrays give the same proof."""
    arrays = [jnp.ones(s.shape) for s in LEVEL]
    assert at(20, Partial(level, arrays)).axes == at(20, Partial(level, LEVEL)).axes


def test_batchwise_is_proved_or_not() -> None:
    """A network that looks at its batch must not get several tiles in one call."""
    assert batchwise(small_unet(), IMAGE)
    assert batchwise(lambda x: {"a": pool(x), "b": x}, IMAGE)
    for mixed in (
        lambda x: x - x.mean(0),
        lambda x: x[::-1],
        lambda x: jnp.moveaxis(x, 0, -1),
        lambda x: jnp.cumsum(x, 0),
        lambda x: x + jnp.arange(x.shape[0])[:, None, None, None],
        lambda x: x[:1],
        lambda x: x[0],
        lambda x: x * jnp.roll(x, 1, 0),
    ):
        assert certify(mixed, IMAGE)
        assert not batchwise(mixed, IMAGE)
