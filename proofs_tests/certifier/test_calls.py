"""Calls, branches and loops; among them two mistakes that published tools made."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.tree_util import Partial

from shiftjax.certifier import CertificationError, certify

X = jax.ShapeDtypeStruct((1, 20, 2), jnp.float32)


def field(fn: Any) -> tuple[int, int]:
    axis = certify(fn, X).axes[0]
    return axis.lo[0], axis.hi[0]


def test_a_jitted_function_called_twice_with_different_constants() -> None:
    """JAX shares the program and its variables between the calls; the constants must not be."""
    scaled = jax.jit(lambda x, k: x * k)
    ramp, flat = np.arange(20, dtype=np.float32)[:, None], np.ones((20, 1), np.float32)
    assert certify(lambda x: scaled(scaled(x, flat), 2 * flat), X).period == (1,)
    for first, second in ((flat, ramp), (ramp, flat)):

        def twice(x: Any, first: Any = first, second: Any = second) -> Any:
            return scaled(scaled(x, first), second)

        with pytest.raises(CertificationError):
            certify(twice, X)


def test_a_jitted_function_called_twice_reads_twice_as_far() -> None:
    """Each call works on its own operands."""
    step = jax.jit(lambda x: x[:, 1:] + x[:, :-1])
    assert field(lambda x: step(x)) == (0, 1)
    assert field(lambda x: jnp.concatenate([jax.jit(lambda v: v)(x)[:, 2:], step(x)[:, 1:]], -1)) == (1, 2)
    assert field(lambda x: step(step(x))) == (0, 2)


def test_the_constants_of_a_while_loop_are_told_apart() -> None:
    """The condition's constants come before the body's: swapped, an image-dependent condition could pass."""
    image_dependent = lambda x: lax.while_loop(lambda s: (s[0] < x).all(), lambda s: (s[0] + 1, s[1] * 2), (0.0, x))[1]  # noqa: E731
    with pytest.raises(CertificationError):
        certify(image_dependent, X)

    def both(x: Any, last: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < last, lambda s: (s[0] + 1, s[1] + x[:, 1:]), (0, x[:, :-1]))[1]

    cert = certify(lambda x: both(x, jnp.asarray(3)), X)
    assert (cert.axes[0].lo, cert.axes[0].hi, cert.axes[0].exact) == ((0,), (1,), (0, 19))


def test_a_loop_of_unknown_length_needs_bounds_that_stay() -> None:
    """A parameter decides how often: a body that keeps the field passes, one that widens it does not."""

    def net(turns: Any, x: Any, *, widen: bool) -> Any:
        body = (lambda v: v + jnp.roll(v, 1, 1)) if widen else (lambda v: jnp.tanh(v) * 2)
        return lax.while_loop(lambda s: s[0] < turns, lambda s: (s[0] + 1, body(s[1])), (0, x))[1]

    turns = jax.ShapeDtypeStruct((), jnp.int32)
    steady = certify(Partial(Partial(net, widen=False), turns), X)
    assert (steady.axes[0].lo, steady.axes[0].hi, steady.axes[0].exact) == ((0,), (0,), (0, 20))
    with pytest.raises(CertificationError, match="further"):
        certify(Partial(Partial(net, widen=True), turns), X)


def test_an_unknown_branch_stands_for_all() -> None:
    """The hull of both branches; the known branch alone where it is known."""

    def net(choice: Any, x: Any) -> Any:
        return lax.cond(choice, lambda v: v[:, 3:], lambda v: v[:, :-3], x)

    axis = certify(Partial(net, jax.ShapeDtypeStruct((), jnp.bool_)), X).axes[0]
    assert (axis.lo, axis.hi) == ((0,), (3,))
    assert field(lambda x: net(np.bool_(True), x)) == (3, 3)
    assert field(lambda x: net(np.bool_(False), x)) == (0, 0)


def test_branches_of_one_map_are_exact_where_all_are() -> None:
    """Whatever the choice is: the map keeps its name, and its windows are those that every branch has."""

    def net(choice: Any, x: Any) -> Any:
        y = lax.reduce_window(x, 0.0, lax.add, (1, 3, 1), (1, 1, 1), "SAME")
        return lax.cond(choice, lambda v: v.at[:, :4].set(7), lambda v: v.at[:, -3:].set(7), y)

    def summed(x: Any) -> Any:
        return lax.reduce_window(x, 0.0, lax.add, (1, 3, 1), (1, 1, 1), "SAME")

    either = certify(Partial(net, jax.ShapeDtypeStruct((), jnp.bool_)), X).axes[0]
    branches = (lambda x: net(np.bool_(True), x), lambda x: net(np.bool_(False), x))
    alone = [certify(branch, X).axes[0] for branch in branches]
    assert [axis.exact[0] for axis in alone] == [4, 1]  # the control: each branch has windows of its own
    assert either.exact == (max(a.exact[0] for a in alone), min(a.exact[1] for a in alone))
    assert either.start >= max(a.start for a in alone)
    assert either.stop <= min(a.stop for a in alone)
    assert (either.period, either.lo, either.hi) == (alone[0].period, alone[0].lo, alone[0].hi)
    image = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    window = slice(*either.exact)
    for known in (True, False):
        assert np.array_equal(net(np.bool_(known), image)[:, window], summed(image)[:, window])


def test_branches_whose_ends_differ_have_ends_of_their_own() -> None:
    """One branch fills its border with the size: the ends of either are not alike at two sizes, whatever the choice."""

    def net(choice: Any, x: Any, size: Any) -> Any:
        fill = [lambda v, n=n: jnp.pad(v[:, 1:-1], ((0, 0), (1, 1), (0, 0)), constant_values=n) for n in (0.0, size)]
        return lax.cond(choice, *fill, x)

    def proofs(size: Any) -> list[Any]:
        choice = jax.ShapeDtypeStruct((), jnp.bool_)
        shapes = [jax.ShapeDtypeStruct((1, n, 2), jnp.float32) for n in (20, 31)]
        return [certify(Partial(lambda c, x: net(c, x, size(x)), choice), x) for x in shapes]

    small, large = proofs(lambda x: 5.0)
    assert small.same_map(large, borders=True)  # the control
    small, large = proofs(lambda x: float(x.shape[1]))
    assert small.same_map(large)
    assert not small.same_map(large, borders=True)


def test_branches_for_platforms_are_not_chosen_by_this_machine() -> None:
    """A certificate made on a CPU speaks of other machines too."""

    def net(x: Any) -> Any:
        return lax.platform_dependent(x, cpu=lambda v: v[:, 3:], default=lambda v: v[:, :-3])

    assert field(net) == (0, 3)


def test_random_bits_of_this_machine_choose_no_branch() -> None:
    """Which algorithm makes them is up to the machine."""

    def net(number: Any) -> Any:
        return lambda x: lax.cond(number() % 2 == 0, lambda v: v[:, 3:], lambda v: v[:, :-3], x)

    assert field(net(lambda: lax.rng_bit_generator(np.zeros(4, np.uint32), ())[1])) == (0, 3)
    assert field(net(lambda: jnp.uint32(4))) == (3, 3), "a control: a number that is known"


def test_constants_of_a_loop_are_not_those_of_this_machine() -> None:
    """Zeros on a CPU, a ramp elsewhere: that a loop over constants computes them changes nothing."""

    def added(elsewhere: Any) -> Any:
        def turn(k: Any, last: Any) -> Any:
            jax.debug.print("turn {}", k)  # which has effects, and gives no results
            return elsewhere(last)

        return lambda x: x + lax.fori_loop(0, 1, turn, jnp.zeros((x.shape[1], 1)))

    ramp = np.arange(20, dtype=np.float32)[:, None]
    with pytest.raises(CertificationError, match="may vary along its axis"):
        certify(added(lambda v: lax.platform_dependent(v, cpu=lambda v: v, default=lambda v: v + ramp)), X)
    assert certify(added(lambda v: v), X).period == (1,), "a control"


def test_a_scan_reads_as_far_as_its_turns() -> None:
    """Unrolled: each turn of a same-padded step widens the field by one on either side."""

    def net(x: Any) -> Any:
        step = lambda v, _: (v + jnp.pad(v, ((0, 0), (1, 1), (0, 0)))[:, 2:], v)  # noqa: E731
        return lax.scan(step, x, None, length=4)

    last, every = certify(net, X).outputs
    assert (last.axes[0].lo, last.axes[0].hi, last.axes[0].exact) == ((0,), (4,), (0, 16))
    assert (every.axes[0].lo, every.axes[0].hi, every.axes[0].exact) == ((0,), (3,), (0, 17))
    assert every.axes[0].output_axis == 2


def test_vmapped_functions_are_seen_through() -> None:
    """A function of one image without batch, mapped over a batch."""
    one = lambda v: jnp.convolve(v[:, 0], np.array([1.0, 2.0, 3.0], np.float32), mode="valid")  # noqa: E731
    assert field(jax.vmap(one)) == (0, 2)
