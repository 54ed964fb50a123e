"""Constants are computed by the proof in one way and by XLA in others: what rounding could change proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.certifier import _constants as constants

Fn = Callable[[Any], Any]


def proof(fn: Fn, size: int, dtype: Any = jnp.float32, channels: int = 1) -> Certificate:
    return certify(fn, jax.ShapeDtypeStruct((1, size, channels), dtype))


def resized(method: str, up: int, down: int) -> Fn:
    return lambda x: jax.image.resize(x, (1, x.shape[1] * up // down, x.shape[2]), method)


def certified(fn: Fn, size: int) -> Certificate | None:
    try:
        return proof(fn, size)
    except CertificationError:
        return None


# Newer ones fold these constants operation by operation, as the proof does; others may join them again.
joins_constants = pytest.mark.skipif(not version("jaxlib").startswith("0.10."), reason="this XLA joins no constants")


RATIOS = [(2, 1), (3, 1), (1, 3), (2, 3), (4, 3), (8, 3), (3, 2), (5, 2), (1, 2), (7, 2), (5, 4), (3, 4), (5, 6)]


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_nearest_resizing_depends_on_the_ratio_alone(up: int, down: int) -> None:
    """At every size it is certified, and reads what XLA reads, or at every size it is refused.

    Output j reads pixel (2 j + 1) down / (2 up), rounded down: where that can be a whole number, rounding decides.
    """
    fn = resized("nearest", up, down)
    tie = any((2 * j + 1) * down % (2 * up) == 0 for j in range(up))
    for turns in (4, 7, 30, 45, 64):
        size = turns * down
        cert = certified(fn, size)
        assert (cert is None) == tie
        if cert is not None:
            axis = cert.axes[0]
            read = np.asarray(jax.jit(fn)(np.arange(size, dtype=np.float32)[None, :, None]))[0, :, 0]
            said = [axis.period * (i // axis.phases) + axis.lo[i % axis.phases] for i in range(axis.out)]
            assert axis.lo == axis.hi
            assert read[slice(*axis.exact)].tolist() == said[slice(*axis.exact)]


@joins_constants
def test_control_a_certifier_that_takes_its_own_rounding_for_the_truth_is_refuted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By 3/2 from 90 px, XLA reads another pixel than the proof computes."""

    fn = resized("nearest", 3, 2)
    assert certified(fn, 90) is None
    monkeypatch.setattr(constants, "undecided", lambda *args, **options: False)
    axis = proof(fn, 90).axes[0]
    read = np.asarray(jax.jit(fn)(np.arange(90, dtype=np.float32)[None, :, None]))[0, :, 0]
    said = [axis.period * (i // axis.phases) + axis.lo[i % axis.phases] for i in range(axis.out)]
    assert read.tolist() != said


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_linear_resizing_depends_on_the_ratio_alone(up: int, down: int) -> None:
    """Weights that are dyadic are the same at every size; others are the same up to rounding, which is said."""
    fn = resized("linear", up, down)
    one, two = proof(fn, 20 * down), proof(fn, 45 * down)
    assert (one.period, one.axes[0].lo, one.axes[0].hi) == (two.period, two.axes[0].lo, two.axes[0].hi)
    dyadic = up & (up - 1) == 0 and (up >= down or down & (down - 1) == 0)
    assert one.same_map(two) == dyadic
    assert proof(fn, 20 * down).same_map(one)


def position(x: Any, dtype: Any, large: float) -> Any:
    """The position of each pixel, as good as absorbed by a large number that is taken away again."""
    index = jnp.arange(x.shape[1], dtype=dtype) * jnp.asarray(1e-3, dtype)
    return x + ((index + jnp.asarray(large, dtype)) - jnp.asarray(large, dtype)).astype(x.dtype)[:, None]


def striped(x: Any) -> Any:
    """A mask that changes where a rounded quotient passes a whole number."""
    stripe = jnp.floor(jnp.arange(x.shape[1], dtype=jnp.float32) * 5 / 47) % 2 == 0
    return jnp.where(stripe[None, :, None], x, -x)


def tiny(x: Any) -> Any:
    """Subnormal numbers, which XLA takes for zero."""
    index = jnp.arange(x.shape[1], dtype=jnp.float32)
    return jnp.where(((index * np.float32(1e-40) > 0) == (index > 0))[None, :, None], x, -x)


HIDDEN: dict[str, Fn] = {
    "absorbed in half precision": lambda x: position(x, jnp.float16, 2048.0),
    "absorbed in bfloat16": lambda x: position(x, jnp.bfloat16, 256.0),
    "absorbed in float32": lambda x: position(x, jnp.float32, 2.0**24),
    "a mask by a quotient": striped,
    "subnormal numbers": tiny,
    "indices by a quotient": lambda x: x[:, jnp.floor(jnp.arange(x.shape[1], dtype=jnp.float32) * 30 / 30).astype(int)],
    "the largest of nearly equal numbers": lambda x: (
        x[:, :1] * 0
        + x
        * jnp.argmax(jnp.sin(jnp.arange(x.shape[1]) * (2 * np.pi / 3)).reshape(-1, 1) + jnp.zeros((1, 2)), -1)[:, None]
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_rounding_hides_is_refused(name: str) -> None:
    """The value computed here looks uniform, regular or periodic; what XLA computes need not be."""
    with pytest.raises(CertificationError):
        proof(HIDDEN[name], 60)


def drawn() -> Any:
    return lax.rng_uniform(np.int32(0), np.int32(2), ())


def in_a_loop(value: Callable[[], Any]) -> Any:
    """The same value, made by a loop over constants."""
    return lax.fori_loop(0, 1, lambda turn, last: value(), jax.tree.map(jnp.zeros_like, value()))


@pytest.mark.parametrize("made", [lambda draw: draw(), in_a_loop])
def test_what_is_drawn_anew_is_no_constant(made: Callable[[Callable[[], Any]], Any]) -> None:
    """Certificates of a function that draws a number are not of one map, whatever it was for each of them."""
    fn = lambda x: x + made(drawn)  # noqa: E731
    certificates = [proof(fn, 16, jnp.int32) for _ in range(6)]
    assert not any(certificates[0].same_map(other) for other in certificates[1:])
    control = lambda x: x + made(lambda: jnp.int32(1))  # noqa: E731
    assert proof(control, 16, jnp.int32).same_map(proof(control, 16, jnp.int32))


def test_what_is_drawn_anew_for_each_row_is_refused() -> None:
    def rows(value: Callable[[], Any]) -> Fn:
        return lambda x: lax.map(lambda row: row + value(), x.swapaxes(0, 1)).swapaxes(0, 1)

    assert proof(rows(lambda: jnp.int32(1)), 16, jnp.int32).axes[0].exact == (0, 16)
    with pytest.raises(CertificationError, match="draws something else at each turn"):
        proof(rows(drawn), 16, jnp.int32)


SAME: dict[str, Fn] = {
    "a quotient of constants": lambda x: x * (jnp.ones((1, 1, 1)) / 9),
    "a softmax over channels": lambda x: x * jax.nn.softmax(jnp.arange(4.0)),
    "a key made inside": lambda x: x + jax.random.normal(jax.random.key(0), (1, 1, 4)),
    "a mask in whole numbers": lambda x: jnp.where((jnp.arange(x.shape[1]) % 3 == 0)[:, None], x, 0),
    "counts of a window": lambda x: (
        x / lax.reduce_window(jnp.ones((1, x.shape[1], 1)), 0.0, lax.add, (1, 3, 1), (1, 1, 1), "SAME")[:, 1:2]
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_rounding_cannot_change_is_the_same_at_every_size(name: str) -> None:
    one, two = (proof(SAME[name], size, channels=4) for size in (36, 48))
    assert one.same_map(two)


def test_a_key_that_is_closed_over_has_one_name() -> None:
    def network(seed: int) -> Fn:
        key = jax.random.key(seed)
        return lambda x: x + jax.random.normal(key, (1, 1, 4))

    assert proof(network(0), 36, channels=4).same_map(proof(network(0), 48, channels=4))
    assert not proof(network(0), 36, channels=4).same_map(proof(network(1), 36, channels=4))


def product(matrix: Callable[[int], np.ndarray]) -> Fn:
    return lambda x: jnp.einsum("bnc,nm->bmc", x, matrix(x.shape[1]))


def test_whole_numbers_have_no_tolerance() -> None:
    """A weight that is off by one in a million is another weight: the matrix has the period 7 of its weights."""
    weights = product(lambda n: np.diag(1_000_000 + np.arange(n) % 7).astype(np.int32))
    assert proof(weights, 28, jnp.int32).period == (7,)
    irregular = product(lambda n: np.diag(1_000_000 + np.arange(n)).astype(np.int32))
    with pytest.raises(CertificationError, match="does not move along"):
        proof(irregular, 28, jnp.int32)


def test_complex_weights_keep_their_imaginary_part() -> None:
    def weights(gain: int) -> Fn:
        return product(lambda n: (np.eye(n) + 1j * gain * np.eye(n, k=1)).astype(np.complex64))

    one, two = (proof(weights(gain), 16, jnp.complex64) for gain in (1, 3))
    assert not one.same_map(two)
    assert one.same_map(proof(weights(1), 40, jnp.complex64))


def test_booleans_along_the_image() -> None:
    """A known matrix of booleans is a matrix like others; arrays without elements are no obstacle."""
    assert proof(lambda x: jnp.dot(x[..., 0], np.eye(24, dtype=bool))[..., None], 24, jnp.bool_).period == (1,)
    empty = lambda x: jnp.pad(x[:, :0], ((0, 0), (0, 4), (0, 0))) + x[:, :4]  # noqa: E731
    assert proof(empty, 24, jnp.int32).axes[0].exact == (0, 4)


def test_bounds_hold_what_xla_computes() -> None:
    """Chains of operations, compiled in one program, stay within the bounds; exact values agree bit by bit."""
    rng = np.random.default_rng(0)
    steps = [jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.maximum]
    exact = 0
    for _ in range(60):
        numbers = [rng.integers(1, 60) / rng.choice([1, 2, 3, 10]) for _ in range(4)]
        chosen = [steps[k] for k in rng.integers(0, len(steps), 4)]

        def chain(n: int, numbers: Any = numbers, chosen: Any = chosen) -> Any:
            value = jnp.arange(n, dtype=jnp.float32)
            for step, number in zip(chosen, numbers, strict=True):
                value = step(value, np.float32(number))
            return value

        known = computed(chain)
        true = np.asarray(jax.jit(lambda c=chain: c(40))())
        bound = np.broadcast_to(known.rounding.error, true.shape)
        difference = np.abs(known.value.astype(np.float64) - true)
        assert (difference <= 4 * bound).all()
        assert (known.value[bound == 0].tobytes()) == true[bound == 0].tobytes()
        exact += int((bound == 0).sum())
    assert exact > 200


def computed(chain: Callable[[int], Any]) -> Any:
    """What the certifier knows of a constant."""
    seen = []
    original = constants.fold

    def fold(eqn: Any, operands: Any) -> Any:
        results = original(eqn, operands)
        seen.append(results[0])
        return results

    from shiftjax.certifier import _interpret

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_interpret, "fold", fold)
        certify(lambda x: x + 0 * chain(40)[:1], jax.ShapeDtypeStruct((1, 40, 1), jnp.float32))
    return next(v for v in reversed(seen) if v.shape == (40,))


@joins_constants
def test_control_xla_joins_constants() -> None:
    known = computed(lambda n: (jnp.arange(n, dtype=jnp.float32) - np.float32(43 / 3)) - np.float32(15))
    true = np.asarray(jax.jit(lambda: (jnp.arange(40, dtype=jnp.float32) - np.float32(43 / 3)) - np.float32(15))())
    assert known.value.tobytes() != true.tobytes()


def test_constants_that_xla_joins_are_not_exact() -> None:
    """Each of these sums is exact by itself, but XLA may add the two numbers first, which is not."""
    known = computed(lambda n: (jnp.arange(n, dtype=jnp.float32) - np.float32(43 / 3)) - np.float32(15))
    assert not known.exact
    assert computed(lambda n: (jnp.arange(n, dtype=jnp.float32) - np.float32(14.25)) - np.float32(15)).exact
